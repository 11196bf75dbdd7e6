package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/etcd"
)

func TestEtcdSource(t *testing.T) {
	l := loadText(t, etcdSource(`endpoints = ["10.0.0.1:2379", "etcd-2.example:2379", "[::1]:2379"]`, `prefix = "/x"`, `lease = "30s"`, `timeout = "1s"`))
	if len(l.Diagnostics) > 0 {
		t.Fatal(written(t, l, ""))
	}
	p := l.Config.Pools[0]
	if _, is := p.Source.(*etcd.Source); !is || p.SourceName != "etcd.e" || p.Stale != defaultStale {
		t.Errorf("%+v", p)
	}
}

// A password is for nobody else to read.
func TestEtcdPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	digest := ""
	load := func(text string, mode os.FileMode) string {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		l := loadText(t, etcdSource(anEndpoint, `username = "u"`, fmt.Sprintf("password_file = %q", file)))
		if l.Failed() {
			return about(l, l.Diagnostics[0])
		}
		digest = l.Config.Pools[0].SourceDigest
		return ""
	}
	if said := load("secret\n", 0o640); said != "" {
		t.Error(said)
	}
	was := digest
	if said := load("secret\r\n", 0o600); said != "" || digest != was {
		t.Errorf("the same password has another digest: %s", said)
	}
	if said := load("other\n", 0o600); said != "" || digest == was || len(digest) != 64 {
		t.Errorf("another password has the same digest, so a reload would not see it: %s %s", digest, said)
	}
	for _, bad := range []struct {
		text string
		mode os.FileMode
		want string
	}{{"secret\n", 0o644, "may be used by everybody"}, {"\n", 0o600, "is empty"}, {"", 0o600, "is empty"}, {strings.Repeat("x", 1025), 0o600, "longer than 1024"}} {
		if said := load(bad.text, bad.mode); !strings.Contains(said, bad.want) {
			t.Errorf("not %q: %s", bad.want, said)
		}
	}
	if l := loadText(t, etcdSource(anEndpoint, fmt.Sprintf("password_file = %q", file))); !l.Failed() {
		t.Error("a password of nobody")
	}
}

// What the example has of it in comments can be loaded, and shows the defaults.
func TestExampleOfEtcd(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config.hcl.example"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "\n# source \"etcd\"")
	if !ok {
		t.Fatal("the example has no source etcd")
	}
	block = commentOut.ReplaceAllString("# source \"etcd\""+block[:strings.Index(block, "\n# }")+4], "$1")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := certificate(t)
	shown := loadText(t, poolOf("etcd.prod")+strings.NewReplacer("/etc/poolproxy/etcd.password", password, "/etc/poolproxy/etcd-ca.pem", dir+"/cert.pem",
		"/etc/poolproxy/cert.pem", dir+"/cert.pem", "/etc/poolproxy/key.pem", dir+"/key.pem").Replace(block))
	if len(shown.Diagnostics) > 0 {
		t.Fatal(written(t, shown, ""))
	}
	for _, d := range []string{`prefix        = "` + etcd.DefaultPrefix, `lease         = "` + durationText(etcd.DefaultLease),
		`timeout       = "` + durationText(etcd.DefaultTimeout), `stale_after   = "` + durationText(defaultStale)} {
		if !strings.Contains(block, d) {
			t.Errorf("the default is %s", d)
		}
	}
	_, has, _ := strings.Cut(loadText(t, etcdSource(anEndpoint, "qqqqqqqqqq = 1")).Diagnostics[0].Detail, "has: ")
	for _, setting := range strings.Split(strings.TrimSuffix(has, "."), ", ") {
		if !strings.Contains(block, "\n  "+setting+" ") {
			t.Errorf("the example has no %q", setting)
		}
	}
}
