package protocol

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

func res(exprs ...string) []*regexp.Regexp {
	var list []*regexp.Regexp
	for _, e := range exprs {
		list = append(list, regexp.MustCompile(e))
	}
	return list
}

func newLine(t testing.TB, c LineConfig) Protocol {
	t.Helper()
	p, err := NewLine(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNewLineRefuses(t *testing.T) {
	for want, c := range map[string]LineConfig{
		"delimiter": {Delimiter: []byte("123456789")},
		"max_line":  {MaxLine: -1},
		"at most":   {MaxLine: 1 << 40},
		"reply":     {Reply: 77},
		"until":     {Reply: ReplyUntil},
		"only with": {Reply: ReplyOne, Until: regexp.MustCompile("x")},
		"nil":       {Safe: []*regexp.Regexp{nil}},
	} {
		if _, err := NewLine(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", c, err, want)
		}
	}
}

func TestLineRequests(t *testing.T) {
	type message = prototest.Message
	long := "GET " + strings.Repeat("x", 20)
	const longNote = "unsafe one line longer than max_line (20 bytes), not matched"
	for _, c := range []struct {
		name   string
		config LineConfig
		input  string
		want   []message
		rest   int
	}{
		{"plain", LineConfig{}, "a\n\nbcd\nx", []message{
			msg(2, "unsafe one line of up to 2 bytes"), msg(1, "unsafe one line of up to 1 bytes"), msg(4, "unsafe one line of up to 4 bytes")}, 1},
		{"safe", LineConfig{Safe: res("^GET ", "^STAT$")}, "GET x\r\nSTAT\nSTATUS\n SET GET \n", []message{
			msg(7, "safe one line of up to 8 bytes"), msg(5, "safe one line of up to 8 bytes"),
			msg(7, "unsafe one line of up to 8 bytes"), msg(10, "unsafe one line of up to 16 bytes")}, 0},
		{"carriage return", LineConfig{Safe: res("^a$")}, "a\r\r\na\r\na\n", []message{
			msg(4, "unsafe one line of up to 4 bytes"), msg(3, "safe one line of up to 4 bytes"), msg(2, "safe one line of up to 2 bytes")}, 0},
		{"one way and quit", LineConfig{OneWay: res("^LOG"), Quit: res("^QUIT$"), Safe: res("^LOG S")}, "LOG\nQUIT\r\nLOG S\n", []message{
			msg(4, "unsafe none line of up to 4 bytes"), msg(6, "unsafe one line of up to 8 bytes close"),
			msg(6, "safe none line of up to 8 bytes")}, 0},
		{"no replies", LineConfig{Reply: ReplyNone}, "a\n", []message{msg(2, "unsafe none line of up to 2 bytes")}, 0},
		{"unasked replies", LineConfig{Reply: ReplyStream}, "a\n", []message{msg(2, "unsafe none line of up to 2 bytes")}, 0},
		{"long delimiter", LineConfig{Delimiter: []byte("\r\n.\r\n"), Safe: res("^a$")}, "\r\n.\r\r\n.\r\na\r\n.\r\n\r\n.\r", []message{
			msg(9, "unsafe one line of up to 16 bytes"), msg(6, "safe one line of up to 8 bytes")}, 4},
		{"delimiter that overlaps itself", LineConfig{Delimiter: []byte("aab"), Safe: res("^a$")}, "aaabaabaaaab", []message{
			msg(4, "safe one line of up to 4 bytes"), msg(3, "unsafe one line of up to 4 bytes"), msg(5, "unsafe one line of up to 8 bytes")}, 0},
		{"delimiter of one byte thrice", LineConfig{Delimiter: []byte("zzz")}, "zzzzzzz", []message{
			msg(3, "unsafe one line of up to 4 bytes"), msg(3, "unsafe one line of up to 4 bytes")}, 1},
		{"longest line", LineConfig{MaxLine: 20, Safe: res("^GET ")}, long[:19] + "\n" + long[:20] + "\n" + "GET \n" + long, []message{
			msg(20, "safe one line of up to 32 bytes"), msg(21, longNote), msg(5, "safe one line of up to 8 bytes")}, 24},
		{"long line, not matched anyway", LineConfig{MaxLine: 20}, long + "\n", []message{msg(25, longNote)}, 0},
		{"long goodbye does not count", LineConfig{MaxLine: 20, Quit: res("^GET")}, long + "\n", []message{msg(25, longNote)}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newLine(t, c.config)
			prototest.Pieces(t, requestsParser(p), []byte(c.input), prototest.Result{Messages: c.want, Rest: c.rest})
		})
	}
}

// What is said of an unfinished line must be right for replay: not known, hence not safe; a line that got too long is known.
func TestLineUnfinished(t *testing.T) {
	r := newLine(t, LineConfig{Safe: res("^GET"), MaxLine: 8}).Requests()
	cut, req, _ := r.Next([]byte("GET x"))
	if cut != (Cut{N: 5}) || req.Safe {
		t.Fatalf("unfinished line: %+v %+v", cut, req)
	}
	cut, again, _ := r.Next([]byte("yyyyyy"))
	if cut != (Cut{N: 6, Known: true}) || req.Safe || again != req {
		t.Fatalf("long line: %+v %+v", cut, again)
	}
	if kept := r.(*lineRequests).scan.kept; kept != nil {
		t.Fatalf("%d bytes of a long line are kept", len(kept))
	}
}

func TestLineReplies(t *testing.T) {
	long := strings.Repeat("x", maxHeld)
	type message = prototest.Message
	for _, c := range []struct {
		name   string
		config LineConfig
		input  string
		want   []message
		rest   int
		out    int // how many bytes of the input may be passed on
	}{
		{"one", LineConfig{}, "a\nbc\nd", []message{msg(2, ""), msg(3, "")}, 1, 6},
		{"one, divided delimiter", LineConfig{Delimiter: []byte("\r\n")}, "a\r\r\nb\n\r", []message{msg(4, "")}, 3, 7},
		{"until", LineConfig{Reply: ReplyUntil, Until: regexp.MustCompile(`^\d{3} `)}, "250-a\r\n250-b\r\n250 c\r\n221 bye\r\n250-", []message{
			msg(21, ""), msg(9, "")}, 4, 34},
		{"until, sees no carriage return", LineConfig{Reply: ReplyUntil, Until: regexp.MustCompile(`^OK$`)}, "OKAY\r\nOK\r\n", []message{
			msg(10, "")}, 0, 10},
		{"until, long line does not match", LineConfig{Reply: ReplyUntil, Until: regexp.MustCompile(`END`), MaxLine: 8}, "xxxxxEND\nEND\n",
			[]message{msg(13, "")}, 0, 13},
		{"stream holds unfinished lines", LineConfig{Reply: ReplyStream}, "tick\ntock\nti", []message{msg(5, ""), msg(5, "")}, 2, 10},
		{"none holds unfinished lines", LineConfig{Reply: ReplyNone, Delimiter: []byte("\r\n")}, "tick\r\ntock\r", []message{msg(6, "")}, 5, 6},
		{"stream holds the most", LineConfig{Reply: ReplyStream}, "a\n" + long, []message{msg(2, "")}, maxHeld, 2},
		{"stream lets long lines go", LineConfig{Reply: ReplyStream}, long + "y", nil, maxHeld + 1, maxHeld + 1},
		{"stream holds again after a long line", LineConfig{Reply: ReplyStream}, long + "y\nb", []message{msg(maxHeld+2, "")}, 1, maxHeld + 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := prototest.Result{Messages: c.want, Rest: c.rest, Out: c.input[:c.out]}
			prototest.Pieces(t, repliesParser(newLine(t, c.config), nil), []byte(c.input), want)
		})
	}
}

