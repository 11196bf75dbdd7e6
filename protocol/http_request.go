package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// httpRequest is Request.Detail: what Replies and Join need to remember of a request.
type httpRequest struct {
	method   string
	minor    int      // of its version
	ranged   bool     // the client itself asks for a part (Range)
	closes   bool     // the server closes the connection behind its reply (Connection: close, or HTTP/1.0)
	tunnel   bool     // CONNECT: what follows is not HTTP
	offers   bool     // an Upgrade field: it may become a tunnel
	body     bodyKind // what follows the head
	complete bool     // all of it has come
}

// httpMessage is a Request and its Detail, in one piece of memory.
type httpMessage struct {
	req    Request
	detail httpRequest
}

// detailOf returns the detail of a request that this package has made; of an unknown one, that of a plain GET (RFC 9112 §6.3 has no
// better word for a server that speaks unasked).
func detailOf(req *Request) *httpRequest {
	if req != nil {
		if d, ok := req.Detail.(*httpRequest); ok {
			return d
		}
	}
	return &httpRequest{method: http.MethodGet}
}

type httpRequests struct {
	early  int64 // bytes of the head so far
	tunnel bool  // the server has agreed to an upgrade
	head   httpHead
	body   httpBody
	req    *Request // the current message; nil between two
	detail *httpRequest
	space  *httpRequest // where detail will be
	label  string       // of the message before, or this one
	err    error        // the first error is the last word
}

func (r *httpRequests) Next(p []byte) (Cut, *Request, error) {
	if r.err != nil {
		return Cut{}, r.req, r.err
	}
	var c Cut
	c, r.err = r.next(p)
	req := r.req
	if c.End {
		r.detail.complete = true
		r.req, r.detail = nil, nil
	}
	return c, req, r.err
}

// Tunnel: what follows is another protocol (Tunneler). Behind CONNECT the message without an end has come already, and stays what it
// is: a request of which nothing is known. Behind an upgrade it is the upgrade's request that the session knows nothing of any more.
func (r *httpRequests) Tunnel() {
	if r.detail != nil && r.detail.tunnel {
		return
	}
	r.tunnel, r.req, r.detail = true, nil, nil
	r.head.reset()
}

func (r *httpRequests) next(p []byte) (Cut, error) {
	if r.req == nil {
		m := &httpMessage{}
		r.req, r.space = &m.req, &m.detail
	}
	if r.tunnel {
		r.req.Expect, r.req.Label = ExpectNone, "tunnel"
		return Cut{N: len(p), Known: true}, nil
	}
	n := 0
	if r.detail == nil {
		k, done, err := r.head.take(p)
		if err != nil {
			return Cut{}, err
		}
		r.early += int64(k)
		if !done {
			return Cut{N: k, Hold: true}, nil
		}
		if err := r.begin(); err != nil {
			return Cut{}, err
		}
		r.req.Early, r.early = r.early, 0 // many servers act on the head, or on the body as it comes
		n = k
	}
	c, err := r.body.cut(p, n, nil)
	c.Known = err == nil
	return c, err
}

// begin judges the complete head, and fills in the Request.
func (r *httpRequests) begin() error {
	defer r.head.reset()
	var h requestHead
	if !h.readPlain(r.head.text(), r.label) {
		h = requestHead{}
		if err := h.read(r.head.text()); err != nil {
			return err
		}
	}
	d := r.space
	*d = h.detail
	// A key makes any request safe to repeat: the server promises to carry it out once (draft-ietf-httpapi-idempotency-key-header §2:
	// one value; of two, nobody knows which the server takes).
	r.req.Safe, r.req.Expect = isSafe(d.method) || h.key, ExpectOne
	kind, length := d.body, h.length
	if d.tunnel {
		r.req.Safe, r.req.Expect = false, ExpectUnknown
		kind, length = bodyClose, -1
	}
	r.label = h.label
	r.req.Label, r.req.Detail = h.label, d
	r.detail, r.body = d, newBody(kind, length)
	r.body.strict = true
	return nil
}

// read reads any head, with the help of net/http.
func (r *requestHead) read(head []byte) error {
	framing, err := readFraming(head)
	if err != nil {
		return err
	}
	req, err := readHTTPRequest(head)
	if err != nil {
		return errHTTP("request head", "%s", withoutBytes(err))
	}
	if req.ProtoMajor != 1 {
		return errHTTP("request head", "version %s", req.Proto)
	}
	kind, length, err := framing.body(req.ProtoMinor, bodyNone)
	if err != nil {
		return err
	}
	r.detail = httpRequest{
		method: req.Method,
		minor:  req.ProtoMinor,
		ranged: len(req.Header["Range"]) > 0,
		closes: req.Close,
		tunnel: req.Method == http.MethodConnect,
		offers: len(req.Header["Upgrade"]) > 0,
		body:   kind,
	}
	key := req.Header["Idempotency-Key"]
	r.length, r.key, r.label = length, len(key) == 1 && key[0] != "", requestLabel(req)
	return nil
}

// isSafe: safe or idempotent by RFC 9110 §9.2.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// maxLabel bounds labels, in bytes.
const maxLabel = 80

// requestLabel is the method and the path: queries and user names are left out, they may be secrets.
func requestLabel(req *http.Request) string {
	path := req.URL.EscapedPath()
	if req.Method == http.MethodConnect {
		path = req.Host
	}
	label := req.Method + " " + path
	return strings.ToValidUTF8(label[:min(len(label), maxLabel)], "")
}

// headReaders lends buffers to net/http, which wants a bufio.Reader for every head.
var headReaders = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// readHTTPRequest lets net/http judge a head.
func readHTTPRequest(head []byte) (*http.Request, error) {
	br := headReaders.Get().(*bufio.Reader)
	defer headReaders.Put(br)
	br.Reset(bytes.NewReader(head))
	return http.ReadRequest(br) // its Body would read on in br: nobody reads it
}

// withoutBytes is an error of net/http up to where it repeats what it was about: the log is no place for that.
func withoutBytes(err error) string {
	var bad *url.Error
	if errors.As(err, &bad) {
		err = bad.Err
	}
	text := strings.TrimPrefix(err.Error(), "http: ")
	if i := strings.IndexAny(text, "\"[:"); i >= 0 {
		text = text[:i]
	}
	return strings.TrimRight(text, " ")
}

// readHTTPResponse lets net/http judge the head of a reply to a request of this method.
func readHTTPResponse(head []byte, method string) (*http.Response, error) {
	br := headReaders.Get().(*bufio.Reader)
	defer headReaders.Put(br)
	br.Reset(bytes.NewReader(head))
	return http.ReadResponse(br, &http.Request{Method: method})
}
