package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
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
	Abort  []byte           // sent to the client in place of a reply that cannot be had; nil: nothing

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

// NewLine checks c and returns protocol "line". It keeps copies of the slices. The error names the field.
func NewLine(c LineConfig) (Protocol, error) {
	if len(c.Delimiter) == 0 {
		c.Delimiter = []byte("\n")
	}
	if c.MaxLine == 0 {
		c.MaxLine = defaultMaxLine
	}
	switch {
	case len(c.Delimiter) > mostDelimiter:
		return nil, fmt.Errorf("protocol line: delimiter has %d bytes, at most %d are possible", len(c.Delimiter), mostDelimiter)
	case c.MaxLine <= len(c.Delimiter) || c.MaxLine > mostMaxLine:
		return nil, fmt.Errorf("protocol line: max_line is %d bytes, must be more than the delimiter and at most %d", c.MaxLine, mostMaxLine)
	case c.Reply > ReplyStream:
		return nil, fmt.Errorf("protocol line: reply is %v, must be one, none, until or stream", c.Reply)
	case (c.Reply == ReplyUntil) != (c.Until != nil):
		return nil, fmt.Errorf("protocol line: reply is %v; until must be given with, and only with, reply = \"until\"", c.Reply)
	}
	c.Delimiter, c.Abort = bytes.Clone(c.Delimiter), bytes.Clone(c.Abort)
	for _, list := range []*[]*regexp.Regexp{&c.Safe, &c.OneWay, &c.Quit} {
		*list = append([]*regexp.Regexp(nil), *list...)
		for _, re := range *list {
			if re == nil {
				return nil, errors.New("protocol line: a regular expression of safe, one_way or quit is nil")
			}
		}
	}
	return &line{
		LineConfig: c,
		labels:     newSizeLabels("line"),
		longLabel:  fmt.Sprintf("line longer than max_line (%d bytes), not matched", c.MaxLine),
		matching:   len(c.Safe)+len(c.OneWay)+len(c.Quit) > 0,
	}, nil
}

func (l *line) Name() string { return "line" }

func (l *line) Requests() Requests { return &lineRequests{line: l, scan: l.scanner(l.matching)} }

func (l *line) Replies() Replies {
	return &lineReplies{line: l, scan: l.scanner(l.Reply == ReplyUntil)}
}

func (l *line) scanner(keep bool) lineScanner {
	return lineScanner{delimiter: l.Delimiter, most: l.MaxLine, keep: keep}
}

// Abort returns the configured bytes; the reason has no place in them.
func (l *line) Abort(string) []byte { return l.LineConfig.Abort }

func (l *line) Opaque() bool { return false }

// Join sends the request again as it was, and compares the reply byte for byte.
func (l *line) Join(req *Request, _ []byte, d Delivered) ([]byte, Joiner, error) {
	return nil, NewPrefixJoiner(d, l.Replies(), req), nil
}

// Unpaired reports that what the server says does not belong to requests: its messages come by themselves.
func (l *line) Unpaired() bool { return l.Reply == ReplyStream || l.Reply == ReplyNone }
