package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// ReplyKind says how requests are answered.
type ReplyKind uint8

const (
	ReplyOne    ReplyKind = iota // each by one message
	ReplyNone                    // not at all
	ReplyUntil                   // each by lines up to the one that LineConfig.Until matches (line only)
	ReplyStream                  // not at all, but the server sends messages by itself (line only)
)

func (k ReplyKind) String() string {
	if names := [...]string{"one", "none", "until", "stream"}; int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("ReplyKind(%d)", uint8(k))
}

const (
	defaultMaxLine = 64 << 10
	mostMaxLine    = 16 << 20
	mostDelimiter  = 8
)

// LineConfig is protocol "line": messages that end with a delimiter. Regular expressions are matched on a line without its
// delimiter, and without a carriage return before that.
type LineConfig struct {
	Delimiter []byte    // 1 to 8 bytes; "\n" if empty
	Reply     ReplyKind // how requests are answered

	// Until matches the last line of a reply; needed with, and only with, ReplyUntil.
	Until *regexp.Regexp

	Safe   []*regexp.Regexp // a request that one of these matches may be repeated without harm
	OneWay []*regexp.Regexp // such a request gets no reply, whatever Reply says
	Quit   []*regexp.Regexp // such a request says goodbye: the server closes after it

	// Abort is sent to the client in place of a reply that cannot be had, and its connection is closed behind it; nil: nothing.
	Abort []byte

	// Lost is sent in place of one lost reply, and the connection goes on; nil: it cannot. One whole reply; only where
	// requests have some.
	Lost []byte

	// Greeting matches the line that ends what the server says before the client does; nil: the server waits for the client.
	Greeting *regexp.Regexp

	// Sync matches requests that leave nothing behind (Request.Sync). Only where requests have replies.
	Sync []*regexp.Regexp

	States []StateRule

	// Begin and End match the first and the last request of a transaction: these and what is between them are one Unit. The
	// connection's end by Quit ends it, too. Both or neither.
	Begin, End *regexp.Regexp

	// MaxLine is the longest line, with its delimiter, that is matched, in bytes; 64 KiB if 0, at most 16 MiB. A longer one is no
	// error: it passes as one message that nothing matches, so it is unsafe. Of an unfinished line no more than this is kept.
	MaxLine int
}

// line is the protocol; immutable.
type line struct {
	LineConfig
	labels    *sizeLabels
	longLabel string
	matching  bool // there is a regular expression for requests
}

var _ Greeter = (*line)(nil)

// lineLost is a line with an error for one lost reply (LostReplies).
type lineLost struct{ *line }

// NewLine checks c and returns protocol "line", which implements LostReplies if there is a Lost. It keeps copies of the slices. The
// error names the field; it wraps ErrLost where that is Lost.
func NewLine(c LineConfig) (Protocol, error) {
	if len(c.Delimiter) == 0 {
		c.Delimiter = []byte("\n")
	}
	if c.MaxLine == 0 {
		c.MaxLine = defaultMaxLine
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("protocol line: %w", err)
	}
	c.Delimiter, c.Abort, c.Lost = bytes.Clone(c.Delimiter), bytes.Clone(c.Abort), bytes.Clone(c.Lost)
	c.Safe, c.OneWay, c.Quit, c.Sync = slices.Clone(c.Safe), slices.Clone(c.OneWay), slices.Clone(c.Quit), slices.Clone(c.Sync)
	c.States = slices.Clone(c.States)
	l := &line{
		LineConfig: c,
		labels:     newSizeLabels("line"),
		longLabel:  fmt.Sprintf("line longer than max_line (%d bytes), not matched", c.MaxLine),
		matching:   len(c.Safe)+len(c.OneWay)+len(c.Quit)+len(c.Sync)+len(c.States) > 0 || c.Begin != nil,
	}
	if len(c.Lost) == 0 {
		return l, nil
	}
	if err := oneReply(l.Replies(), c.Lost); err != nil {
		return nil, fmt.Errorf("protocol line: %w", err)
	}
	return lineLost{l}, nil
}

func (c *LineConfig) check() error {
	switch {
	case len(c.Delimiter) > mostDelimiter:
		return fmt.Errorf("delimiter has %d bytes, at most %d are possible", len(c.Delimiter), mostDelimiter)
	case c.MaxLine <= len(c.Delimiter) || c.MaxLine > mostMaxLine:
		return fmt.Errorf("max_line is %d bytes, must be more than the delimiter and at most %d", c.MaxLine, mostMaxLine)
	case c.Reply > ReplyStream:
		return fmt.Errorf("reply is %v, must be one, none, until or stream", c.Reply)
	case (c.Reply == ReplyUntil) != (c.Until != nil):
		return fmt.Errorf("reply is %v; until must be given with, and only with, reply = \"until\"", c.Reply)
	case (c.Begin == nil) != (c.End == nil):
		return errors.New("a transaction needs both begin and end")
	case len(c.Lost) > 0 && c.expect() != ExpectOne:
		return fmt.Errorf("%w: with reply = %q no request has one", ErrLost, c.Reply)
	case len(c.Sync) > 0 && c.expect() != ExpectOne:
		return fmt.Errorf("sync needs replies, with reply = %q there are none", c.Reply)
	}
	for _, list := range [][]*regexp.Regexp{c.Safe, c.OneWay, c.Quit, c.Sync} {
		if slices.Contains(list, nil) {
			return errors.New("a regular expression of safe, one_way, quit or sync is nil")
		}
	}
	return checkStates(c.States, c.expect() == ExpectOne)
}

// expect is how a request is answered that OneWay does not match.
func (c *LineConfig) expect() Expect {
	if c.Reply == ReplyNone || c.Reply == ReplyStream {
		return ExpectNone
	}
	return ExpectOne
}

func (l *line) Name() string { return "line" }

func (l *line) Requests() Requests {
	return &lineRequests{line: l, scan: l.scanner(l.matching), states: stateRules{rules: l.States}}
}

func (l *line) Replies() Replies { return &lineReplies{line: l, scan: l.scanner(false)} }

func (l *line) scanner(keep bool) lineScanner {
	return lineScanner{delimiter: l.Delimiter, most: l.MaxLine, keep: keep}
}

// Abort returns the configured bytes; the reason has no place in them.
func (l *line) Abort(string) []byte { return l.LineConfig.Abort }

// Lost is the configured text. The reason has no place in it, nor has doubt.
func (l lineLost) Lost(req *Request, _ bool, _ string) []byte {
	if req == nil || req.Expect != ExpectOne {
		return nil
	}
	return bytes.Clone(l.LineConfig.Lost)
}

// Greeting is nil if the client speaks first.
func (l *line) Greeting() *Request {
	if l.LineConfig.Greeting == nil {
		return nil
	}
	return greetingRequest()
}

func (l *line) Opaque() bool { return false }

// Join sends the request again as it was, and compares the reply byte for byte.
func (l *line) Join(req *Request, _ []byte, d Delivered) ([]byte, Joiner, error) {
	return nil, NewPrefixJoiner(d, l.Replies(), req), nil
}

// Unpaired reports that what the server says does not belong to requests: its messages come by themselves.
func (l *line) Unpaired() bool { return l.Reply == ReplyStream || l.Reply == ReplyNone }
