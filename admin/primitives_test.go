package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/pool"
)

// orders is a handlespace with pool "orders", whose element a is at 10.0.0.11:7001.
func orders(t testing.TB) *handlespace.Handlespace {
	h, local := handlespace.New(time.Now), pool.NewLocal()
	local.Set("orders", pool.RoundRobin, []pool.Element{{Name: "a", Address: netip.MustParseAddrPort("10.0.0.11:7001")}})
	local.Set("a/b c", pool.LeastUsed, nil)
	h.Follow(handlespace.Pool{Pool: pool.New("orders", pool.RoundRobin, nil), Mapping: "none", Source: local})
	h.Follow(handlespace.Pool{Pool: pool.New("a/b c", pool.LeastUsed, nil), Mapping: "none", Source: local})
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func nameservice(t *testing.T) *Server {
	t.Helper()
	s, err := Start(netip.MustParseAddrPort("127.0.0.1:0"), Options{Handlespace: orders(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// call sends one request with a body of that type.
func call(t *testing.T, s *Server, method, path, kind, body string, headers ...string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+s.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); strings.HasPrefix(path, "/v1/") && response.StatusCode != 403 && response.StatusCode != 405 && kind != "application/json" {
		t.Errorf("%s %s: Content-Type is %q", method, path, kind)
	}
	return response.StatusCode, string(text)
}

const jsonType = "application/json"

func TestPrimitives(t *testing.T) {
	s := nameservice(t)
	if code, text := call(t, s, "GET", "/v1/pools/orders/primary", "", ""); code != 200 || !strings.Contains(text, `"address": "10.0.0.11:7001"`) {
		t.Error(code, text)
	}
	code, text := call(t, s, "POST", "/v1/registrations", jsonType+"; charset=utf-8", `{"pool":"orders","element":"b","address":"[::ffff:10.0.0.12]:7001"}`)
	var r Registration
	if err := json.Unmarshal([]byte(text), &r); code != 201 || err != nil || r.Element != "b" || r.Address != "10.0.0.12:7001" || *r.Weight != 1 || r.Since == nil {
		t.Fatal(code, text, err)
	}
	if code, text := call(t, s, "POST", "/v1/pools/orders/next", jsonType, ` {"last":"a","refresh":true} `); code != 200 || !strings.Contains(text, `"element": "b"`) || !strings.Contains(text, `"reported": true`) {
		t.Error(code, text)
	}
	if code, text := call(t, s, "GET", "/v1/registrations", "", ""); code != 200 || !strings.Contains(text, r.ID) {
		t.Error(code, text)
	}
	if code, text := call(t, s, "DELETE", "/v1/registrations/"+r.ID, "", ""); code != 200 || !strings.Contains(text, `"element": "b"`) {
		t.Error(code, text)
	}
	if code, text := call(t, s, "GET", "/v1/registrations", "", ""); code != 200 || text != "[]\n" {
		t.Error(code, text)
	}
	if code, text := call(t, s, "POST", "/v1/registrations", jsonType, `{"pool":"a/b c","address":"[2001:db8::1]:7001","load":5}`); code != 201 || !strings.Contains(text, `"element": "[2001:db8::1]:7001"`) {
		t.Error(code, text)
	}
	if code, text := call(t, s, "GET", "/v1/pools/a%2Fb%20c/primary", "", ""); code != 200 || !strings.Contains(text, "2001:db8::1") {
		t.Error(code, text)
	}
}

// What cannot be understood, and what is wrong, is answered with an error that says what it is; nothing is changed by it.
func TestPrimitivesRefused(t *testing.T) {
	s := nameservice(t)
	long := strings.Repeat("x", maxAsked+1)
	for _, c := range []struct {
		method, path, kind, body string
		status                   int
		code                     ErrorCode
		has                      string
	}{
		{"GET", "/v1/pools/x/primary", "", "", 404, UnknownPool, `\"orders\"`},
		{"GET", "/v1/pools/%1B%5B2J%00/primary", "", "", 404, UnknownPool, `\\x1b[2J\\x00`},
		{"GET", "/v1/pools/" + strings.Repeat("x", 8000) + "/primary", "", "", 404, UnknownPool, "xxx\\\"..."},
		{"GET", "/v1/pools/a%2Fb%20c/primary", "", "", 503, EmptyPool, "empty"},
		{"POST", "/v1/pools/x/next", jsonType, `{"last":"a"}`, 404, UnknownPool, "orders"},
		{"DELETE", "/v1/registrations/x", "", "", 404, UnknownID, "unknown registration"},

		{"POST", "/v1/pools/orders/next", "", `{"last":"a"}`, 415, BadRequest, "Content-Type"},
		{"POST", "/v1/pools/orders/next", "text/plain", `{"last":"a"}`, 415, BadRequest, "Content-Type"},
		{"POST", "/v1/pools/orders/next", "application/x-www-form-urlencoded", "last=a", 415, BadRequest, "Content-Type"},
		{"POST", "/v1/pools/orders/next", jsonType, "", 400, BadRequest, "EOF"},
		{"POST", "/v1/pools/orders/next", jsonType, "{}", 400, BadRequest, "last"},
		{"POST", "/v1/pools/orders/next", jsonType, "null", 400, BadRequest, "last"},
		{"POST", "/v1/pools/orders/next", jsonType, "[]", 400, BadRequest, "cannot unmarshal array"},
		{"POST", "/v1/pools/orders/next", jsonType, `{"last":1}`, 400, BadRequest, "cannot unmarshal number"},
		{"POST", "/v1/pools/orders/next", jsonType, `{"last":"a","refresh":"yes"}`, 400, BadRequest, "cannot unmarshal string"},
		{"POST", "/v1/pools/orders/next", jsonType, `{"last":"a","lst":"a"}`, 400, BadRequest, "lst"},
		{"POST", "/v1/pools/orders/next", jsonType, `{"` + strings.Repeat("x", 10000) + `":1}`, 400, BadRequest, "unknown field"},
		{"POST", "/v1/pools/orders/next", jsonType, `{"last":"a"}{}`, 400, BadRequest, "behind it"},
		{"POST", "/v1/pools/orders/next", jsonType, `{"last":"a"`, 400, BadRequest, "EOF"},
		{"POST", "/v1/pools/orders/next", jsonType, `{"last":"` + long + `"}`, 413, BadRequest, "at most 16384 bytes"},
		{"POST", "/v1/pools/orders/next", jsonType, `{"last":"a"}` + strings.Repeat(" ", maxAsked), 413, BadRequest, "at most 16384 bytes"},
		{"POST", "/v1/pools/orders/next", jsonType, strings.Repeat("[", 10000), 400, BadRequest, "not what is asked for"},

		{"POST", "/v1/registrations", jsonType, `{"pool":"x","address":"10.0.0.1:1"}`, 404, UnknownPool, "orders"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"10.0.0.1:1","element":"a"}`, 409, Duplicate, "10.0.0.11:7001"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"10.0.0.1:1","policy":"random"}`, 409, Inconsistent, "round_robin"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"10.0.0.1:1","policy":"application"}`, 400, BadRequest, "weighted_round_robin"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders"}`, 400, BadRequest, "10.0.0.11:7001"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"` + strings.Repeat("9", 10000) + `"}`, 400, BadRequest, "is no address"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"10.0.0.1:1","element":"` + strings.Repeat("x", 256) + `"}`, 400, BadRequest, "255 bytes"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"10.0.0.1:1","element":"\u001b[2J"}`, 400, BadRequest, "cannot be printed"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"10.0.0.1:1","mapping":"\u0000"}`, 400, BadRequest, "no mapping"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"10.0.0.1:1","weight":1}`, 400, BadRequest, "no effect"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"a/b c","address":"10.0.0.1:1"}`, 400, BadRequest, "needs the element's load"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"a/b c","address":"10.0.0.1:1","load":-1}`, 400, BadRequest, "cannot unmarshal number -1"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"a/b c","address":"10.0.0.1:1","load":4294967296}`, 400, BadRequest, "cannot unmarshal number 4294967296"},
		{"POST", "/v1/registrations", jsonType, `{"pool":"orders","address":"10.0.0.1:1","id":"` + strings.Repeat("0", 32) + `"}`, 400, BadRequest, "for answers"},
	} {
		status, text := call(t, s, c.method, c.path, c.kind, c.body)
		var f Failure
		if err := json.Unmarshal([]byte(text), &f); err != nil || status != c.status || f.Error.Code != c.code || !strings.Contains(text, c.has) {
			t.Errorf("%s %.60s %.80s: %d %s, not %d %s with %q: %v", c.method, c.path, c.body, status, text, c.status, c.code, c.has, err)
		}
		if len(text) > 1000 || strings.ContainsAny(f.Error.Message, "\x00\x1b") {
			t.Errorf("%s %.60s %.80s: the answer is not fit for people: %d bytes, %.200q", c.method, c.path, c.body, len(text), text)
		}
	}
	for _, c := range []struct{ method, path string }{{"POST", "/v1/pools/orders/primary"}, {"GET", "/v1/pools/orders/next"}, {"PUT", "/v1/registrations"}, {"GET", "/v1/registrations/x"}} {
		if status, text := call(t, s, c.method, c.path, jsonType, "{}"); status != 405 {
			t.Error(c, status, text)
		}
	}
	if _, text := call(t, s, "GET", "/v1/registrations", "", ""); text != "[]\n" {
		t.Error(text)
	}
	if _, text := call(t, s, "POST", "/v1/pools/orders/next", jsonType, `{"last":"nobody"}`); !strings.Contains(text, `"reported": false`) {
		t.Error(text)
	}
}

