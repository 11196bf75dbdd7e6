package protocol

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

var re = regexp.MustCompile

// detailNote tells what a request's Detail says of its connection: "user=(u:bob) db!", and its unit.
func detailNote(req *Request) string {
	var note strings.Builder
	if req.Sync {
		note.WriteString(" sync")
	}
	d, ok := req.Detail.(Connection)
	if !ok {
		return note.String()
	}
	for _, c := range d.Changes() {
		fmt.Fprintf(&note, " %s=", c.Key)
		for _, name := range slices.Sorted(maps.Keys(c.Values)) {
			fmt.Fprintf(&note, "(%s:%s)", name, c.Values[name])
		}
		if c.Void {
			note.WriteString("void")
		}
		if c.Never != "" {
			note.WriteString("never")
		}
		if c.Send != nil || c.Tell != nil {
			note.WriteString("sends")
		}
	}
	if u := d.Unit(); u != nil {
		fmt.Fprintf(&note, " unit %d", u.Members)
		for _, f := range []struct {
			is   bool
			name string
		}{{u.Begun, "begun"}, {u.Unsafe, "unsafe"}, {u.Ended, "ended"}, {u.Watched, "watched"}} {
			if f.is {
				note.WriteString(" " + f.name)
			}
		}
	}
	return note.String()
}

// connectionParser is requestsParser with notes of what requests change, and without their labels.
func connectionParser(p Protocol) func() prototest.Parser {
	return func() prototest.Parser {
		requests := p.Requests()
		return func(piece []byte) (prototest.Step, error) {
			cut, req, err := requests.Next(piece)
			if err != nil {
				return prototest.Step{}, err
			}
			req.Label = ""
			return prototest.Step{N: cut.N, End: cut.End, Note: requestNote(req, cut) + detailNote(req)}, nil
		}
	}
}

// requestsIn parses what a client says.
func requestsIn(t testing.TB, p Protocol, said string) []*Request {
	t.Helper()
	var all []*Request
	r := p.Requests()
	for rest := []byte(said); len(rest) > 0; {
		cut, req, err := r.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		if rest = rest[cut.N:]; cut.End {
			all = append(all, req)
		}
	}
	return all
}

// outcomeParser makes parsers of the replies to what a client said (each time anew); notes are the outcomes.
func outcomeParser(t testing.TB, p Protocol, requests func() []*Request) func() prototest.Parser {
	return func() prototest.Parser {
		due, replies := requests(), p.Replies()
		return func(piece []byte) (prototest.Step, error) {
			for len(due) > 0 && due[0].Expect == ExpectNone {
				due = due[1:]
			}
			var req *Request
			if len(due) > 0 {
				req = due[0]
			}
			cut, err := replies.Next(req, piece)
			step := prototest.Step{N: cut.N, End: cut.End}
			if req == nil {
				return step, err
			}
			d, has := req.Detail.(Connection)
			if has && !cut.End && d.Outcome() != OutcomeUnknown {
				return step, fmt.Errorf("outcome %d before the reply's end", d.Outcome())
			}
			if cut.End {
				if due = due[1:]; has {
					step.Note = [...]string{"unknown", "done", "failed", "queued", "aborted"}[d.Outcome()]
				}
			}
			return step, err
		}
	}
}

var stateConfig = LineConfig{
	Safe: res("^GET", "^BEGIN", "^COMMIT"), OneWay: res("^LOG( |MODE)"), Quit: res("^QUIT"), Sync: res("^PING"), MaxLine: 32,
	States: []StateRule{
		{Name: "login", Match: re(`^USER (?P<user>\w+)( IN (?P<realm>\w+))?`), Expect: re("^OK"), Void: re("^(LOGOUT|RESET)")},
		{Name: "subs", Match: re("^SUB (?P<channel>.*)"), Void: re("^(UNSUB|RESET)"), All: true},
		{Name: "mode", Match: re("^(MODE|LOGMODE|RESET)")},
	},
	Begin: re("^BEGIN"), End: re("^(COMMIT|ROLLBACK)"),
}

