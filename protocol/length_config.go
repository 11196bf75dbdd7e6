package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// LengthCounts says what the length field counts.
type LengthCounts uint8

const (
	CountsPayload LengthCounts = iota // the bytes behind the header
	CountsMessage                     // the whole message, header and length field included
)

const (
	defaultMaxMessage = 16 << 20
	mostMaxMessage    = 1 << 40
	mostHeader        = 4 << 10 // header, length field and safe patterns lie within so many bytes
	mostAdjust        = 1 << 30
)

// Pattern is bytes at a fixed place of a message.
type Pattern struct {
	Offset int    // from the message's first byte
	Bytes  []byte // not empty
}

// LengthConfig is protocol "length": every message, in both directions, has a header of fixed size with a length field in it.
// The message has (value + Adjust) bytes, plus HeaderSize where the field counts the payload only.
type LengthConfig struct {
	Offset       int // of the length field, from the message's first byte
	Width        int // of the length field: 1 to 8 bytes
	LittleEndian bool
	Counts       LengthCounts
	Adjust       int // added to the value; at most 1 GiB up or down
	HeaderSize   int // bytes before the payload; Offset+Width if 0. At most 4 KiB

	// MaxMessage is the longest message, header included; 16 MiB if 0, at most 1 TiB. A longer one is malformed.
	MaxMessage int64

	Reply ReplyKind // ReplyOne or ReplyNone
	Safe  []Pattern // a request with any of these may be repeated without harm; they end within 4 KiB

	// Abort is sent to the client in place of a reply that cannot be had, and its connection is closed behind it; nil: nothing.
	Abort []byte

	// Lost is sent in place of one lost reply, and the connection goes on; nil: it cannot. One whole message; not with ReplyNone.
	Lost []byte

	// Greeting: the server says one message before the client says anything.
	Greeting bool

	// Sync matches requests that leave nothing behind (Request.Sync); not with ReplyNone. These regular expressions and those of
	// States are matched on whole messages, header included; one of more than 64 KiB matches nothing.
	Sync   []*regexp.Regexp
	States []StateRule
}

// length is the protocol; immutable.
type length struct {
	LengthConfig
	need     int // so many bytes tell a message's length
	look     int // so many bytes tell if a request is safe as well
	labels   *sizeLabels
	matching bool // there is a regular expression for requests
}

var _ Greeter = (*length)(nil)

// lengthLost is a length with an error for one lost reply (LostReplies).
type lengthLost struct{ *length }

// NewLength checks c and returns protocol "length", which implements LostReplies if there is a Lost. It keeps copies of the slices.
// The error names the field; it wraps ErrLost where that is Lost.
func NewLength(c LengthConfig) (Protocol, error) {
	if c.HeaderSize == 0 && c.Offset >= 0 && c.Offset <= mostHeader {
		c.HeaderSize = c.Offset + c.Width
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = defaultMaxMessage
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("protocol length: %w", err)
	}
	l := &length{LengthConfig: c, need: c.Offset + c.Width, labels: newSizeLabels("message")}
	l.look = l.need
	l.Safe = make([]Pattern, len(c.Safe))
	for i, s := range c.Safe {
		l.Safe[i] = Pattern{Offset: s.Offset, Bytes: bytes.Clone(s.Bytes)}
		l.look = max(l.look, s.Offset+len(s.Bytes))
	}
	l.LengthConfig.Abort, l.LengthConfig.Lost = bytes.Clone(c.Abort), bytes.Clone(c.Lost)
	l.Sync, l.States = slices.Clone(c.Sync), slices.Clone(c.States)
	l.matching = len(l.Sync)+len(l.States) > 0
	if len(c.Lost) == 0 {
		return l, nil
	}
	if err := oneReply(l.Replies(), c.Lost); err != nil {
		return nil, fmt.Errorf("protocol length: %w", err)
	}
	return lengthLost{l}, nil
}

func (c *LengthConfig) check() error {
	switch {
	case c.Offset < 0 || c.Offset > mostHeader:
		return fmt.Errorf("offset is %d, must be 0 to %d", c.Offset, mostHeader)
	case c.Width < 1 || c.Width > 8:
		return fmt.Errorf("width is %d, must be 1 to 8 bytes", c.Width)
	case c.HeaderSize < c.Offset+c.Width || c.HeaderSize > mostHeader:
		return fmt.Errorf("header_size is %d, must cover the length field (%d bytes), and be at most %d",
			c.HeaderSize, c.Offset+c.Width, mostHeader)
	case c.Counts > CountsMessage:
		return errors.New("counts must be payload or message")
	case c.Adjust < -mostAdjust || c.Adjust > mostAdjust:
		return fmt.Errorf("adjust is %d, must be within %d and -%[2]d", c.Adjust, mostAdjust)
	case c.MaxMessage < int64(c.HeaderSize) || c.MaxMessage > mostMaxMessage:
		return fmt.Errorf("max_message is %d, must be at least the header (%d bytes) and at most %d",
			c.MaxMessage, c.HeaderSize, int64(mostMaxMessage))
	case c.Reply != ReplyOne && c.Reply != ReplyNone:
		return fmt.Errorf("reply is %v, must be one or none", c.Reply)
	case len(c.Lost) > 0 && c.expect() != ExpectOne:
		return fmt.Errorf("%w: with reply = %q no request has one", ErrLost, c.Reply)
	case len(c.Sync) > 0 && c.expect() != ExpectOne:
		return fmt.Errorf("sync needs replies, with reply = %q there are none", c.Reply)
	case slices.Contains(c.Sync, nil):
		return errors.New("a regular expression of sync is nil")
	}
	for i, s := range c.Safe {
		if s.Offset < 0 || s.Offset > mostHeader || len(s.Bytes) == 0 || len(s.Bytes) > mostHeader-s.Offset {
			return fmt.Errorf("safe pattern %d has %d bytes at offset %d; it must have some, and end within %d",
				i+1, len(s.Bytes), s.Offset, mostHeader)
		}
	}
	return checkStates(c.States, c.expect() == ExpectOne)
}

// expect is how every request is answered.
func (c *LengthConfig) expect() Expect {
	if c.Reply == ReplyNone {
		return ExpectNone
	}
	return ExpectOne
}

func (l *length) Name() string { return "length" }

func (l *length) Requests() Requests {
	r := &lengthRequests{split: lengthSplitter{length: l, look: l.look}, states: stateRules{rules: l.States}}
	if l.matching {
		r.split.whole = maxStateText
	}
	return r
}

func (l *length) Replies() Replies {
	return &lengthReplies{split: lengthSplitter{length: l, look: l.need}}
}

// Abort returns the configured bytes; the reason has no place in them.
func (l *length) Abort(string) []byte { return l.LengthConfig.Abort }

// Lost is the configured message. The reason has no place in it, nor has doubt.
func (l lengthLost) Lost(req *Request, _ bool, _ string) []byte {
	if req == nil || req.Expect != ExpectOne {
		return nil
	}
	return bytes.Clone(l.LengthConfig.Lost)
}

// Greeting is nil if the client speaks first.
func (l *length) Greeting() *Request {
	if !l.LengthConfig.Greeting {
		return nil
	}
	return greetingRequest()
}

func (l *length) Opaque() bool { return false }

// Unpaired reports that what the server says does not belong to requests: its messages come by themselves.
func (l *length) Unpaired() bool { return l.Reply == ReplyNone }

// Join sends the request again as it was, and compares the reply byte for byte.
func (l *length) Join(req *Request, _ []byte, d Delivered) ([]byte, Joiner, error) {
	return nil, NewPrefixJoiner(d, l.Replies(), req), nil
}
