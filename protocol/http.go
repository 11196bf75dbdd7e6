package protocol

import (
	"fmt"
	"strings"
)

// HTTPMaxHead is the most that HTTPConfig.MaxHead may be, and what it is when it is 0: heads are held until they are complete, and
// nobody holds more than 64 KiB in a row.
const HTTPMaxHead = 64 << 10

// HTTPConfig is the setting of protocol http.
type HTTPConfig struct {
	// MaxHead bounds the head of a request or reply (start line, fields, and the empty line behind them) in bytes. 0, or more
	// than HTTPMaxHead, is HTTPMaxHead.
	MaxHead int
}

type httpProtocol struct{ maxHead int }

// NewHTTP returns protocol http: HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112) as unmodified clients and servers speak it.
//
// The heads of requests and replies are held until they are complete and judged, so that a message whose end two readers could
// see in two places (RFC 9112 §11.2, request smuggling) never reaches a server, and so that it is known whether a request may be
// repeated before its first byte is sent. Chunk-size lines and trailers are held too, so that a leg that breaks leaves the client
// inside the data of a chunk or between chunks, where a joined reply can go on.
//
// GET, HEAD, OPTIONS, TRACE, PUT and DELETE are safe: repeating them does no harm (RFC 9110 §9.2.2). So is whatever carries an
// Idempotency-Key.
//
// CONNECT is a message without an end, with ExpectUnknown: what follows its head is another protocol. A request with an Upgrade
// field is like any other, until the server agrees (101): from then on the connection is a tunnel.
func NewHTTP(config HTTPConfig) Protocol {
	if config.MaxHead <= 0 || config.MaxHead > HTTPMaxHead {
		config.MaxHead = HTTPMaxHead
	}
	return &httpProtocol{maxHead: config.MaxHead}
}

func (h *httpProtocol) Name() string { return "http" }

func (h *httpProtocol) Opaque() bool { return false }

func (h *httpProtocol) Requests() Requests {
	return &httpRequests{head: httpHead{max: h.maxHead, strict: true, emptyFirst: true}}
}

func (h *httpProtocol) Replies() Replies { return h.newReplies() }

func (h *httpProtocol) newReplies() *httpReplies {
	return &httpReplies{head: httpHead{max: h.maxHead}}
}

// plainText makes s fit for a field value: at most 200 bytes of printable ASCII.
func plainText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), 200)])
}

// errHTTP is an ErrMalformed that says where: "request head", "reply body".
func errHTTP(where, format string, args ...any) error {
	return fmt.Errorf("%w: http %s: %s", ErrMalformed, where, fmt.Sprintf(format, args...))
}
