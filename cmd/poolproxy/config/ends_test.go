package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// frontText is a pool_user whose clients come in TLS.
func frontText(block string) string {
	return poolBlockText(`"p"`, `element "a" { address = "127.0.0.1:9001" }`) + "pool_user \"u\" {\nlisten = \"127.0.0.1:5000\"\npool = \"p\"\nprotocol \"http\" {}\n" + block + "}\n"
}

func TestEnds(t *testing.T) {
	dir := certificate(t)
	files := fmt.Sprintf("cert = %q\nkey = %q\n", dir+"/cert.pem", dir+"/key.pem")
	ca := fmt.Sprintf("ca = %q\n", dir+"/cert.pem")
	l := loadText(t, frontText("tls {\n"+files+ca+"allow = [\"*.clients.test\"]\n}\n")+
		element("b", "127.0.0.1:9002", "server_tls {\n"+files+ca+"server_name = \"web.test\"\nalpn = \"http/1.1\"\n}\n")+
		poolBlockText(`"direct"`, "mapping = \"none\"\nserver_tls {\n"+ca+"server_name = \"10.0.0.1\"\n}\nelement \"a\" { address = \"127.0.0.1:9003\" }"))
	if l.Failed() {
		t.Fatal(l.Diagnostics)
	}
	c := l.Config
	if u := c.Users[0].TLS; u == nil || u.CA == "" || len(u.Allow) != 1 {
		t.Errorf("pool_user: %+v", u)
	}
	if s := c.Elements[0].ServerTLS; s == nil || s.ServerName != "web.test" || s.ALPN != "http/1.1" || s.Key == "" {
		t.Errorf("pool_element: %+v", s)
	}
	if s := c.Pools[1].ServerTLS; s == nil || s.ServerName != "10.0.0.1" || s.Key != "" {
		t.Errorf("pool: %+v", s)
	}
	for name, m := range map[string]struct {
		text string
		has  []string
	}{
		"names without authorities": {frontText("tls {\n" + files + "allow = [\"*.clients.test\"]\n}\n"), []string{`"allow" needs "ca"`}},
		"no key":                    {frontText(fmt.Sprintf("tls { cert = %q }\n", dir+"/cert.pem")), []string{`"key" is missing`}},
		"no file":                   {frontText("tls {\n" + strings.ReplaceAll(files, dir, dir+"/none") + "}\n"), []string{"tls cannot be used", "none/cert.pem"}},
		"no authorities":            {minimal + element("b", "127.0.0.1:9002", "server_tls { server_name = \"web.test\" }\n"), []string{`"ca" is missing`}},
		"no name":                   {minimal + element("b", "127.0.0.1:9002", "server_tls {\n"+ca+"}\n"), []string{`"server_name" is missing`}},
		"a wild name":               {minimal + element("b", "127.0.0.1:9002", "server_tls {\n"+ca+"server_name = \"*.web.test\"\n}\n"), []string{"neither a DNS name nor an IP"}},
		"half a pair":               {minimal + element("b", "127.0.0.1:9002", "server_tls {\n"+ca+"server_name = \"web.test\"\ncert = \""+dir+"/cert.pem\"\n}\n"), []string{`"cert" needs "key"`}},
		"in a pool of sidecars":     {minimal + poolBlockText(`"p"`, "server_tls {\n"+ca+"server_name = \"web.test\"\n}\nelement \"a\" { address = \"127.0.0.1:9003\" }"), []string{`"server_tls" belongs to the pool_elements with mapping tcp`}},
		"clients beyond":            {"require_tls = true\n" + strings.Replace(frontText(""), "127.0.0.1:5000", "10.0.0.1:5000", 1), []string{"require_tls", `pool_user "u" can be reached`}},
		"a server beyond":           {"require_tls = true\n" + minimal + strings.Replace(element("b", "127.0.0.1:9002", ""), "server = \"127.0.0.1", "server = \"10.0.0.1", 1), []string{"require_tls", `server of pool_element "b"`}},
		"servers beyond":            {"require_tls = true\n" + minimal + poolBlockText(`"p"`, "mapping = \"none\"\nelement \"a\" { address = \"10.0.0.1:9003\" }"), []string{"require_tls", `pool "p" goes to servers on other machines`}},
	} {
		t.Run(name, func(t *testing.T) { checkMistake(t, m.text, m.has, true) })
	}
}

func TestAdmin(t *testing.T) {
	dir := certificate(t)
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("x", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := fmt.Sprintf("token_file = %q\n", token)
	block := func(more string) string {
		return fmt.Sprintf("tls {\ncert = %q\nkey = %q\n%s}\n", dir+"/cert.pem", dir+"/key.pem", more)
	}
	ca := fmt.Sprintf("ca = %q\n", dir+"/cert.pem")
	const beyond = "listen = \"10.0.0.1:7878\"\n"
	for text, warning := range map[string]string{
		`listen = "unix:/run/poolproxy/admin.sock"` + "\n" + file: "",
		beyond + file:             "beyond loopback without TLS",
		beyond + file + block(""): "",
		beyond + block(ca):        "",
		beyond + file + block(ca): "",
		file:                      "",
		block(""):                 "",
		beyond + block(ca+"allow = [\"spiffe://test/*\"]\n"): "",
	} {
		l := loadText(t, minimal+"admin {\n"+text+"}\n")
		if l.Failed() || !l.Config.Admin.On() {
			t.Errorf("%s: %v", text, l.Diagnostics)
		}
		if s := fmt.Sprint(l.Diagnostics); strings.Contains(s, "without TLS") != (warning != "") || !strings.Contains(s, warning) {
			t.Errorf("%s: %s", text, s)
		}
	}
	for name, m := range map[string]struct{ text, has string }{
		"beyond":              {beyond, "beyond loopback, and anybody could use it"},
		"beyond, TLS alone":   {beyond + block(""), "beyond loopback, and anybody could use it"},
		"names alone":         {beyond + file + block("allow = [\"spiffe://test/*\"]\n"), `"allow" needs "ca"`},
		"relative socket":     {`listen = "unix:admin.sock"`, "full path of a unix socket"},
		"long socket":         {`listen = "unix:/` + strings.Repeat("x", 107) + `"`, "full path of a unix socket"},
		"TLS on a socket":     {"listen = \"unix:/run/a.sock\"\n" + block(""), "listens by TCP"},
		"a token for nothing": {"listen = \"off\"\n" + file, "no effect without the admin API"},
		"no such token":       {fmt.Sprintf("token_file = %q", token+"x"), `"token_file" cannot be used`},
	} {
		t.Run(name, func(t *testing.T) { checkMistake(t, minimal+"admin {\n"+m.text+"\n}\n", []string{m.has}, true) })
	}
	checkMistake(t, "require_tls = true\n"+minimal+"admin {\n"+beyond+file+"}\n", []string{"require_tls: the admin API"}, true)
}