func TestLineState(t *testing.T) {
	p := newLine(t, stateConfig)
	for _, c := range []struct {
		name, input string
		want        []string // notes
	}{
		{"state", "USER bob\nUSER ann IN here\r\nuser x\n", []string{"safe one  login=(realm:)(user:bob)",
			"safe one  login=(realm:here)(user:ann)", "unsafe one "}},
		{"keep all", "SUB a\nSUB b\nUNSUB\nSUB a\n", []string{"safe one  subs 1=(channel:a)", "safe one  subs 2=(channel:b)",
			"safe one  subs=void", "safe one  subs 3=(channel:a)"}},
		{"void of several, and set anew", "LOGOUT\nRESET\n", []string{"safe one  login=void", "safe one  login=void subs=void mode="}},
		{"one way", "LOGMODE\n", []string{"safe none  mode="}},
		{"sync", "PING\nPINGPONG\n", []string{"unsafe one  sync", "unsafe one  sync"}},
		{"too long to match", "USER " + strings.Repeat("x", 40) + "\n", []string{"unsafe one "}},
		{"transaction", "GET\nBEGIN\nGET\nCOMMIT\nGET\n", []string{"safe one ", "unsafe one  unit 1 begun", "unsafe one  unit 2 begun",
			"unsafe one  unit 3 begun ended", "safe one "}},
		{"unsafe transaction", "BEGIN\nSET\nPING\nROLLBACK\nPING\n", []string{"unsafe one  unit 1 begun", "unsafe one  unit 2 begun unsafe",
			"unsafe one  unit 3 begun unsafe", "unsafe one  unit 4 begun unsafe ended", "unsafe one  sync"}},
		{"a long line in one", "BEGIN\n" + strings.Repeat("x", 40) + "\n", []string{"unsafe one  unit 1 begun", "unsafe one  unit 2 begun unsafe"}},
		{"begin within one, end outside", "COMMIT\nBEGIN\nBEGIN\nCOMMIT\n", []string{"safe one ", "unsafe one  unit 1 begun",
			"unsafe one  unit 2 begun", "unsafe one  unit 3 begun ended"}},
		{"goodbye ends it", "BEGIN\nQUIT\nGET\n", []string{"unsafe one  unit 1 begun", "unsafe one  close unit 2 begun unsafe ended", "safe one "}},
		{"state within one", "BEGIN\nUSER bob\nLOG x\nRESET\n", []string{"unsafe one  unit 1 begun",
			"unsafe one  login=(realm:)(user:bob)never unit 2 begun", "unsafe none  unit 3 begun unsafe",
			"unsafe one  login=never subs 1=never mode=never unit 4 begun unsafe"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := prototest.Same(t, connectionParser(p), []byte(c.input))
			var notes []string
			for _, m := range got.Messages {
				notes = append(notes, m.Note)
			}
			if !slices.Equal(notes, c.want) || got.Err != nil || got.Rest != 0 {
				t.Errorf("got %q\nwant %q, error %v, rest %d", notes, c.want, got.Err, got.Rest)
			}
		})
	}
}

// All parts of a transaction share one Unit, and the next transaction has another.
func TestLineUnits(t *testing.T) {
	all := requestsIn(t, newLine(t, stateConfig), "BEGIN\nGET\nCOMMIT\nBEGIN\n")
	unit := func(i int) *Unit { return all[i].Detail.(Connection).Unit() }
	if unit(0) != unit(1) || unit(1) != unit(2) || unit(3) == unit(2) || unit(3).Ended || !unit(0).Repeatable() {
		t.Fatalf("units %+v %+v %+v %+v", unit(0), unit(1), unit(2), unit(3))
	}
}

