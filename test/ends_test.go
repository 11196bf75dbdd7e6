//go:build linux

package test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

// tries are what item 3 of issue 7 has openssl and a Go client try, with the reason by which each is refused.
func tries(a, other *securetest.Authority, name, thief string) []try {
	long := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	return []try{
		{"no certificate", "no_certificate", nil, 0},
		{"wrong CA", "not_trusted", files(other.Issue(name, nil)), 0},
		{"wrong SAN", "not_allowed", files(a.Issue(thief, nil)), 0},
		{"expired", "expired", files(a.Issue(name, long)), 0},
		{"for another use", "not_trusted", files(a.Issue(name, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), 0},
		{"old version", "version", files(a.Issue(name, nil)), tls.VersionTLS12},
	}
}

type try struct {
	name, reason string
	files        *securetest.Files // nil: none
	most         uint16            // the version; 0: any
}

// config is how Go's TLS tries.
func (x try) config(t *testing.T) *tls.Config {
	t.Helper()
	c := &tls.Config{InsecureSkipVerify: true, MaxVersion: x.most, MinVersion: tls.VersionTLS10}
	if x.files == nil {
		return c
	}
	cert, err := tls.LoadX509KeyPair(x.files.Cert, x.files.Key)
	if err != nil {
		t.Fatal(err)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil } // also one that nobody asks for
	return c
}

// refusedByGo wants an alert, in the handshake or as the first that is read behind it.
func refusedByGo(t *testing.T, at string, x try) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", at, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := tls.Client(conn, x.config(t))
	if err = c.Handshake(); err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
		t.Errorf("%s: Go was not told by an alert: %v", x.name, err)
	}
}

// Issue 7, item 3: a Go client tries at a pool_element, and is refused, counted and logged; a session beside it goes on.
func TestTLSRefusesGo(t *testing.T) {
	a, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	f := secured(t, 1, a.Issue(tlsUser, nil), a.Issue(tlsElement, nil))
	e := f.elements[0]
	client := f.dial()
	in := bufio.NewReader(client)
	ask(t, client, in, 0)
	seen := map[string]int{}
	for i, x := range tries(a, other, tlsUser, "spiffe://test/thief") {
		refusedByGo(t, e.listen, x)
		seen[x.reason]++
		waitFor(t, x.name+": it is counted", func() bool { return counted(metricsOf(t, e.admin), "pool_element", "a", x.reason, seen[x.reason]) })
		waitFor(t, x.name+": it is logged", func() bool { return strings.Count(e.sidecar.output(t), "TLS refused: ") == i+1 })
		ask(t, client, in, i+1)
	}
}

// counted reports whether a page of metrics has so many refusals.
func counted(page, side, name, reason string, n int) bool {
	for _, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(line, "poolproxy_tls_refused_total{") && strings.Contains(line, fmt.Sprintf("side=%q", side)) &&
			strings.Contains(line, fmt.Sprintf("name=%q", name)) && strings.Contains(line, fmt.Sprintf("reason=%q", reason)) {
			return strings.HasSuffix(line, fmt.Sprintf("} %d", n))
		}
	}
	return false
}

// endsPlan has TLS everywhere: with clients, between sidecars, and with servers, which are stunnels of openssl's kind in Go's TLS.
func endsPlan(t *testing.T, a *securetest.Authority, clients string) plan {
	front := a.Issue("front.test", nil)
	return plan{
		mapping:  "tcp",
		protocol: fmt.Sprintf("  tls {\n    cert = %q\n    key  = %q\n%s  }\n  protocol \"line\" { safe = [\".\"] }\n", front.Cert, front.Key, clients),
		pool:     tlsBlock(a.Issue(tlsUser, nil), tlsElement),
		failover: `    replay = "unacked"`,
		checks:   tlsBlock(a.Issue(tlsElement, nil), tlsUser),
		servers:  []string{"line", "line"},
		admins:   true,
	}
}

// Clients in TLS: openssl carries a session over the death of its server; who shows no certificate is refused, counted and logged; ciphers of old are not to be had.
func TestClientsInTLS(t *testing.T) {
	needs(t, false, "openssl")
	a, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	f := launch(t, endsPlan(t, a, fmt.Sprintf("    ca    = %q\n    allow = [\"spiffe://test/clients/*\"]\n", a.File)))
	me := a.Issue("spiffe://test/clients/me", nil)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		cmd := exec.Command("openssl", "s_client", "-connect", f.listen, "-quiet", "-no_ign_eof", "-verify_return_error", "-CAfile", a.File, "-verify_hostname", "front.test",
			"-cert", me.Cert, "-key", me.Key, version)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(stdout)
		for i := range 6 {
			if i == 3 && version == "-tls1_3" {
				f.elements[f.serving()].server.kill()
			}
			fmt.Fprintf(stdin, "GET %d\n", i)
			if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, fmt.Sprint(i)) {
				t.Fatalf("%s: %q, %v\n%s", version, line, err, &complaints)
			}
		}
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", version, err, &complaints)
		}
	}
	f.records("moved", 1)
	for _, x := range tries(a, other, "spiffe://test/clients/me", "spiffe://test/others/me") {
		if x.reason == "version" {
			x.most = tls.VersionTLS11
		}
		before := strings.Count(f.user.output(t), "reason="+x.reason)
		refusedByGo(t, f.listen, x)
		waitFor(t, x.name+": it is logged", func() bool { return strings.Count(f.user.output(t), "reason="+x.reason) > before })
		if !strings.Contains(metricsOf(t, f.admin), fmt.Sprintf(`reason=%q`, x.reason)) {
			t.Errorf("%s is not counted", x.name)
		}
	}
}

// The admin API over a unix socket with a token, asked by the command: what reads needs nothing, what changes needs the token.
func TestAdminToken(t *testing.T) {
	dir := t.TempDir()
	socket, token := filepath.Join(dir, "admin.sock"), filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("secret", 5)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := porttest.FreeString(t)
	config := fmt.Sprintf("admin {\n  listen = \"unix:%s\"\n  token_file = %q\n}\npool \"p\" {\n  element \"a\" { address = \"127.0.0.1:1\" }\n}\n"+
		"pool_user \"u\" {\n  listen = %q\n  pool = \"p\"\n  protocol \"line\" {}\n}\n", socket, token, listen)
	p := startProcess(t, command{name: "admin-token", args: []string{builtBinary(t), "run", "-config", writeConfig(t, "admin-token", config)}})
	p.waitListening(t, listen)
	run := func(args ...string) (string, error) {
		out, err := exec.Command(builtBinary(t), append(args, "-admin", "unix:"+socket)...).CombinedOutput()
		return string(out), err
	}
	waitFor(t, "the admin API listens", func() bool { _, err := os.Stat(socket); return err == nil })
	if out, err := run("status"); err != nil || !strings.Contains(out, "127.0.0.1:1") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := run("drain", "a", "-timeout", "0s"); err == nil || !strings.Contains(out, "-token-file") {
		t.Errorf("without the token: %v\n%s", err, out)
	}
	if out, err := run("drain", "a", "-timeout", "0s", "-token-file", token); err != nil {
		t.Errorf("with the token: %v\n%s", err, out)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
