package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

const right = "0123456789abcdef0123456789abcdef"

// tokenFile writes a token.
func tokenFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// refusals counts them.
type refusals struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

func (r *refusals) add(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, reason)
}

func (r *refusals) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.all, " ")
}

// guarded is a server with a token, at an address; beyond is one beyond this machine: all of its.
func guarded(t *testing.T, at string, token string, o Options) (*Server, *refusals, *bytes.Buffer) {
	t.Helper()
	var count refusals
	var log bytes.Buffer
	o.Refused, o.Log = count.add, hclog.New(&hclog.LoggerOptions{Output: &log, Mutex: &sync.Mutex{}})
	if token != "" {
		var err error
		if o.Token, err = LoadToken(token); err != nil {
			t.Fatal(err)
		}
	}
	o.Status = func() any { return sample{"status"} }
	o.Drains = &Drains{Begin: func(string) error { return nil }, End: func(string) error { return nil }, State: func(e string) (any, error) { return sample{e}, nil }}
	s, err := Start(netip.MustParseAddrPort(at), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, &count, &log
}

// try sends a request and returns the status of the answer.
func try(t *testing.T, c *http.Client, method, url string, change func(*http.Request)) (int, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func TestToken(t *testing.T) {
	for _, x := range []struct {
		at    string
		reads int // the status of reading without a token
	}{{"127.0.0.1:0", 200}, {"0.0.0.0:0", 401}} {
		t.Run(x.at, func(t *testing.T) {
			path := tokenFile(t, right+"\n")
			s, count, log := guarded(t, x.at, path, Options{})
			base := fmt.Sprintf("http://127.0.0.1:%d", s.Addr().Port())
			for _, r := range []struct {
				method, path string
				change       func(*http.Request)
				want         int
			}{
				{"GET", "/healthz", nil, 200},
				{"GET", "/v1/status", nil, x.reads},
				{"GET", "/v1/status", bearer(right), 200},
				{"HEAD", "/v1/status", bearer(right), 200},
				{"PUT", "/v1/drains/a", nil, 401},
				{"DELETE", "/v1/drains/a", nil, 401},
				{"PUT", "/v1/drains/a", bearer("0123456789abcdef0123456789abcdeg"), 401},
				{"PUT", "/v1/drains/a", bearer(right[:31]), 401},
				{"PUT", "/v1/drains/a", bearer(right + "0"), 401},
				{"PUT", "/v1/drains/a", bearer(""), 401},
				{"PUT", "/v1/drains/a", func(r *http.Request) { r.Header.Set("Authorization", "Digest "+right) }, 401},
				{"PUT", "/v1/drains/a", bearer(right), 200},
				{"PUT", "/v1/drains/a", func(r *http.Request) { r.SetBasicAuth("me", right) }, 200},
				{"PUT", "/v1/drains/a", func(r *http.Request) { r.SetBasicAuth(right, "me") }, 401},
				{"PUT", "/v1/drains/a", func(r *http.Request) { bearer(right)(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
			} {
				got, header := try(t, http.DefaultClient, r.method, base+r.path, r.change)
				if got != r.want {
					t.Errorf("%s %s: %d, want %d", r.method, r.path, got, r.want)
				}
				if challenge := header.Get("WWW-Authenticate"); got == 401 && strings.HasPrefix(challenge, "Basic") != (r.method == "GET") {
					t.Errorf("%s is challenged by %q", r.method, challenge)
				}
			}
			if s := count.String(); !strings.Contains(s, "no_token") || !strings.Contains(s, "wrong_token") {
				t.Error(s)
			}
			if s := log.String(); !strings.Contains(s, "refused: from=127.0.0.1:") || strings.Contains(s, right) || strings.Count(s, "\n") > 6 {
				t.Error(s)
			}
			other := strings.Repeat("x", 20)
			if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, _ := try(t, http.DefaultClient, "PUT", base+"/v1/drains/a", bearer(right)); got != 401 {
				t.Errorf("the old token: %d", got)
			}
			if got, _ := try(t, http.DefaultClient, "PUT", base+"/v1/drains/a", bearer(other)); got != 200 {
				t.Errorf("the new one: %d", got)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if got, _ := try(t, http.DefaultClient, "PUT", base+"/v1/drains/a", bearer(other)); got != 401 || !strings.Contains(count.String(), "no_token_file") {
				t.Errorf("without a file: %d; %v", got, count)
			}
			if s := log.String(); !strings.Contains(s, "reason=no_token_file") { // the answer says to look there
				t.Error(s)
			}
		})
	}
}

func TestTokenFile(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "short": "0123456789abcde\n", "spaces": right + " " + right, "two lines": right + "\n" + right, "long": strings.Repeat("x", mostToken+1)} {
		if _, err := LoadToken(tokenFile(t, text)); err == nil || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("%s: %v", name, err)
		}
	}
	open := tokenFile(t, right)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadToken(open); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Error(err)
	}
	if _, err := LoadToken(open + "x"); err == nil {
		t.Error("a file that is not there")
	}
}

func TestBeyondLoopback(t *testing.T) {
	if s, err := Start(netip.MustParseAddrPort("0.0.0.0:0"), Options{}); err == nil || !strings.Contains(err.Error(), "token_file") {
		s.Close()
		t.Error(err)
	}
}

// overUnix asks over a unix socket.
func overUnix(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	s, _, _ := guarded(t, "127.0.0.1:0", "", Options{Unix: path})
	if s.Where() != "unix:"+path {
		t.Error(s.Where())
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got, _ := try(t, overUnix(path), "PUT", "http://localhost/v1/drains/a", nil); got != 200 {
		t.Errorf("%d", got)
	}
	if got, _ := try(t, overUnix(path), "GET", "http://evil.test/v1/status", nil); got != 403 {
		t.Errorf("another host: %d", got)
	}
	if _, err := Start(netip.AddrPort{}, Options{Unix: path}); err == nil || !strings.Contains(err.Error(), "somebody listens there") {
		t.Error(err)
	}
	s.Close()
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	next, _, _ := guarded(t, "127.0.0.1:0", "", Options{Unix: path})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, _, _ := guarded(t, "127.0.0.1:0", "", Options{Unix: path})
	next.Close() // its name is another's now
	if got, _ := try(t, overUnix(path), "GET", "http://localhost/healthz", nil); got != 200 {
		t.Errorf("%d", got)
	}
	other.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(netip.AddrPort{}, Options{Unix: path}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Error(err)
	}
}

// Mutual TLS is enough beyond loopback; who has no certificate, or the wrong one, is refused and counted; changes need the token besides, if there is one.
func TestMutualTLS(t *testing.T) {
	a, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	keys, err := secure.Load(secure.Files(a.Issue("admin.test", nil)))
	if err != nil {
		t.Fatal(err)
	}
	var count refusals
	s, _, _ := guarded(t, "0.0.0.0:0", tokenFile(t, right), Options{Mutual: true,
		TLS: keys.ServerConfig(secure.Allow{"spiffe://test/operators/*"}, func(r *secure.Refusal) { count.add(string(r.Reason)) })})
	roots := x509.NewCertPool()
	text, err := os.ReadFile(a.File)
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(text)
	url := fmt.Sprintf("https://127.0.0.1:%d", s.Addr().Port())
	client := func(certs ...tls.Certificate) *http.Client {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "admin.test",
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // also one that is not of those asked for
				if len(certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &certs[0], nil
			}}}}
	}
	cert := func(a *securetest.Authority, name string) tls.Certificate {
		f := a.Issue(name, nil)
		c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	me := client(cert(a, "spiffe://test/operators/me"))
	if got, _ := try(t, me, "GET", url+"/v1/status", nil); got != 200 {
		t.Errorf("reading: %d", got)
	}
	if got, _ := try(t, me, "PUT", url+"/v1/drains/a", nil); got != 401 {
		t.Errorf("changing without the token: %d", got)
	}
	if got, _ := try(t, me, "PUT", url+"/v1/drains/a", bearer(right)); got != 200 {
		t.Errorf("changing: %d", got)
	}
	for reason, c := range map[string]*http.Client{"no_certificate": client(), "not_trusted": client(cert(other, "spiffe://test/operators/me")),
		"not_allowed": client(cert(a, "spiffe://test/clients/me"))} {
		if answer, err := c.Get(url + "/healthz"); err == nil {
			answer.Body.Close()
			t.Errorf("%s: %s", reason, answer.Status)
		}
		if !strings.Contains(count.String(), reason) {
			t.Errorf("%s: %s", reason, &count)
		}
	}
}
