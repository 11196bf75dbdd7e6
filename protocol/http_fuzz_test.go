package protocol

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

// FuzzHTTPRequests: boundaries do not depend on pieces, and net/http sees the same ones in what it accepts.
func FuzzHTTPRequests(f *testing.F) {
	f.Add([]byte("GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\nHEAD / HTTP/1.0\n\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n"))
	f.Add([]byte("CONNECT h:1 HTTP/1.1\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got := prototest.Same(t, httpRequestsParser, in)
		if !bytes.HasPrefix(in, []byte(got.Out)) {
			t.Fatalf("passed %q of %q", got.Out, in)
		}
		for _, m := range got.Messages {
			one := bytes.TrimLeft(in[:m.Bytes], "\r\n")
			in = in[m.Bytes:]
			br := bufio.NewReaderSize(bytes.NewReader(one), len(one)+1)
			req, err := http.ReadRequest(br)
			if err != nil {
				t.Fatalf("net/http does not accept %q: %v", one, err)
			}
			if _, err := io.Copy(io.Discard, req.Body); err == nil && br.Buffered() > 0 {
				t.Fatalf("net/http sees the end of %q %d bytes earlier", one, br.Buffered())
			} else if err == io.ErrUnexpectedEOF {
				t.Fatalf("net/http sees no end of %q", one)
			}
		}
	})
}

// FuzzHTTPReplies is FuzzHTTPRequests for replies to GET, HEAD, and nothing.
func FuzzHTTPReplies(f *testing.F) {
	f.Add([]byte("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\nHTTP/1.1 304 N\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 200 OK\n\nabc"))
	methods := []string{"GET", "HEAD", ""}
	f.Fuzz(func(t *testing.T, in []byte) {
		got := prototest.Same(t, httpRepliesParser(methods...), in)
		if !bytes.HasPrefix(in, []byte(got.Out)) {
			t.Fatalf("passed %q of %q", got.Out, in)
		}
		for i, m := range got.Messages {
			one := in[:m.Bytes]
			in = in[m.Bytes:]
			method := "GET"
			if i == 1 {
				method = "HEAD"
			}
			checkReply(t, one, method)
		}
	})
}

func checkReply(t *testing.T, one []byte, method string) {
	t.Helper()
	br := bufio.NewReaderSize(bytes.NewReader(one), len(one)+1)
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("net/http does not accept %q: %v", one, err)
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		if _, err := io.Copy(io.Discard, resp.Body); err == nil && br.Buffered() > 0 {
			t.Fatalf("net/http sees the end of %q %d bytes earlier", one, br.Buffered())
		} else if err == io.ErrUnexpectedEOF {
			t.Fatalf("net/http sees no end of %q", one)
		}
		return
	}
}

// FuzzHTTPJoin: whatever a new server says, a reply that ends is one that the client can read, and begins with what it had.
func FuzzHTTPJoin(f *testing.F) {
	whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(joinBody), joinBody)
	f.Add(uint8(0), uint16(100), []byte(whole))
	f.Add(uint8(1), uint16(90), []byte(strings.Replace(whole, "OK\r\n", "OK\r\nETag: \"v1\"\r\n", 1)))
	f.Add(uint8(5), uint16(150), []byte("HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 70-79/80\r\n\r\n0123456789"))
	f.Add(uint8(5), uint16(150), []byte("HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 0-79/80\r\n\r\n"+joinBody))
	f.Add(uint8(3), uint16(150), []byte("HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 0-79/80\r\n\r\n"+joinBody[:60]+joinBody[:20]))
	f.Add(uint8(1), uint16(99), []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n"+joinBody+"\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, how uint8, at uint16, evil []byte) {
		old := testServer{kind: joinKinds[how%3], fields: joinFields[how/3%4], body: joinBody}
		raw := old.reply(t, []byte(joinGet), 1)
		c := newClient(t, joinGet)
		c.first(t, raw[:int(at)%len(raw)], 1+int(how))
		had := len(c.got)
		_, whole, err := c.p.Join(c.req, c.head, c.last)
		if err != nil {
			t.Fatal(err)
		}
		_, bytewise, _ := c.p.Join(c.req, c.head, c.last)
		out, end, err := runJoiner(whole, evil)
		moved := &warm{Joiner: bytewise, t: t, p: c.p}
		out1, end1, err1 := runJoiner(slowly{moved}, evil)
		bytewise = moved.Joiner
		if end != end1 || (err == nil) != (err1 == nil) || !end && err == nil && whole.Finish() != bytewise.Finish() {
			t.Fatalf("whole: end %v, %v; bytewise: end %v, %v", end, err, end1, err1)
		}
		if !end && (err != nil || !whole.Finish()) {
			return
		}
		inBody := c.last.Detail.(*httpDelivered).decoded.Bytes()
		for _, o := range [][]byte{out, out1} {
			c.got = append(c.got[:had:had], o...)
			if had == 0 || inBody == 0 {
				continue // then the reply is the new server's alone
			}
			if got := c.body(t); got[:inBody] != joinBody[:inBody] {
				t.Fatalf("the client had %d bytes of the body, and got %q", inBody, got)
			}
		}
	})
}

// slowly is a Joiner that is given single bytes.
type slowly struct{ Joiner }

func (s slowly) Next(p []byte) (int, []byte, bool, error) { return s.Joiner.Next(p[:1]) }