// Pages of other origins change nothing, whatever their host is called.
func TestPrimitivesGuarded(t *testing.T) {
	s := nameservice(t)
	body := `{"pool":"orders","address":"10.0.0.1:1"}`
	for _, headers := range [][]string{{"Origin", "http://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		if status, text := call(t, s, "POST", "/v1/registrations", jsonType, body, headers...); status != 403 {
			t.Error(headers, status, text)
		}
		if status, text := call(t, s, "DELETE", "/v1/registrations/x", "", "", headers...); status != 403 {
			t.Error(headers, status, text)
		}
	}
	for path, method := range map[string]string{"/v1/registrations": "POST", "/v1/pools/orders/primary": "GET", "/v1/pools/orders/next": "POST"} {
		if status, text := send(t, s, method, path, "evil.example", body, len(body)); status != 403 {
			t.Error(path, status, text)
		}
	}
	if _, text := call(t, s, "GET", "/v1/registrations", "", ""); text != "[]\n" {
		t.Error(text)
	}
}

// Clients come at once: what they register is theirs, and nothing is left.
func TestPrimitivesAtOnce(t *testing.T) {
	s := nameservice(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for k := range 10 {
				name := fmt.Sprintf("%d.%d", i, k)
				status, text := call(t, s, "POST", "/v1/registrations", jsonType, fmt.Sprintf(`{"pool":"orders","address":"10.0.0.1:1","element":%q}`, name))
				var r Registration
				if err := json.Unmarshal([]byte(text), &r); err != nil || status != 201 || r.Element != name {
					t.Error(status, text, err)
					return
				}
				if status, text := call(t, s, "POST", "/v1/pools/orders/next", jsonType, fmt.Sprintf(`{"last":%q}`, name)); status != 200 || strings.Contains(text, `"`+name+`"`) {
					t.Error(status, text)
				}
				if status, text := call(t, s, "DELETE", "/v1/registrations/"+r.ID, "", ""); status != 200 || !strings.Contains(text, name) {
					t.Error(status, text)
				}
			}
		})
	}
	all.Wait()
	if _, text := call(t, s, "GET", "/v1/registrations", "", ""); text != "[]\n" {
		t.Error(text)
	}
}

