package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

// httpRequestsParser makes prototest parsers: Out is what a server would get, held bytes come with those that release them.
func httpRequestsParser() prototest.Parser {
	requests := NewHTTP(HTTPConfig{}).Requests()
	var held []byte
	var current *Request
	return func(piece []byte) (prototest.Step, error) {
		cut, req, err := requests.Next(piece)
		if err != nil {
			return prototest.Step{}, err
		}
		held = append(held, piece[:cut.N]...)
		if req == nil || current != nil && req != current || cut.Hold && cut.End || len(held) > HTTPMaxHead {
			return prototest.Step{}, fmt.Errorf("broken promise: request %p after %p, cut %+v, %d held", req, current, cut, len(held))
		}
		current = req
		step := prototest.Step{N: cut.N, End: cut.End}
		if cut.Hold {
			return step, nil
		}
		if !cut.Known {
			return step, fmt.Errorf("broken promise: passed and not known: %+v", cut)
		}
		step.Out, held = held, nil
		if cut.End {
			current = nil
			step.Note = requestNote(req, cut)
		}
		return step, nil
	}
}

// httpRepliesParser makes prototest parsers of replies; the i-th is the answer to a request with the i-th method ("": none is open).
func httpRepliesParser(methods ...string) func() prototest.Parser {
	return func() prototest.Parser {
		replies := NewHTTP(HTTPConfig{}).Replies()
		var held []byte
		var passed int64
		i := 0
		return func(piece []byte) (prototest.Step, error) {
			var req *Request
			if i < len(methods) && methods[i] != "" {
				req = requestOf(methods[i])
			}
			cut, err := replies.Next(req, piece)
			if err != nil {
				return prototest.Step{}, err
			}
			held = append(held, piece[:cut.N]...)
			step := prototest.Step{N: cut.N, End: cut.End}
			if cut.Hold {
				if len(held) > maxHeld || cut.End || replies.Delivered().Bytes != passed {
					return step, fmt.Errorf("broken promise: %d held, cut %+v", len(held), cut)
				}
				return step, nil
			}
			passed += int64(len(held))
			step.Out, held = held, nil
			if cut.End {
				i, passed = i+1, 0
			}
			if cut.Close {
				step.Note = "close"
			}
			if got := replies.Delivered().Bytes; got != passed {
				return step, fmt.Errorf("broken promise: delivered %d, passed %d", got, passed)
			}
			return step, nil
		}
	}
}

// requestOf is a request as Requests would hand it over: "GET", "CONNECT", "UPGRADE", "GET close".
func requestOf(what string) *Request {
	method, closes := strings.CutSuffix(what, " close")
	d := &httpRequest{method: method, closes: closes}
	d.tunnel, d.offers = method == "CONNECT", method == "UPGRADE"
	if method == "UPGRADE" {
		d.method = "GET"
	}
	return &Request{Detail: d}
}

func messages(m ...prototest.Message) []prototest.Message { return m }

func TestHTTPRequests(t *testing.T) {
	get := "GET /a?secret=1 HTTP/1.1\r\nHost: h\r\n\r\n"
	chunked := "PUT /up HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=\"b\" ; c\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"
	long := "GET /" + strings.Repeat("x", 100) + " HTTP/1.1\r\n\r\n"
	for _, c := range []struct {
		name, in string
		want     []prototest.Message
		rest     int
	}{
		{"get", get, messages(prototest.Message{Bytes: len(get), Note: "safe one GET /a"}), 0},
		{"pipelined", get + get, messages(prototest.Message{Bytes: len(get), Note: "safe one GET /a"},
			prototest.Message{Bytes: len(get), Note: "safe one GET /a"}), 0},
		{"LF only", "HEAD / HTTP/1.0\nA: b\n\n", messages(prototest.Message{Bytes: 22, Note: "safe one HEAD /"}), 0},
		{"empty lines first", "\r\n\n\r\n" + get, messages(prototest.Message{Bytes: 5 + len(get), Note: "safe one GET /a"}), 0},
		{"length", "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" + get,
			messages(prototest.Message{Bytes: 41, Note: "unsafe one POST /"}, prototest.Message{Bytes: len(get), Note: "safe one GET /a"}), 0},
		{"same length twice", "POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length:1 \r\n\r\na",
			messages(prototest.Message{Bytes: 58, Note: "unsafe one POST /"}), 0},
		{"length 0", "PATCH / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
			messages(prototest.Message{Bytes: 39, Note: "unsafe one PATCH /"}), 0},
		{"chunked", chunked + get,
			messages(prototest.Message{Bytes: len(chunked), Note: "safe one PUT /up"},
				prototest.Message{Bytes: len(get), Note: "safe one GET /a"}), 0},
		{"absolute form", "GET http://user:pw@h/x HTTP/1.1\r\n\r\n", messages(prototest.Message{Bytes: 35, Note: "safe one GET /x"}), 0},
		{"idempotent", "POST / HTTP/1.1\r\nIdempotency-Key: \"1\"\r\n\r\n",
			messages(prototest.Message{Bytes: 41, Note: "safe one POST /"}), 0},
		{"options", "OPTIONS * HTTP/1.1\r\n\r\n", messages(prototest.Message{Bytes: 22, Note: "safe one OPTIONS *"}), 0},
		{"long path", long, messages(prototest.Message{Bytes: len(long), Note: "safe one GET /" + strings.Repeat("x", 75)}), 0},
		{"unfinished head", "GET / HT", nil, 8},
		{"unfinished body", "PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", nil, 40},
		{"connect", "CONNECT h:1 HTTP/1.1\r\n\r\nGET \x00\r", nil, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			prototest.Pieces(t, httpRequestsParser, []byte(c.in), prototest.Result{Messages: c.want, Rest: c.rest, Out: passedOf(c.in)})
		})
	}
}

