package protocol

import (
	"fmt"
	"net/http"
)

var (
	_ LostReplies = (*httpProtocol)(nil)
	_ Refuser     = (*httpProtocol)(nil)
)

// retryAfter tells clients to come back in a second, when another server has most likely taken over (RFC 9110 §10.2.3).
const retryAfter = "Retry-After: 1\r\n"

// Abort returns a complete 502 reply, behind which the connection is closed, that carries the reason in a field and in its body.
func (h *httpProtocol) Abort(reason string) []byte {
	reason = plainText(reason)
	return httpError(http.StatusBadGateway, reason, reason, retryAfter+"Connection: close\r\n")
}

// Lost is a 502 where a server may have carried out the request, a 503 where none has; its body says so in words. It is nil where the
// connection cannot go on behind it: the request is not complete, its client or HTTP/1.0 ends the connection with the reply, or
// it may have become a tunnel.
func (h *httpProtocol) Lost(req *Request, doubt bool, reason string) []byte {
	if req == nil {
		return nil
	}
	d, ok := req.Detail.(*httpRequest)
	if !ok || !d.complete || d.closes || d.tunnel || d.offers {
		return nil
	}
	status, outcome := http.StatusServiceUnavailable, "the request was not carried out"
	if doubt {
		status, outcome = http.StatusBadGateway, "the request may have been carried out"
	}
	fields := retryAfter
	if d.minor == 0 {
		fields += "Connection: keep-alive\r\n" // an HTTP/1.0 client must be told that what it asked for is granted
	}
	reason = plainText(reason)
	reply := httpError(status, reason, reason+"; "+outcome, fields)
	if d.method == http.MethodHead {
		reply = reply[:len(reply)-len(reason+"; "+outcome+"\n")] // its Content-Length stays (RFC 9110 §9.3.2)
	}
	return reply
}

// Invalid is a 400: the client's bytes are no request, or could be read as two different ones.
func (h *httpProtocol) Invalid(reason string) []byte {
	reason = plainText(reason)
	return httpError(http.StatusBadRequest, reason, reason, "Connection: close\r\n")
}

// httpError is a complete reply of our own. The reason and the text are plain; fields are whole lines.
func httpError(status int, reason, text, fields string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n"+
		"Content-Type: text/plain\r\n"+
		"Content-Length: %d\r\n"+
		"%s"+
		"Poolproxy-Reason: %s\r\n"+
		"\r\n%s\n", status, http.StatusText(status), len(text)+1, fields, reason, text)
}