func TestLineOutcome(t *testing.T) {
	until := stateConfig
	until.Reply, until.Until = ReplyUntil, re("^(OK|ERR)")
	long := strings.Repeat("x", 40)
	for _, c := range []struct {
		name     string
		config   LineConfig
		requests string
		replies  string
		want     []prototest.Message
	}{
		{"expected", stateConfig, "USER a\nUSER b\n", "OK a\r\nERR OK\n", []prototest.Message{msg(6, "done"), msg(7, "failed")}},
		{"nothing expected", stateConfig, "MODE\nGET\nBEGIN\n", "ERR\nOK\nno\n", []prototest.Message{msg(4, "done"), msg(3, ""), msg(3, "done")}},
		{"too long to match", stateConfig, "USER a\nMODE\n", "OK" + long + "\n" + long + "\n", []prototest.Message{msg(43, "failed"), msg(41, "done")}},
		{"the last line counts", until, "USER a\nUSER b\n", "OKAY?\nERR\nx\nOK\n", []prototest.Message{msg(6, "done"), msg(4, "failed")}},
		{"until, several lines", until, "USER a\nUSER b\nUSER c\n", "hi\nOK\nhi\nhi\nERR\n", []prototest.Message{msg(6, "done"), msg(10, "failed")}},
		{"one way is passed over", stateConfig, "LOGMODE\nUSER a\n", "OK\n", []prototest.Message{msg(3, "done")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newLine(t, c.config)
			requests := func() []*Request { return requestsIn(t, p, c.requests) }
			got := prototest.Same(t, outcomeParser(t, p, requests), []byte(c.replies))
			if got.Messages = got.Messages[:min(len(got.Messages), len(c.want))]; !slices.Equal(got.Messages, c.want) {
				t.Errorf("got %+v, want %+v", got.Messages, c.want)
			}
		})
	}
	one := requestsIn(t, newLine(t, stateConfig), "LOGMODE\n")[0]
	if got := one.Detail.(Connection).Outcome(); one.Expect != ExpectNone || got != OutcomeDone {
		t.Errorf("a state without a reply has outcome %d", got)
	}
}

// A line that the server began before its request was known cannot be matched, and must not be taken for its end.
func TestLineOutcomeOfEarlyReply(t *testing.T) {
	p := newLine(t, stateConfig)
	req, replies := requestsIn(t, p, "USER a\n")[0], p.Replies()
	if _, err := replies.Next(nil, []byte("ERR ")); err != nil {
		t.Fatal(err)
	}
	if cut, err := replies.Next(req, []byte("OK\n")); err != nil || !cut.End {
		t.Fatal(cut, err)
	}
	if got := req.Detail.(Connection).Outcome(); got != OutcomeFailed {
		t.Errorf("outcome %d", got)
	}
}

func TestNewLineRefusesStates(t *testing.T) {
	ok := StateRule{Name: "a", Match: re("x")}
	for want, c := range map[string]LineConfig{
		`name "a b"`:          {States: []StateRule{{Name: "a b", Match: re("x")}}},
		`name ""`:             {States: []StateRule{{Match: re("x")}}},
		"two states":          {States: []StateRule{ok, ok}},
		"no match":            {States: []StateRule{{Name: "a"}}},
		"has an expect":       {Reply: ReplyNone, States: []StateRule{{Name: "a", Match: re("x"), Expect: re("y")}}},
		"at most 64":          {States: make([]StateRule, 65)},
		"both begin and end":  {Begin: re("x")},
		"sync needs replies":  {Reply: ReplyStream, Sync: res("x")},
		"sync is nil":         {Sync: []*regexp.Regexp{nil}},
		"its end is missing":  {Lost: []byte("ERR")},
		"after 4 of 8 bytes":  {Lost: []byte("ERR\nERR\n")},
		"no request has one":  {Reply: ReplyNone, Lost: []byte("ERR\n")},
		"whole reply: its en": {Reply: ReplyUntil, Until: re("^OK"), Lost: []byte("ERR\n")},
	} {
		if _, err := NewLine(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", c, err, want)
		}
	}
}

