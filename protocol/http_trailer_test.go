package protocol

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The trailers of the new reply reach the client, if that has a place for them and the new reply is a whole one.
func TestHTTPJoinTrailers(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\n"
	const again = chunked + "8\r\nabcdefgh\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"
	for _, c := range []struct{ name, old, again, want string }{
		{"between chunks", chunked + "4\r\nabcd\r\n", again, "map[X-More:[2] X-Sum:[1]]"},
		{"inside a chunk", chunked + "8\r\nabc", again, "map[X-More:[2] X-Sum:[1]]"},
		{"all but the trailers", chunked + "8\r\nabcdefgh\r\n0\r\nX-S", again, "map[X-More:[2] X-Sum:[1]]"},
		{"no place for them", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabcd", again, "map[]"},
		{"none", chunked + "4\r\nabcd\r\n", chunked + "8\r\nabcdefgh\r\n0\r\n\r\n", "map[]"},
		{"of a part", chunked + "4\r\nabcd\r\n", "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes 0-7/8\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n0\r\nX-Sum: 2\r\n\r\n", "map[]"},
	} {
		for _, size := range []int{1, 7, 1000} {
			t.Run(fmt.Sprintf("%s, in pieces of %d", c.name, size), func(t *testing.T) {
				got := bufio.NewReader(strings.NewReader(joinedReply(t, c.old, c.again, size)))
				resp, err := http.ReadResponse(got, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil || string(body) != "abcdefgh" || fmt.Sprint(resp.Trailer) != c.want || got.Buffered() > 0 {
					t.Errorf("%v, body %q, trailers %v, %d bytes behind it", err, body, resp.Trailer, got.Buffered())
				}
			})
		}
	}
}

// joinedReply is what the client of a GET has in the end, when the first leg brought old and the second again.
func joinedReply(t *testing.T, old, again string, size int) string {
	t.Helper()
	p := NewHTTP(HTTPConfig{})
	const get = "GET / HTTP/1.1\r\n\r\n"
	req, replies := firstRequest(t, get), p.Replies()
	for rest := []byte(old); len(rest) > 0; {
		cut, err := replies.Next(req, rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[cut.N:]
	}
	d := replies.Delivered()
	_, j, err := p.Join(req, []byte(get), d)
	if err != nil {
		t.Fatal(err)
	}
	has := bytes.NewBufferString(old[:d.Bytes])
	for rest := []byte(again); len(rest) > 0; {
		n, out, end, err := j.Next(rest[:min(size, len(rest))])
		if err != nil {
			t.Fatal(err)
		}
		has.Write(out)
		if rest = rest[n:]; end != (len(rest) == 0) {
			t.Fatalf("end %v, %d bytes left", end, len(rest))
		}
	}
	return has.String()
}
