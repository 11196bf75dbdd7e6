package admin

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"context"

	"github.com/hashicorp/go-hclog"
)

// FuzzRequests: whatever is asked of the admin API, it answers, shortly; nothing changes without the token, nor for a page of another
// origin or host.
func FuzzRequests(f *testing.F) {
	f.Add("PUT", "/v1/cookies/127.0.0.1:41234?server=[::1]:80", "localhost", "Bearer "+right, "", []byte("cookie"))
	f.Add("PUT", "/v1/drains/a%2Fb", "127.0.0.1:7878", "Basic eDo=", "http://evil.example", []byte{})
	f.Add("POST", "/v1/upgrade", "[::1]", "bearer", "", []byte(`{"binary":"/x"}`))
	f.Add("POST", "/v1/reload", "evil.example", "Bearer "+right, "null", []byte(`{`))
	f.Add("POST", "/v1/chaos", "localhost", "Bearer "+right, "", []byte(`{"kind":"cut","side":"pool_user","name":"web","count":1,"for":"2s","delay":"-1s","seed":7}`))
	f.Add("DELETE", "/v1/drains/x", "localhost:1", "Bearer "+right+"x", "", []byte(nil))
	path := filepath.Join(f.TempDir(), "token")
	if err := os.WriteFile(path, []byte(right), 0o600); err != nil {
		f.Fatal(err)
	}
	token, err := LoadToken(path)
	if err != nil {
		f.Fatal(err)
	}
	changed := false
	change := func() error { changed = true; return nil }
	o := Options{
		Token: token, Log: hclog.NewNullLogger(), Handlespace: orders(f),
		Status: func() any { return sample{"status"} },
		Cookies: &Cookies{Most: 100, Get: func(_, _ netip.AddrPort) ([]byte, error) { return []byte("x"), nil },
			Set: func(_, _ netip.AddrPort, cookie []byte) error { return change() }},
		Drains: &Drains{Begin: func(string) error { return change() }, End: func(string) error { return change() },
			State: func(e string) (any, error) { return sample{e}, nil }},
		Upgrade: func(context.Context, Upgrade) (Upgraded, error) { return Upgraded{}, change() },
		Chaos: &Chaos{State: func() any { return sample{"chaos"} }, Begin: func(Attack) (any, error) { return sample{"begun"}, change() },
			End: func(string) error { return change() }},
		Reload: func(context.Context) ([]string, error) { return []string{"x"}, change() },
	}
	handler := protect(netip.MustParseAddrPort("127.0.0.1:7878"), &o, routes(o))
	f.Fuzz(func(t *testing.T, method, target, host, authorization, origin string, body []byte) {
		r, err := http.NewRequest(method, "http://localhost/", bytes.NewReader(body))
		if err != nil {
			return // net/http's server refuses it, too
		}
		if r.URL, err = r.URL.Parse(target); err != nil || r.URL.Host != "localhost" {
			return
		}
		r.Host, r.RemoteAddr, r.RequestURI = host, "127.0.0.1:1", target
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Content-Type", jsonType)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		before := len(o.Handlespace.Registrations())
		changed = false
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		changed = changed || len(o.Handlespace.Registrations()) != before
		if w.Code < 200 || w.Code > 599 || w.Body.Len() > 4<<10+len(target) {
			t.Fatalf("%s %q: %d, %d bytes", method, target, w.Code, w.Body.Len())
		}
		if changed && (credential(r) != right || !ours(host, netip.MustParseAddr("127.0.0.1")) || origin != "" && !strings.HasSuffix(origin, "://"+host)) {
			t.Fatalf("%s %q has changed something: host %q, %q, origin %q", method, target, host, authorization, origin)
		}
		for _, x := range o.Handlespace.Registrations() {
			if _, err := o.Handlespace.Deregister(t.Context(), x.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}