// passedOf is what of a good input goes on: all but an unfinished head.
func passedOf(in string) string {
	if !strings.Contains(in, "\n\r\n") && !strings.Contains(in, "\n\n") {
		return ""
	}
	return in
}

func TestHTTPRequestsRefused(t *testing.T) {
	post := "POST / HTTP/1.1\r\n"
	chunked := post + "Transfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct{ name, in, passed string }{
		{"both framings", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{"both, other order", post + "transfer-encoding: chunked\r\nContent-Length: 3\r\n\r\n", ""},
		{"two lengths", post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", ""},
		{"length list", post + "Content-Length: 3, 3\r\n\r\n", ""},
		{"length sign", post + "Content-Length: +3\r\n\r\n", ""},
		{"length overflow", post + "Content-Length: 9223372036854775808\r\n\r\n", ""},
		{"empty length", post + "Content-Length:\r\n\r\n", ""},
		{"coding", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", ""},
		{"two codings", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{"odd coding", post + "Transfer-Encoding: \x0bchunked\r\n\r\n", ""},
		{"coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{"lone CR", post + "A: b\rContent-Length: 3\r\n\r\n", ""},
		{"CR CR LF", post + "A: b\r\r\n\r\n", ""},
		{"mixed ends", post + "A: b\nContent-Length: 3\r\n\r\n", ""},
		{"NUL", post + "A: \x00b\r\n\r\n", ""},
		{"folded", post + "A: b\r\n c\r\n\r\n", ""},
		{"space before colon", post + "Content-Length : 3\r\n\r\n", ""},
		{"no colon", post + "Content-Length\r\n\r\n", ""},
		{"no name", post + ": 3\r\n\r\n", ""},
		{"version", "GET / HTTP/2.0\r\n\r\n", ""},
		{"preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
		{"version 0.9", "GET /\r\n\r\n", ""},
		{"space in target", "GET /a b HTTP/1.1\r\n\r\n", ""},
		{"TLS", "\x16\x03\x01\x02\x00\x01", ""},
		{"long head", post + "A: " + strings.Repeat("x", HTTPMaxHead) + "\r\n\r\n", ""},
		{"endless empty lines", strings.Repeat("\r\n", HTTPMaxHead), ""},
		{"chunk size junk", chunked + "5x\r\nhello\r\n", chunked},
		{"chunk size 0x", chunked + "0x5\r\nhello\r\n", chunked},
		{"no chunk size", chunked + ";a\r\nhello\r\n", chunked},
		{"chunk size overflow", chunked + "FFFFFFFFFFFFFFFF\r\n", chunked},
		{"chunk size 17 digits", chunked + "00000000000000001\r\n", chunked},
		{"chunk size LF", chunked + "5\nhello\r\n", chunked},
		{"CR in extension", chunked + "5;a\rb\r\nhello\r\n", chunked},
		{"long extension", chunked + "5;" + strings.Repeat("a", 5<<10) + "\r\n", chunked},
		{"chunk too long", chunked + "5\r\nhello!\r\n", chunked + "5\r\nhello"},
		{"second chunk bad", chunked + "5\r\nhello\r\n-1\r\n", chunked + "5\r\nhello\r\n"},
		{"trailer junk", chunked + "0\r\nfoo\r\n\r\n", chunked},
		{"trailer LF", chunked + "0\r\nA: b\n\r\n", chunked},
		{"long trailers", chunked + "0\r\n" + strings.Repeat("A: b\r\n", 2<<10) + "\r\n", chunked},
	} {
		t.Run(c.name, func(t *testing.T) {
			prototest.Pieces(t, httpRequestsParser, []byte(c.in), prototest.Result{Err: ErrMalformed, Out: c.passed})
		})
	}
}

func TestHTTPRequestErrorStays(t *testing.T) {
	r := NewHTTP(HTTPConfig{}).Requests()
	if _, _, err := r.Next([]byte("nonsense\r\n\r\n")); !errors.Is(err, ErrMalformed) {
		t.Fatal(err)
	}
	if _, _, err := r.Next([]byte("GET / HTTP/1.1\r\n\r\n")); !errors.Is(err, ErrMalformed) {
		t.Fatal(err)
	}
}

func TestHTTPReplies(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, in string
		methods  []string
		want     []prototest.Message
		rest     int
	}{
		{"length", ok + ok, []string{"GET", "POST"}, messages(prototest.Message{Bytes: len(ok)}, prototest.Message{Bytes: len(ok)}), 0},
		{"head", ok[:len(ok)-2] + ok, []string{"HEAD", "GET"},
			messages(prototest.Message{Bytes: len(ok) - 2}, prototest.Message{Bytes: len(ok)}), 0},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + ok, []string{"GET"},
			messages(prototest.Message{Bytes: len(ok) + 56}), 0},
		{"204", "HTTP/1.1 204 N\r\n\r\n" + ok, []string{"GET", "GET"},
			messages(prototest.Message{Bytes: 18}, prototest.Message{Bytes: len(ok)}), 0},
		{"304", "HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n" + ok, []string{"GET", "GET"},
			messages(prototest.Message{Bytes: 37}, prototest.Message{Bytes: len(ok)}), 0},
		{"chunked", chunked + "2 \r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n" + ok, []string{"GET", "GET"},
			messages(prototest.Message{Bytes: len(chunked) + 23}, prototest.Message{Bytes: len(ok)}), 0},
		{"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", []string{"GET"},
			messages(prototest.Message{Bytes: 59, Note: "close"}), 0},
		{"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", []string{"GET"},
			messages(prototest.Message{Bytes: 40, Note: "close"}), 0},
		{"1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", []string{"GET"},
			messages(prototest.Message{Bytes: 64}), 0},
		{"asked to close", ok, []string{"GET close"}, messages(prototest.Message{Bytes: len(ok), Note: "close"}), 0},
		{"until close", "HTTP/1.1 200 OK\r\n\r\nabc\r\nHTTP/1.1 ", []string{"GET"}, nil, 33},
		{"unasked", "HTTP/1.1 408 T\r\nContent-Length: 1\r\nConnection: close\r\n\r\n!", nil,
			messages(prototest.Message{Bytes: 57, Note: "close"}), 0},
		{"upgrade", "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n\x00\x01\r\n", []string{"UPGRADE"}, nil, 34},
		{"upgrade refused", ok, []string{"UPGRADE"}, messages(prototest.Message{Bytes: len(ok)}), 0},
		{"connect", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\x00\x01\r\n", []string{"CONNECT"}, nil, 42},
		{"connect refused", "HTTP/1.1 403 F\r\nContent-Length: 1\r\n\r\nx", []string{"CONNECT"},
			messages(prototest.Message{Bytes: 38}), 0},
		{"mixed ends", "HTTP/1.1 200 OK\r\nContent-Length: 1\n\nx", []string{"GET"}, messages(prototest.Message{Bytes: 37}), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			prototest.Pieces(t, httpRepliesParser(c.methods...), []byte(c.in), prototest.Result{Messages: c.want, Rest: c.rest, Out: c.in})
		})
	}
}

func TestHTTPRepliesRefused(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"no HTTP", "SSH-2.0-x\r\n\r\n"},
		{"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"},
		{"101 unasked", "HTTP/1.1 101 S\r\n\r\n"},
		{"version", "HTTP/2.0 200 OK\r\n\r\n"},
		{"status", "HTTP/1.1 099 OK\r\n\r\n"},
		{"empty line", "\r\nHTTP/1.1 200 OK\r\n\r\n"},
		{"long", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", HTTPMaxHead)},
		{"folded", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			prototest.Pieces(t, httpRepliesParser("GET"), []byte(c.in), prototest.Result{Err: ErrMalformed})
		})
	}
}

func TestHTTPFinish(t *testing.T) {
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"HTTP/1.1 200 OK\r\n", false},
		{"HTTP/1.1 200 OK\r\n\r\n", true},
		{"HTTP/1.1 200 OK\r\n\r\nabc", true},
		{"HTTP/1.1 100 C\r\n\r\n", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false}, // that reply is over, and no other has begun
	} {
		r := NewHTTP(HTTPConfig{}).Replies()
		if prototest.Run(stepsOf(r), []byte(c.in), func() int { return 7 }).Err != nil || r.Finish(requestOf("GET")) != c.want {
			t.Errorf("%q: Finish is not %v", c.in, c.want)
		}
	}
}