// Whatever is sent: an answer of JSON, short and fit for people, and no registration but of what is in the body.
func FuzzPrimitives(f *testing.F) {
	f.Add("orders", `{"last":"a","refresh":true}`, `{"pool":"orders","address":"10.0.0.1:1","weight":null}`)
	f.Add("a/b c", `{"last":"\u0000"}`, `{"pool":"a/b c","address":"[::1]:1","load":4294967295,"element":"é"}`)
	f.Add("", `{`, `{"pool":"orders","address":"10.0.0.1:99999"}`)
	h := orders(f)
	p := &primitives{h, hclog.NewNullLogger()}
	ask := func(t *testing.T, serve http.HandlerFunc, body, handle string) (int, []byte) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", jsonType)
		r.SetPathValue("handle", handle)
		w := httptest.NewRecorder()
		serve(w, r)
		var said any
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
			t.Fatalf("%v in %q", err, w.Body)
		}
		if w.Code >= 400 && w.Body.Len() > 2000 || bytes.ContainsAny(w.Body.Bytes(), "\x1b\x00") {
			t.Fatalf("%d bytes, %q", w.Body.Len(), w.Body)
		}
		return w.Code, w.Body.Bytes()
	}
	f.Fuzz(func(t *testing.T, handle, next, registration string) {
		ask(t, p.primary, "", handle)
		ask(t, p.next, next, handle)
		code, text := ask(t, p.register, registration, "")
		if code != http.StatusCreated {
			if len(h.Registrations()) > 0 {
				t.Fatalf("%d, and %+v", code, h.Registrations())
			}
			return
		}
		var r Registration
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Deregister(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
	})
}