func TestLineFinish(t *testing.T) {
	req := &Request{Expect: ExpectOne}
	for _, c := range []struct {
		kind  ReplyKind
		req   *Request
		input string
		want  bool
	}{
		{ReplyOne, nil, "", true},
		{ReplyOne, req, "", false},
		{ReplyOne, nil, "a\n", true},
		{ReplyOne, nil, "a\nb", false},
		{ReplyOne, req, "a", false},
		{ReplyUntil, nil, "a\n", false}, // the reply has not ended
		{ReplyUntil, nil, "a\nEND\n", true},
		{ReplyStream, nil, "a\n", true},
		{ReplyStream, nil, "a\nb", false}, // held: part of a line
	} {
		config := LineConfig{Reply: c.kind}
		if c.kind == ReplyUntil {
			config.Until = regexp.MustCompile("END")
		}
		r := newLine(t, config).Replies()
		for p := []byte(c.input); len(p) > 0; {
			cut, err := r.Next(c.req, p)
			if err != nil {
				t.Fatal(err)
			}
			p = p[cut.N:]
		}
		if got := r.Finish(c.req); got != c.want {
			t.Errorf("%v, request %v, after %q: finish %v, want %v", c.kind, c.req, c.input, got, c.want)
		}
	}
}

func TestLineAbortIsACopy(t *testing.T) {
	abort := []byte("ERR\n")
	p := newLine(t, LineConfig{Abort: abort})
	abort[0] = 'x'
	if got := p.Abort("no element is left"); string(got) != "ERR\n" {
		t.Fatalf("abort %q", got)
	}
	if got := newLine(t, LineConfig{}).Abort("x"); got != nil {
		t.Fatalf("abort %q, want nil", got)
	}
}

func TestLineAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("regexp allocates at random under the race detector")
	}
	p := newLine(t, LineConfig{Safe: res("^GET "), OneWay: res("^LOG"), Quit: res("^QUIT$")})
	requests, replies := p.Requests(), p.Replies()
	lines := bytes.Repeat([]byte("GET something\r\n"), 4)
	got := testing.AllocsPerRun(100, func() {
		for rest := lines; len(rest) > 0; {
			cut, req, err := requests.Next(rest)
			if err != nil || !cut.End || !req.Safe {
				t.Fatal(cut, req, err)
			}
			if cut, err := replies.Next(req, rest[:cut.N]); err != nil || !cut.End {
				t.Fatal(cut, err)
			}
			rest = rest[cut.N:]
		}
	})
	if got > 4 {
		t.Errorf("%v allocations for 4 lines and replies, want 1 a line: the Request", got)
	}
}

// FuzzLine: boundaries do not depend on pieces, they are where bytes.Index finds them, and little is kept.
func FuzzLine(f *testing.F) {
	f.Add([]byte("GET a\r\nQUIT\r\n\r\n"), []byte("\r\n"), uint8(0))
	f.Add([]byte("aaabaab"), []byte("aab"), uint8(1))
	f.Add([]byte("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"), []byte("zzzzzzzz"), uint8(2))
	f.Add([]byte("\x00\x00\n\xff"), []byte{0}, uint8(3))
	f.Fuzz(func(t *testing.T, input, delimiter []byte, kind uint8) {
		c := LineConfig{Delimiter: delimiter, Reply: ReplyKind(kind % 4), MaxLine: 32, Safe: res("^GET", "a$"), Quit: res("^Q")}
		if c.Reply == ReplyUntil {
			c.Until = regexp.MustCompile("^E")
		}
		p, err := NewLine(c)
		if err != nil {
			t.Skip()
		}
		got := prototest.Same(t, requestsParser(p), input)
		if got.Err != nil {
			t.Fatal(got.Err)
		}
		rest := input
		if len(delimiter) == 0 {
			delimiter = []byte("\n")
		}
		for i, m := range got.Messages {
			want := bytes.Index(rest, delimiter) + len(delimiter)
			if m.Bytes != want {
				t.Fatalf("line %d has %d bytes, want %d", i, m.Bytes, want)
			}
			rest = rest[want:]
		}
		if got.Rest != len(rest) || bytes.Contains(rest, delimiter) {
			t.Fatalf("%d bytes left, want %d without a delimiter", got.Rest, len(rest))
		}
		if got := prototest.Same(t, repliesParser(p, nil), input); got.Err != nil || !bytes.HasPrefix(input, []byte(got.Out)) {
			t.Fatalf("replies: error %v, passed %q of %q", got.Err, got.Out, input)
		}
		r := p.Requests().(*lineRequests)
		for i := range input {
			if _, _, err := r.Next(input[i : i+1]); err != nil || len(r.scan.kept) > 32 {
				t.Fatalf("%d bytes kept, error %v", len(r.scan.kept), err)
			}
		}
	})
}
