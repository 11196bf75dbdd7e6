package admin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// shelf are cookies by client and server.
type shelf struct {
	mu sync.Mutex
	of map[string][]byte
}

func (s *shelf) get(client, server netip.AddrPort) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if client.Port() == 404 {
		return nil, &Refusal{http.StatusNotFound, errors.New("nobody there")}
	}
	return s.of[fmt.Sprint(client, server)], nil
}

func (s *shelf) set(client, server netip.AddrPort, cookie []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if client.Port() == 500 {
		return errors.New("out of flour")
	}
	s.of[fmt.Sprint(client, server)] = cookie
	return nil
}

func baker(t *testing.T) *Server {
	t.Helper()
	all := &shelf{of: make(map[string][]byte)}
	s, err := Start(netip.MustParseAddrPort("127.0.0.1:0"), Options{Cookies: &Cookies{Get: all.get, Set: all.set, Most: 10}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// send sends one request with a body on a connection of its own; less than 0 as the length sends it in chunks.
func send(t *testing.T, s *Server, method, path, host, body string, length int) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, path, host)
	if length < 0 {
		fmt.Fprintf(conn, "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, len(body), body)
	} else {
		fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, length, body)
	}
	if length > len(body) {
		conn.(*net.TCPConn).CloseWrite()
	}
	code, _, text := answered(t, conn, method)
	return code, text
}

func TestCookies(t *testing.T) {
	s := baker(t)
	for _, c := range []struct {
		method, path, body string
		length             int
		code               int
		has                string
	}{
		{"GET", "127.0.0.1:4000", "", 0, 204, ""},
		{"PUT", "127.0.0.1:4000", "a \x00 b", 5, 204, ""},
		{"GET", "127.0.0.1:4000", "", 0, 200, "a \x00 b"},
		{"HEAD", "127.0.0.1:4000", "", 0, 200, ""},
		{"GET", "127.0.0.1:4000?server=127.0.0.1:8081", "", 0, 204, ""},
		{"PUT", "127.0.0.1:4000?server=127.0.0.1:8081", "other", 5, 204, ""},
		{"GET", "127.0.0.1:4000?server=127.0.0.1:8081", "", 0, 200, "other"},
		{"PUT", "127.0.0.1:4000", "", 0, 204, ""},
		{"GET", "127.0.0.1:4000", "", 0, 200, ""}, // empty is not none
		{"PUT", "[::1]:4000", "0123456789", 10, 204, ""},
		{"GET", "%5B::1%5D:4000", "", 0, 200, "0123456789"},
		{"PUT", "127.0.0.1:4001", "chunks", -1, 204, ""},
		{"GET", "127.0.0.1:4001", "", 0, 200, "chunks"},

		{"PUT", "127.0.0.1:4000", "0123456789x", 11, 413, "at most 10 bytes"},
		{"PUT", "127.0.0.1:4000", "0123456789x", -1, 413, "at most 10 bytes"},
		{"PUT", "127.0.0.1:4000", "short", 6, 400, "not come in full"},
		{"GET", "127.0.0.1:4000", "", 0, 200, ""}, // none of them was taken
		{"GET", "here", "", 0, 400, `"here" is not an address`},
		{"PUT", "here", "x", 1, 400, `"here" is not an address`},
		{"GET", "127.0.0.1:4000?server=there", "", 0, 400, `server="there"`},
		{"GET", "127.0.0.1:404", "", 0, 404, "nobody there"},
		{"PUT", "127.0.0.1:500", "x", 1, 500, "out of flour"},
		{"POST", "127.0.0.1:4000", "x", 1, 405, ""},
		{"OPTIONS", "127.0.0.1:4000", "", 0, 405, ""},
		{"DELETE", "127.0.0.1:4000", "", 0, 405, ""},
		{"GET", "", "", 0, 404, ""},
		{"GET", "a/b", "", 0, 404, ""},
	} {
		code, text := send(t, s, c.method, "/v1/cookies/"+c.path, "localhost", c.body, c.length)
		if code != c.code || c.code == 200 && text != c.has || !strings.Contains(text, c.has) {
			t.Errorf("%s %s %q: %d %q, want %d with %q", c.method, c.path, c.body, code, text, c.code, c.has)
		}
	}
}

// A page that has its visitor's browser ask under the page's own name gets nothing, and changes nothing.
func TestCookiesAreGuarded(t *testing.T) {
	s := baker(t)
	send(t, s, "PUT", "/v1/cookies/127.0.0.1:4000", "localhost", "mine", 4)
	for _, method := range []string{"GET", "PUT"} {
		if code, text := send(t, s, method, "/v1/cookies/127.0.0.1:4000", "evil.example", "x", 1); code != 403 {
			t.Errorf("%s: %d %q", method, code, text)
		}
	}
	for _, header := range []string{"Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"} {
		if code, text := send(t, s, "PUT", "/v1/cookies/127.0.0.1:4000", "localhost\r\n"+header, "x", 1); code != 403 {
			t.Errorf("%s: %d %q", header, code, text)
		}
	}
	if _, text := send(t, s, "GET", "/v1/cookies/127.0.0.1:4000", "localhost", "", 0); text != "mine" {
		t.Errorf("it is %q now", text)
	}
}
