package protocol

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// firstRequest is the first request in what a client says, complete or not.
func firstRequest(t *testing.T, said string) *Request {
	t.Helper()
	_, req, err := NewHTTP(HTTPConfig{}).Requests().Next([]byte(said))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestHTTPLost(t *testing.T) {
	const unknown, not = "the request may have been carried out", "the request was not carried out"
	for _, c := range []struct {
		name, said string
		doubt      bool
		status     int // 0: the connection cannot go on
		text       string
	}{
		{"in doubt", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", true, 502, unknown},
		{"certain", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", false, 503, not},
		{"chunked", "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", true, 502, unknown},
		{"HEAD", "HEAD / HTTP/1.1\r\n\r\n", false, 503, ""},
		{"HTTP/1.0 that goes on", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, 502, unknown},
		{"keep-alive in a list", "GET / HTTP/1.1\r\nConnection: TE, keep-alive\r\n\r\n", true, 502, unknown},

		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", true, 0, ""},
		{"client closes", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", false, 0, ""},
		{"client closes, in a list", "GET / HTTP/1.0\r\nConnection: keep-alive, Close\r\n\r\n", false, 0, ""},
		{"client closes, in a second line", "GET / HTTP/1.1\r\nConnection: TE\r\nConnection: close\r\n\r\n", false, 0, ""},
		{"body to come", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nh", true, 0, ""},
		{"body waits for 100", "POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", true, 0, ""},
		{"last chunk to come", "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", true, 0, ""},
		{"head to come", "GET / HT", false, 0, ""},
		{"CONNECT", "CONNECT h:1 HTTP/1.1\r\n\r\n", true, 0, ""},
		{"upgrade", "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", true, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := NewHTTP(HTTPConfig{}).(LostReplies).Lost(firstRequest(t, c.said), c.doubt, "no element is\r\nleft")
			if c.status == 0 {
				if raw != nil {
					t.Fatalf("%q", raw)
				}
				return
			}
			method, _, _ := strings.Cut(c.said, " ")
			all := bufio.NewReader(io.MultiReader(bytes.NewReader(raw), strings.NewReader("HTTP/1.1 204 N\r\n\r\n")))
			resp, err := http.ReadResponse(all, &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || resp.Close || resp.Header.Get("Retry-After") != "1" ||
				resp.Header.Get("Poolproxy-Reason") != "no element is  left" || resp.ContentLength < 1 || !strings.Contains(string(body), c.text) {
				t.Fatalf("%v, %+v, body %q", err, resp, body)
			}
			if old := strings.Contains(c.said, "HTTP/1.0"); old != (resp.Header.Get("Connection") == "keep-alive") {
				t.Errorf("Connection: %q", resp.Header.Get("Connection"))
			}
			// The next reply begins where this one ends.
			if next, err := http.ReadResponse(all, nil); err != nil || next.StatusCode != 204 {
				t.Fatalf("behind it: %v", err)
			}
		})
	}
	lost := NewHTTP(HTTPConfig{}).(LostReplies)
	if lost.Lost(nil, true, "x") != nil || lost.Lost(&Request{}, true, "x") != nil {
		t.Error("a reply to no request")
	}
}

func TestHTTPInvalid(t *testing.T) {
	raw := NewHTTP(HTTPConfig{}).(Refuser).Invalid("protocol: malformed: http head: a NUL byte\x00\r\nX: y")
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 400 || !resp.Close || resp.Header.Get("X") != "" ||
		resp.Header.Get("Retry-After") != "" || !strings.Contains(string(body), "a NUL byte") {
		t.Fatalf("%v, %+v, body %q", err, resp, body)
	}
}