// stepsOf runs a GET's replies through r.
func stepsOf(r Replies) prototest.Parser {
	return func(p []byte) (prototest.Step, error) {
		cut, err := r.Next(requestOf("GET"), p)
		return prototest.Step{N: cut.N, End: cut.End}, err
	}
}

func TestHTTPAbort(t *testing.T) {
	raw := NewHTTP(HTTPConfig{}).Abort("no element\r\nof pool \"ä\" " + strings.Repeat("x", 300))
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	reason := resp.Header.Get("Poolproxy-Reason")
	if err != nil || resp.StatusCode != 502 || !resp.Close || resp.Header.Get("Retry-After") != "1" || string(body) != reason+"\n" ||
		!strings.HasPrefix(reason, "no element  of pool") {
		t.Fatalf("%v, %d, close %v, reason %q, body %q", err, resp.StatusCode, resp.Close, reason, body)
	}
	if len(reason) > 200 {
		t.Fatalf("the reason has %d bytes", len(reason))
	}
}

// A CONNECT that the server has agreed to is the same endless message, of which nothing is known, as before.
func TestHTTPConnect(t *testing.T) {
	const head = "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"
	r := NewHTTP(HTTPConfig{}).Requests()
	c, first, err := r.Next([]byte(head))
	if err != nil || c.End || !c.Known || c.N != len(head) || first.Expect != ExpectUnknown || first.Label != "CONNECT a:1" {
		t.Fatalf("%+v, %+v, %v", c, first, err)
	}
	replies := NewHTTP(HTTPConfig{}).Replies()
	if c, err := replies.Next(first, []byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil || !c.Tunnel || c.End {
		t.Fatalf("200: %+v, %v", c, err)
	}
	r.(Tunneler).Tunnel()
	for _, in := range []string{"\x16\x03\x01", "no HTTP \x00\r\n\r\n"} {
		if c, req, err := r.Next([]byte(in)); err != nil || c.End || c.Hold || c.N != len(in) || req != first || req.Expect != ExpectUnknown || req.Safe {
			t.Errorf("%q: %+v, %+v, %v", in, c, req, err)
		}
	}
}

// An upgrade is a request like any other until the server agrees; then everything is one endless message.
func TestHTTPUpgrade(t *testing.T) {
	const request, next = "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n"
	r := NewHTTP(HTTPConfig{}).Requests()
	for _, in := range []string{request, next} {
		if c, req, err := r.Next([]byte(in)); err != nil || !c.End || c.N != len(in) || !req.Safe || req.Expect != ExpectOne {
			t.Fatalf("%q: %+v, %+v, %v", in, c, req, err)
		}
	}
	_, req, _ := r.Next([]byte(request))
	replies := NewHTTP(HTTPConfig{}).Replies()
	if c, err := replies.Next(req, []byte("HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n")); err != nil || !c.Tunnel || c.End {
		t.Fatalf("101: %+v, %v", c, err)
	}
	r.(Tunneler).Tunnel()
	for _, in := range []string{"\x81\x00", "no HTTP \x00\r\n\r\n"} {
		if c, req, err := r.Next([]byte(in)); err != nil || c.End || c.Hold || c.N != len(in) || req.Expect != ExpectNone {
			t.Errorf("%q: %+v, %+v, %v", in, c, req, err)
		}
	}
	if c, err := replies.Next(req, []byte("\x00 anything")); err != nil || c.Tunnel || c.End || c.Hold {
		t.Errorf("behind 101: %+v, %v", c, err)
	}
}