// FuzzLineState: what requests change, and what replies mean, does not depend on pieces; units and keys keep their promises.
func FuzzLineState(f *testing.F) {
	f.Add([]byte("USER bob\nBEGIN\nSUB a\nRESET\nCOMMIT\nLOGOUT\n"), []byte("OK\nhi\nOK\n"), false)
	f.Add([]byte("BEGIN\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), []byte("220 hi\nOK\n"), false)
	f.Add([]byte("BEGIN\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\nQUIT\nPING\n"), []byte("220 hi\nOK\n\nERR\n"), true)
	f.Fuzz(func(t *testing.T, said, answered []byte, until bool) {
		c := stateConfig
		if until {
			c.Reply, c.Until = ReplyUntil, re("^(OK|ERR)")
		}
		c.Greeting = re("^220 ")
		p := newLine(t, c)
		prototest.Same(t, connectionParser(p), said)
		requests := func() []*Request {
			return append([]*Request{p.(Greeter).Greeting()}, requestsIn(t, p, string(said))...)
		}
		prototest.Same(t, outcomeParser(t, p, requests), answered)
		units := map[*Unit]int{}
		for _, req := range requests() {
			d := textDetailOf(req)
			if d == nil {
				continue
			}
			for _, change := range d.Changes() {
				if name, _, _ := strings.Cut(change.Key, " "); !isStateName(name) || change.Void && change.Never != "" {
					t.Fatalf("change %+v", change)
				}
			}
			if u := d.Unit(); u != nil {
				if units[u]++; req.Safe {
					t.Fatal("a part of a transaction is safe by itself")
				}
			}
		}
		for u, n := range units {
			if u.Members == n+1 && !u.Ended && !strings.HasSuffix(string(said), "\n") {
				n++ // the last line is not complete, and known to be too long to be matched
			}
			if u.Members != n || !u.Begun {
				t.Fatalf("%d members, unit %+v", n, u)
			}
		}
	})
}

func TestLineGreeting(t *testing.T) {
	if newLine(t, LineConfig{}).(Greeter).Greeting() != nil {
		t.Fatal("a greeting without a regular expression")
	}
	const said = "220-hi\r\n220-OK\r\n220 ready\r\n"
	for _, c := range []LineConfig{
		{Greeting: re("^220 ")},
		{Greeting: re("^220 "), Reply: ReplyUntil, Until: re("^(OK|2)")},
		{Greeting: re("^220 "), Reply: ReplyNone},
		{Greeting: re("^220 "), Reply: ReplyStream, MaxLine: 16},
	} {
		p := newLine(t, c)
		requests := func() []*Request { return []*Request{p.(Greeter).Greeting()} }
		want := prototest.Result{Messages: []prototest.Message{msg(len(said), "done"), msg(3, "")}}
		prototest.Pieces(t, outcomeParser(t, p, requests), []byte(said+"OK\n"), want)

		// None of it goes out before its end, unless it is longer than may be held: then a leg that ends leaves the client in it.
		long := strings.Repeat("220-\n", maxHeld/5+1)
		for _, c := range []struct {
			in, out string
			whole   int
		}{{said, said, len(said)}, {said[:20], "", 0}, {long[:maxHeld], "", 0}, {long, long, 0}, {long + "220 x\n", long + "220 x\n", len(long) + 6}} {
			want := prototest.Result{Out: c.out, Rest: len(c.in) - c.whole}
			if c.whole > 0 {
				want.Messages = []prototest.Message{msg(c.whole, "")}
			}
			prototest.Pieces(t, repliesParser(p, func(int) *Request { return p.(Greeter).Greeting() }), []byte(c.in), want)
		}
		req, r := p.(Greeter).Greeting(), p.Replies()
		if _, err := r.Next(req, []byte(said[:20])); err != nil || r.Finish(req) || r.Finish(nil) || req.Expect != ExpectOne || !req.Safe {
			t.Fatalf("%v: in the greeting: %v, %+v", c.Reply, err, req)
		}
		if _, err := r.Next(req, []byte(said[20:])); err != nil || r.Finish(req) || !r.Finish(nil) {
			t.Fatalf("%v: behind the greeting: %v", c.Reply, err)
		}
	}
}

func TestLineLost(t *testing.T) {
	text := []byte("wait\r\nERR lost\r\n")
	p := newLine(t, LineConfig{Reply: ReplyUntil, Until: re("^ERR|^OK"), OneWay: res("^LOG"), Lost: text, Delimiter: []byte("\r\n")})
	text[0] = 'x'
	all := requestsIn(t, p, "GET\r\nLOG\r\n")
	lost := p.(LostReplies)
	for _, doubt := range []bool{true, false} {
		got := lost.Lost(all[0], doubt, "%s reason")
		if string(got) != "wait\r\nERR lost\r\n" {
			t.Fatalf("%q", got)
		}
		got[0] = 'x' // the bytes are the caller's
	}
	if lost.Lost(all[1], false, "x") != nil || lost.Lost(nil, false, "x") != nil {
		t.Error("something is sent for a reply that never was due")
	}
	if _, ok := newLine(t, LineConfig{}).(LostReplies); ok {
		t.Error("a reply can be lost without a text in its place")
	}
}
