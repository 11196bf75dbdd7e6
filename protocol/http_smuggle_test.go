package protocol

import (
	"errors"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

// smuggled are requests of which two readers could see two different ends (RFC 9112 §11.2, and the tricks of the trade). passed is
// what a server may get of each: nothing of its head; of a bad body, what comes before the place.
var smuggled = []struct{ name, in, passed string }{
	{"length and coding", head("Content-Length: 4", "Transfer-Encoding: chunked") + "0\r\n\r\nG", ""},
	{"coding and length", head("Transfer-Encoding: chunked", "Content-Length: 4") + "0\r\n\r\nG", ""},
	{"length and unknown coding", head("Content-Length: 4", "Transfer-Encoding: x") + "0\r\n\r\nG", ""},
	{"length and empty coding", head("Content-Length: 4", "Transfer-Encoding:") + "abcd", ""},
	{"conflicting lengths", head("Content-Length: 4", "Content-Length: 5") + "abcde", ""},
	{"lengths written differently", head("Content-Length: 4", "Content-Length: 04") + "abcd", ""},
	{"conflicting lengths in a list", head("Content-Length: 4, 5") + "abcde", ""},
	{"one length in a list", head("Content-Length: 4,") + "abcd", ""},
	{"length with a sign", head("Content-Length: +4") + "abcd", ""},
	{"negative length", head("Content-Length: -4") + "abcd", ""},
	{"hexadecimal length", head("Content-Length: 0x4") + "abcd", ""},
	{"length with an underscore", head("Content-Length: 1_0") + "abcdefghij", ""},
	{"length with a space in it", head("Content-Length: 1 0") + "abcdefghij", ""},
	{"length with a vertical tab", head("Content-Length: \x0b4") + "abcd", ""},
	{"length past 63 bits", head("Content-Length: 18446744073709551620") + "abcd", ""},
	{"length in other digits", head("Content-Length: ٤") + "abcd", ""},

	{"coding twice", head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n", ""},
	{"coding twice in a list", head("Transfer-Encoding: chunked, chunked") + "0\r\n\r\n", ""},
	{"coding and identity", head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + "0\r\n\r\n", ""},
	{"identity", head("Transfer-Encoding: identity") + "0\r\n\r\n", ""},
	{"coding that is not last", head("Transfer-Encoding: chunked, gzip") + "0\r\n\r\n", ""},
	{"coding in a list with nothing", head("Transfer-Encoding: ,chunked") + "0\r\n\r\n", ""},
	{"coding with a parameter", head("Transfer-Encoding: chunked;x=y") + "0\r\n\r\n", ""},
	{"coding in quotes", head(`Transfer-Encoding: "chunked"`) + "0\r\n\r\n", ""},
	{"coding with a form feed", head("Transfer-Encoding: chunked\x0c") + "0\r\n\r\n", ""},
	{"coding misspelt", head("Transfer-Encoding: xchunked") + "0\r\n\r\n", ""},
	{"coding in HTTP/1.0", strings.Replace(head("Transfer-Encoding: chunked"), "1.1", "1.0", 1) + "0\r\n\r\n", ""},

	{"space before colon", head("Content-Length : 4") + "abcd", ""},
	{"tab before colon", head("Transfer-Encoding\t: chunked") + "0\r\n\r\n", ""},
	{"space in a name", head("X Content-Length: 4") + "abcd", ""},
	{"NUL in a name", head("Content-Length\x00: 4") + "abcd", ""},
	{"control in a name", head("\x01Content-Length: 4") + "abcd", ""},
	{"byte past ASCII in a name", head("\xa0Content-Length: 4") + "abcd", ""},
	{"obs-fold", head("X: y", " Content-Length: 4") + "abcd", ""},
	{"obs-fold with a tab", head("Transfer-Encoding:", "\tchunked") + "0\r\n\r\n", ""},
	{"obs-fold of the request line", "POST / HTTP/1.1\r\n Content-Length: 4\r\n\r\nabcd", ""},
	{"bare CR", head("X: y\rContent-Length: 4") + "abcd", ""},
	{"bare CR before the line's end", head("Content-Length: 4\r") + "abcd", ""},
	{"bare CR at a name", head("\rContent-Length: 4") + "abcd", ""},
	{"bare CR for an empty line", "POST / HTTP/1.1\r\nX: y\r\r\n\r\n", ""},
	{"bare CR in the request line", "POST /\r HTTP/1.1\r\n\r\n", ""},
	{"bare LF among CR LF", head("X: y\nContent-Length: 4") + "abcd", ""},
	{"bare LF for an empty line", "POST / HTTP/1.1\r\nX: y\r\n\nGET / HTTP/1.1\r\n\r\n", ""},
	{"CR LF behind bare LF", "POST / HTTP/1.1\nX: y\r\n\r\n", ""},
	{"NUL in a value", head("X: \x00") + "abcd", ""},
	{"no colon", head("Content-Length 4") + "abcd", ""},

	{"space before the method", " POST / HTTP/1.1\r\n\r\n", ""},
	{"two spaces", "POST  / HTTP/1.1\r\n\r\n", ""},
	{"tab for a space", "POST\t/ HTTP/1.1\r\n\r\n", ""},
	{"space behind the version", "POST / HTTP/1.1 \r\n\r\n", ""},
	{"two versions", "POST / HTTP/1.1 HTTP/1.1\r\n\r\n", ""},
	{"control in the target", "GET /\x0b HTTP/1.1\r\n\r\n", ""},
	{"version in small letters", "GET / http/1.1\r\n\r\n", ""},
	{"version of three digits", "GET / HTTP/1.10\r\n\r\n", ""},
	{"no version", "GET /\r\n\r\n", ""},

	{"no chunk size", chunks("\r\nabcd"), chunks("")},
	{"chunk size with a sign", chunks("+4\r\nabcd"), chunks("")},
	{"negative chunk size", chunks("-4\r\nabcd"), chunks("")},
	{"chunk size with 0x", chunks("0x4\r\nabcd"), chunks("")},
	{"chunk size with an underscore", chunks("0_4\r\nabcd"), chunks("")},
	{"space before a chunk size", chunks(" 4\r\nabcd"), chunks("")},
	{"space in a chunk size", chunks("0 4\r\nabcd"), chunks("")},
	{"chunk size past 62 bits", chunks("4000000000000000\r\nabcd"), chunks("")},
	{"chunk size past 64 bits", chunks("10000000000000004\r\nabcd"), chunks("")},
	{"bare LF behind a chunk size", chunks("4\nabcd\r\n"), chunks("")},
	{"bare CR behind a chunk size", chunks("4\rabcd\r\n"), chunks("")},
	{"bare LF in an extension", chunks("4;a\nb\r\nabcd\r\n"), chunks("")},
	{"bare CR in an extension", chunks("4;a\rb\r\nabcd\r\n"), chunks("")},
	{"NUL in an extension", chunks("4;\x00\r\nabcd\r\n"), chunks("")},
	{"chunk longer than its size", chunks("4\r\nabcde\r\n"), chunks("4\r\nabcd")},
	{"bare LF behind a chunk", chunks("4\r\nabcd\n0\r\n\r\n"), chunks("4\r\nabcd")},
	{"bare CR behind a chunk", chunks("4\r\nabcd\r0\r\n\r\n"), chunks("4\r\nabcd")},
	{"bad second chunk", chunks("4\r\nabcd\r\nx\r\n"), chunks("4\r\nabcd\r\n")},

	{"length among trailers", chunks("0\r\nContent-Length: 4\r\n\r\n"), chunks("")},
	{"coding among trailers", chunks("4\r\nabcd\r\n0\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n"), chunks("4\r\nabcd\r\n")},
	{"folded trailer", chunks("0\r\nA: b\r\n c\r\n\r\n"), chunks("")},
	{"space before a trailer's colon", chunks("0\r\nA : b\r\n\r\n"), chunks("")},
	{"bare LF behind trailers", chunks("0\r\nA: b\r\n\n"), chunks("")},
	{"bare CR in a trailer", chunks("0\r\nA: b\rc\r\n\r\n"), chunks("")},
	{"bare LF behind the last chunk", chunks("0\r\n\nGET / HTTP/1.1\r\n\r\n"), chunks("")},
}

func head(fields ...string) string {
	return "POST / HTTP/1.1\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
}

func chunks(body string) string { return head("Transfer-Encoding: chunked") + body }

// Smuggling attempts end the session before a server sees any of what could be understood in two ways, however they are cut
// into pieces, and behind good requests as well as alone.
func TestHTTPSmuggling(t *testing.T) {
	const good = "GET / HTTP/1.1\r\n\r\n"
	for _, c := range smuggled {
		t.Run(c.name, func(t *testing.T) {
			for _, before := range []string{"", good, good + good} {
				in := before + c.in
				if got := prototest.Same(t, httpRequestsParser, []byte(in)); !errors.Is(got.Err, ErrMalformed) {
					t.Fatalf("%q: error %v", in, got.Err)
				}
				for _, size := range []int{len(in), 1, 3} {
					got := prototest.Run(httpRequestsParser(), []byte(in), func() int { return size })
					if got.Out != before+c.passed {
						t.Fatalf("in pieces of %d: a server gets %q", size, got.Out)
					}
				}
			}
		})
	}
}

// A key makes a request safe, unless nobody knows which one the server takes; no key makes a tunnel safe.
func TestHTTPIdempotencyKey(t *testing.T) {
	for said, want := range map[string]bool{
		"POST / HTTP/1.1\r\nIdempotency-Key: \"a\"\r\n\r\n":                                true,
		"PATCH / HTTP/1.1\r\nidempotency-key: a\r\n\r\n":                                   true,
		"POST / HTTP/1.1\r\n\r\n":                                                          false,
		"POST / HTTP/1.1\r\nIdempotency-Key:  \r\n\r\n":                                    false,
		"POST / HTTP/1.1\r\nIdempotency-Key: \"a\"\r\nIdempotency-Key: \"b\"\r\n\r\n":      false,
		"POST / HTTP/1.1\r\nX-Idempotency-Key: \"a\"\r\n\r\n":                              false,
		"CONNECT h:1 HTTP/1.1\r\nIdempotency-Key: \"a\"\r\n\r\n":                           false,
		"POST / HTTP/1.1\r\nIdempotency-Key: \"a\"\r\nContent-Length: 2\r\n\r\nhi":         true,
		"POST / HTTP/1.1\r\nIdempotency-Key: \"a\"\r\nExpect: 100-continue\r\n\r\n":        true,
		"DELETE / HTTP/1.1\r\nIdempotency-Key: \"a\"\r\nIdempotency-Key: b\r\n\r\n":        true, // idempotent by itself
		"POST / HTTP/1.1\r\nIdempotency-Key: \"a\"\r\nConnection: Idempotency-Key\r\n\r\n": true,
	} {
		if req := firstRequest(t, said); req.Safe != want {
			t.Errorf("%q: safe %v", said, req.Safe)
		}
	}
}
