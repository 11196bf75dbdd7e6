package protocol

import (
	"net/http"
	"strings"
	"testing"
)

// plainHeads are heads that are plain, as they come from clients and servers.
var plainHeads = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a/b_c-d~e.html?x=%20&y=/?[] HTTP/1.1\r\nHost: a:80\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
	"POST /p HTTP/1.1\nContent-Length: 17\nConnection: keep-alive\n\n",
	"PUT /p HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nconnection: Close\r\nRange: bytes=1-\r\n\r\n",
	"DELETE /" + strings.Repeat("x", 100) + " HTTP/1.1\r\n\r\n",
	"OPTIONS //a//b HTTP/1.1\r\nCookie:\t a=b; c=d \t\r\nX-Empty:\r\n\r\n",
	"HEAD /? HTTP/1.1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 15:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 128\r\n" +
		"Last-Modified: Sun, 22 Nov 2026 15:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n\r\n",
	"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/3\r\nContent-Length: 2\r\n\r\n",
	"HTTP/1.1 404\nTransfer-Encoding: chunked\nConnection: close\n\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\n\r\n",
	"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n",
}

// oddHeads are not plain, and some are not valid.
var oddHeads = []string{
	"GET / HTTP/1.0\r\n\r\n", "GET /%61 HTTP/1.1\r\n\r\n", "GET http://a/ HTTP/1.1\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\n\r\n",
	"GET /a b HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n", "GET / HTTP/1.1\r\nIdempotency-Key: k\r\n\r\n",
	"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
	"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "GET / HTTP/1.1\r\nA : b\r\n\r\n",
	"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\r\nA: \x01\r\n\r\n", "GET / HTTP/1.1\r\nConnection: close, x\r\n\r\n",
	"GET / HTTP/1.1\r\nTrailer: x\r\n\r\n", "GET /#a HTTP/1.1\r\n\r\n", " / HTTP/1.1\r\n\r\n",
	"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 100 C\r\n\r\n", "HTTP/1.1 2x0 OK\r\nContent-Length: 1\r\n\r\n",
	"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nETag:\r\nETag: x\r\n\r\n",
	"HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\n",
}

func TestHTTPPlain(t *testing.T) {
	for _, head := range plainHeads {
		if r, q := comparePlain(t, []byte(head)); !r && !q {
			t.Errorf("%q is plain, and was not read as such", head)
		}
	}
	for _, head := range oddHeads {
		if r, q := comparePlain(t, []byte(head)); r || q {
			t.Errorf("%q was read as plain", head)
		}
	}
}

// FuzzHTTPPlain: what is read of a plain head, net/http and the rules beside it say, too.
func FuzzHTTPPlain(f *testing.F) {
	for _, head := range append(oddHeads, plainHeads...) {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h := httpHead{max: HTTPMaxHead, strict: true, emptyFirst: true}
		if _, done, err := h.take(in); done && err == nil {
			comparePlain(t, h.text())
		}
		h = httpHead{max: HTTPMaxHead}
		if _, done, err := h.take(in); done && err == nil {
			comparePlain(t, h.text())
		}
	})
}

// comparePlain reads a complete head both ways, as that of a request and as that of a reply, and reports as which it is plain.
func comparePlain(t *testing.T, head []byte) (request, reply bool) {
	t.Helper()
	var plain, full requestHead
	if request = plain.readPlain(head, "GET /"); request {
		if err := full.read(head); err != nil || plain != full {
			t.Errorf("request %q: plain %+v, else %+v, %v", head, plain, full, err)
		}
	}
	for _, d := range []*httpRequest{{method: http.MethodGet}, {method: http.MethodPost, closes: true, offers: true}, {method: http.MethodHead}} {
		r := plainReply(head, d)
		if r == nil {
			continue
		}
		reply = true
		if full, err := readReply(head, d, false); err != nil || full == nil || *full != *r {
			t.Errorf("reply %q: plain %+v, else %+v, %v", head, r, full, err)
		}
	}
	return request, reply
}
