package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// playedChaos is a Chaos that remembers what it was asked for.
type playedChaos struct {
	asked []Attack
	ended []string
	err   error
}

func (p *playedChaos) api() *Chaos {
	return &Chaos{
		State: func() any { return map[string]int{"asked": len(p.asked), "ended": len(p.ended)} },
		Begin: func(a Attack) (any, error) { p.asked = append(p.asked, a); return map[string]string{"id": "c1"}, p.err },
		End:   func(id string) error { p.ended = append(p.ended, id); return p.err },
	}
}

func TestChaos(t *testing.T) {
	p := &playedChaos{}
	server := httptest.NewServer(routes(Options{Chaos: p.api()}))
	defer server.Close()
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(got.Body)
		got.Body.Close()
		return got.StatusCode, string(text)
	}
	full := `{"kind":"delay","side":"pool_user","name":"web","element":"a","session":"7","count":3,"for":"2s","delay":"100ms","dry_run":true,"seed":7}`
	for _, x := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/v1/chaos", "", 200, `"asked": 0`},
		{"POST", "/v1/chaos", full, 200, `"id": "c1"`},
		{"POST", "/v1/chaos", `{"kind":"reset","side":"pool_element","name":"b"}`, 200, `"id": "c1"`},
		{"DELETE", "/v1/chaos/c1", "", 200, `"ended": 1`},
		{"DELETE", "/v1/chaos", "", 200, `"ended": 2`},
		{"POST", "/v1/chaos", "", 415, "application/json"},
		{"POST", "/v1/chaos", `{"kind":"cut","what":"x"}`, 400, `unknown field`},
		{"POST", "/v1/chaos", `{"kind":"cut"} {}`, 400, "behind it"},
		{"POST", "/v1/chaos", `{"kind":"cut","for":5}`, 400, `1.5s`},
		{"POST", "/v1/chaos", `{"kind":"cut","for":"5"}`, 400, "is not a time"},
		{"POST", "/v1/chaos", `{"kind":"cut","for":"-5s"}`, 400, "is not a time"},
		{"POST", "/v1/chaos", `{"kind":"cut","count":-1}`, 400, "count is -1"},
		{"POST", "/v1/chaos", `{"kind":"cut","name":"` + strings.Repeat("x", mostChaosText+1) + `"}`, 400, "at most 1024"},
		{"POST", "/v1/chaos", `{"kind":"` + strings.Repeat("x", maxAsked) + `"}`, 413, "too long"},
		{"PUT", "/v1/chaos", "", 405, ""},
	} {
		if status, text := ask(x.method, x.path, x.body); status != x.status || !strings.Contains(text, x.says) {
			t.Errorf("%s %s %.100s: %d %s", x.method, x.path, x.body, status, text)
		}
	}
	want := Attack{Kind: "delay", Side: "pool_user", Name: "web", Element: "a", Session: "7", Count: 3, For: Time(2 * time.Second), Delay: Time(100 * time.Millisecond),
		DryRun: true, Seed: 7}
	if len(p.asked) != 2 || p.asked[0] != want || fmt.Sprint(p.ended) != "[c1 ]" {
		t.Errorf("%+v, %q", p.asked, p.ended)
	}
	for err, x := range map[error]struct {
		status int
		code   ErrorCode
	}{ErrChaosDenied: {403, ChaosDenied}, ErrChaosUnknown: {404, ChaosUnknown}, ErrChaosNothing: {409, ChaosNothing}, ErrChaosRequest: {400, BadRequest}} {
		p.err = fmt.Errorf("web: %w", err)
		for method, body := range map[string]string{"POST": full, "DELETE": ""} {
			if status, text := ask(method, "/v1/chaos", body); status != x.status || !strings.Contains(text, `"code": "`+string(x.code)+`"`) {
				t.Errorf("%s with %v: %d %s", method, err, status, text)
			}
		}
	}
}

// Only who may change something may disturb: where there is a token all but to look needs it.
func TestChaosNeedsTheToken(t *testing.T) {
	p := &playedChaos{}
	token, err := LoadToken(tokenFile(t, right))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Chaos: p.api(), Token: token, Log: hclog.NewNullLogger()}
	server := httptest.NewServer(protect(netip.MustParseAddrPort("127.0.0.1:0"), &o, routes(o)))
	defer server.Close()
	for _, x := range []struct{ method, path string }{{"POST", "/v1/chaos"}, {"DELETE", "/v1/chaos"}, {"DELETE", "/v1/chaos/c1"}} {
		r, err := http.NewRequest(x.method, server.URL+x.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s: %d", x.method, x.path, got.StatusCode)
		}
	}
	if len(p.asked)+len(p.ended) != 0 {
		t.Error("something was done")
	}
}

// FuzzAttack has anything as the body: what is taken is within its bounds, and reads the same when it is written.
func FuzzAttack(f *testing.F) {
	f.Add(`{"kind":"delay","side":"pool_user","name":"web","count":3,"for":"2s","delay":"100ms","seed":7}`)
	f.Add(`{"for":"9223372036854775807ns"}`)
	f.Add(`{"for":null,"count":1e3}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/v1/chaos", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		var a Attack
		err := read(httptest.NewRecorder(), r, &a)
		if err == nil {
			err = a.check()
		}
		var refusal *Refusal
		if err != nil {
			if !errors.As(err, &refusal) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if a.For < 0 || a.Delay < 0 || a.Count < 0 || a.Count > mostChaosCount || len(a.Name)+len(a.Element)+len(a.Kind)+len(a.Side)+len(a.Session) > 5*mostChaosText {
			t.Fatalf("%+v was taken", a)
		}
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var again Attack
		if err := json.Unmarshal(text, &again); err != nil || again != a {
			t.Fatalf("%s: %+v is not %+v, %v", text, again, a, err)
		}
	})
}
