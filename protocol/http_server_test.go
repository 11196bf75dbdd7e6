package protocol

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// realServer serves one body in the ways of net/http.
func realServer(t *testing.T, body string) string {
	t.Helper()
	mux := http.NewServeMux()
	serve := func(tag string, modified time.Time) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			if tag != "" {
				w.Header().Set("ETag", tag)
			}
			http.ServeContent(w, r, "", modified, strings.NewReader(body))
		}
	}
	mux.Handle("/tag", serve(`"v1"`, time.Time{}))
	mux.Handle("/date", serve("", time.Unix(1700000000, 0)))
	mux.Handle("/plain", serve("", time.Time{}))
	mux.HandleFunc("/dynamic", func(w http.ResponseWriter, _ *http.Request) {
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 1000)
			_, _ = io.WriteString(w, rest[:n])
			w.(http.Flusher).Flush()
			rest = rest[n:]
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// exchange sends a head, and reads the server's answer to the end of its connection.
func exchange(t *testing.T, address string, head []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // only against a test that hangs
	if _, err := conn.Write(head); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestHTTPJoinNetHTTP interrupts replies of net/http's own server, and lets it go on.
func TestHTTPJoinNetHTTP(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1000)
	address := realServer(t, body)
	for _, c := range []struct {
		path, fields, version, want string
		saves                       bool
	}{
		{"/tag", "", "1.1", body, true},
		{"/date", "", "1.1", body, true},
		{"/plain", "", "1.1", body, false},
		{"/dynamic", "", "1.1", body, false},
		{"/dynamic", "", "1.0", body, false}, // until close
		{"/tag", "Range: bytes=100-12099\r\n", "1.1", body[100:12100], true},
		{"/tag", "Range: bytes=-12000\r\n", "1.1", body[4000:], true},
		{"/date", "Range: bytes=100-12099\r\n", "1.1", body[100:12100], false},
		{"/tag", "If-None-Match: \"v0\"\r\nIf-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT\r\n", "1.1", body, true},
	} {
		t.Run(c.path+c.fields+c.version, func(t *testing.T) {
			head := fmt.Sprintf("GET %s HTTP/%s\r\nHost: h\r\n%sConnection: close\r\n\r\n", c.path, c.version, c.fields)
			raw := exchange(t, address, []byte(head))
			begin := bytes.Index(raw, []byte("\r\n\r\n")) + 4
			for _, at := range []int{0, begin - 1, begin, begin + 1, begin + 1003, begin + 1010, begin + 3000, begin + overlap + 1, begin + 9000, len(raw) - 1} {
				cl := newClient(t, head)
				cl.first(t, raw[:at], 333)
				again, j, err := cl.p.Join(cl.req, cl.head, cl.last)
				if err != nil {
					t.Fatal(err)
				}
				if again == nil {
					again = cl.head
				}
				out, end, err := runJoiner(j, exchange(t, address, again))
				if err != nil || !end && !j.Finish() {
					t.Fatalf("cut at %d: end %v, %v", at, end, err)
				}
				cl.got = append(cl.got, out...)
				if got := cl.body(t); got != c.want {
					t.Fatalf("cut at %d: %d bytes, want %d", at, len(got), len(c.want))
				}
				if saved := j.(interface{ Saved() int64 }).Saved(); (c.saves && at > begin+overlap) != (saved > 0) || !j.(interface{ Closes() bool }).Closes() {
					t.Fatalf("cut at %d: saved %d, asked with %q", at, saved, again)
				}
			}
		})
	}
}
