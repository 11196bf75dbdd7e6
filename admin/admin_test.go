package admin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

type sample struct {
	Name string `json:"name"`
}

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start(netip.MustParseAddrPort("127.0.0.1:0"), Options{
		Status:    func() any { return sample{"status"} },
		Failovers: func() any { return []sample{{"failover"}} },
		Metrics:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "poolproxy_up 1\n") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// ask sends one request on a connection of its own.
func ask(t *testing.T, s *Server, method, path, host string) (int, http.Header, string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", method, path, host)
	return answered(t, conn, method)
}

// answered reads the answer to a request.
func answered(t *testing.T, conn net.Conn, method string) (int, http.Header, string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(body)
}

func TestRoutes(t *testing.T) {
	s := start(t)
	for _, c := range []struct {
		method, path string
		code         int
		has          string
	}{
		{"GET", "/v1/status", 200, `"name": "status"`},
		{"GET", "/v1/failovers", 200, `"name": "failover"`},
		{"GET", "/metrics", 200, "poolproxy_up 1"},
		{"GET", "/healthz", 200, "ok"},
		{"GET", "/", 404, ""},
		{"POST", "/v1/status", 405, ""},
		{"DELETE", "/metrics", 405, ""},
		{"PUT", "/healthz", 405, ""},
	} {
		code, _, body := ask(t, s, c.method, c.path, "localhost")
		if code != c.code || !strings.Contains(body, c.has) {
			t.Errorf("%s %s: %d %q, want %d with %q", c.method, c.path, code, body, c.code, c.has)
		}
	}
}

func TestStatusIsJSON(t *testing.T) {
	_, header, body := ask(t, start(t), "GET", "/v1/status", "127.0.0.1:7878")
	var got sample
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Name != "status" {
		t.Errorf("got %q, %v", body, err)
	}
	if header.Get("Content-Type") != "application/json" {
		t.Errorf("Content-Type is %q", header.Get("Content-Type"))
	}
}

func TestHost(t *testing.T) {
	s := start(t)
	for host, code := range map[string]int{
		"localhost":           200,
		"LOCALHOST:7878":      200,
		"127.0.0.1":           200,
		"127.0.0.1:7878":      200,
		"[::1]:7878":          200,
		"[::1]":               200,
		"evil.example":        403,
		"evil.example:7878":   403,
		"localhost.evil.test": 403,
		"10.0.0.1:7878":       403,
	} {
		if got, _, _ := ask(t, s, "GET", "/v1/status", host); got != code {
			t.Errorf("Host %s: %d, want %d", host, got, code)
		}
	}
	if !ours("10.0.0.1:7878", netip.MustParseAddr("10.0.0.1")) {
		t.Error("the address that is listened on was refused")
	}
}

func TestLongHeadIsRefused(t *testing.T) {
	conn, err := net.Dial("tcp", start(t).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", maxHeader+1))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s", answer.Status)
	}
}

func TestAddressInUse(t *testing.T) {
	s := start(t)
	if second, err := Start(s.Addr(), Options{}); err == nil {
		second.Close()
		t.Fatal("two servers listen on one address")
	} else if !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("the error does not name the address: %v", err)
	}
}

func TestCloseTwice(t *testing.T) {
	s := start(t)
	s.Close()
	s.Close()
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func TestWhatIsNotGivenIsNotServed(t *testing.T) {
	s, err := Start(netip.MustParseAddrPort("127.0.0.1:0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, path := range []string{"/v1/status", "/v1/failovers", "/metrics"} {
		if code, _, _ := ask(t, s, "GET", path, "localhost"); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}
