//go:build linux

package test

import (
	"bufio"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/secure/securetest"
)

const tlsUser, tlsElement = "spiffe://test/user", "element.test"

// tlsBlock is a tls block.
func tlsBlock(f securetest.Files, allow string) string {
	return fmt.Sprintf("  tls {\n    cert  = %q\n    key   = %q\n    ca    = %q\n    allow = [%q]\n  }\n", f.Cert, f.Key, f.CA, allow)
}

// secured is a fleet of line servers in TLS.
func secured(t *testing.T, servers int, user, element securetest.Files) *fleet {
	p := plan{
		mapping:  "tcp",
		protocol: `  protocol "line" { safe = ["."] }`,
		pool:     tlsBlock(user, tlsElement),
		failover: `    replay = "unacked"`,
		checks:   tlsBlock(element, tlsUser),
		admins:   true,
	}
	for range servers {
		p.servers = append(p.servers, "line")
	}
	return launch(t, p)
}

// Issue 7: a session in TLS goes on when certificates are renewed, and when its server is killed.
func TestTLS(t *testing.T) {
	a := securetest.NewAuthority(t)
	files := a.Issue(tlsElement, nil)
	f := secured(t, 2, a.Issue(tlsUser, nil), files)
	client := f.dial()
	in := bufio.NewReader(client)
	for i := range 10 {
		ask(t, client, in, i)
	}
	a.Renew(files, tlsElement, nil)
	for _, e := range f.elements {
		e.sidecar.signal(t, syscall.SIGHUP)
		waitFor(t, "the certificate is read again", func() bool { return strings.Contains(e.sidecar.output(t), "certificate read again") })
	}
	for i := 10; i < 20; i++ {
		ask(t, client, in, i)
	}
	if moved, resumed := f.recorded("moved"), f.recorded("resumed"); len(moved)+len(resumed) > 0 {
		t.Errorf("%+v, %+v", moved, resumed)
	}
	f.elements[f.serving()].server.kill()
	for i := 20; i < 30; i++ {
		ask(t, client, in, i)
	}
	f.records("moved", 1)
}

// Issue 7, item 3: openssl tries, and is refused, counted and logged; a session beside it goes on.
func TestTLSRefusesOpenSSL(t *testing.T) {
	needs(t, false, "openssl")
	a, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	f := secured(t, 1, a.Issue(tlsUser, nil), a.Issue(tlsElement, nil))
	e := f.elements[0]
	client := f.dial()
	in := bufio.NewReader(client)
	ask(t, client, in, 0)
	for i, x := range []struct {
		name, reason string
		files        *securetest.Files
		more         []string
	}{
		{"no certificate", "no_certificate", nil, nil},
		{"wrong CA", "not_trusted", files(other.Issue(tlsUser, nil)), nil},
		{"wrong SAN", "not_allowed", files(a.Issue("spiffe://test/thief", nil)), nil},
		{"expired", "expired", files(a.Issue(tlsUser, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), nil},
		{"TLS 1.2", "version", files(a.Issue(tlsUser, nil)), []string{"-tls1_2"}},
	} {
		args := append([]string{"s_client", "-connect", e.listen}, x.more...)
		if x.files != nil {
			args = append(args, "-cert", x.files.Cert, "-key", x.files.Key)
		}
		cmd := exec.Command("openssl", args...)
		stdin, err := cmd.StdinPipe() // open: it must not end by itself
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.CombinedOutput()
		stdin.Close()
		if err == nil || !strings.Contains(string(out), "alert") {
			t.Errorf("%s: openssl was not told by an alert: %v\n%s", x.name, err, out)
		}
		want := fmt.Sprintf(`tls_refused_total{name="a",reason=%q,side="pool_element"} 1`, x.reason)
		waitFor(t, x.name+": it is counted", func() bool { return strings.Contains(metricsOf(t, e.admin), want) })
		e.sidecar.said(t, "TLS refused: ", i+1)
		if n := strings.Count(e.sidecar.output(t), "TLS refused: "); n != i+1 || !strings.Contains(e.sidecar.output(t), "reason="+x.reason) {
			t.Errorf("%s: %d refusals in the log", x.name, n)
		}
		ask(t, client, in, i+1)
	}
}

func files(f securetest.Files) *securetest.Files { return &f }

// metricsOf is the page of metrics of a sidecar.
func metricsOf(t *testing.T, admin string) string {
	t.Helper()
	r, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}
