package protocol

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

var lengthStates = LengthConfig{
	Width: 2, MaxMessage: 1 << 20, Safe: []Pattern{{2, []byte("G")}}, Sync: res(`^(?s)..PING$`),
	States: []StateRule{
		{Name: "login", Match: re(`^(?s)..L(?P<user>.*)`), Expect: re(`^(?s)..OK$`), Void: re(`^(?s)..O`)},
		{Name: "sub", Match: re(`^(?s)..S`), All: true},
	},
}

// two is a message with a length field of two bytes.
func two(payload string) string {
	return string([]byte{byte(len(payload) >> 8), byte(len(payload))}) + payload
}

func TestLengthState(t *testing.T) {
	p := newLength(t, lengthStates)
	edge := "L" + strings.Repeat("\n", maxStateText-3)
	for _, c := range []struct {
		name, input string
		want        []string // notes
	}{
		{"state", two("Lbob") + two("G") + two("X"), []string{"safe one  login=(user:bob)", "safe one ", "unsafe one "}},
		{"keep all, void, sync", two("S1") + two("S2") + two("O") + two("PING") + two("PINGS"),
			[]string{"safe one  sub 1=", "safe one  sub 2=", "safe one  login=void", "unsafe one  sync", "unsafe one "}},
		{"as long as can be matched", two(edge) + two("G"), []string{"safe one  login=(user:" + edge[1:] + ")", "safe one "}},
		{"too long to be matched", two(edge+"x") + two("G"+edge), []string{"unsafe one ", "safe one "}},
		{"no payload", two("") + two("S"), []string{"unsafe one ", "safe one  sub 1="}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := prototest.Same(t, connectionParser(p), []byte(c.input))
			var notes []string
			for _, m := range got.Messages {
				notes = append(notes, m.Note)
			}
			if !slices.Equal(notes, c.want) || got.Err != nil || got.Rest != 0 {
				t.Errorf("got %.200q\nwant %.200q, error %v, rest %d", notes, c.want, got.Err, got.Rest)
			}
		})
	}
	all := requestsIn(t, newLength(t, LengthConfig{Width: 2, Reply: ReplyNone, States: []StateRule{{Name: "a", Match: re("A")}}}), two("A"))
	if c := all[0].Detail.(Connection); c.Outcome() != OutcomeDone || all[0].Expect != ExpectNone {
		t.Errorf("a state without a reply: %+v, outcome %d", all[0], c.Outcome())
	}
}

func TestLengthOutcome(t *testing.T) {
	big := strings.Repeat("x", maxStateText)
	long := LengthConfig{Width: 4, MaxMessage: 1 << 20, States: []StateRule{{Name: "a", Match: re("A"), Expect: re("x")}, {Name: "b", Match: re("B")}}}
	four := func(payload string) string {
		return string([]byte{0, byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload))}) + payload
	}
	for _, c := range []struct {
		name              string
		config            LengthConfig
		requests, replies string
		want              []prototest.Message
	}{
		{"expected", lengthStates, two("La") + two("Lb") + two("S") + two("X"), two("OK") + two("NO") + two("NO") + two("OK"),
			[]prototest.Message{msg(4, "done"), msg(4, "failed"), msg(4, "done"), msg(4, "")}},
		{"nothing but the header", lengthStates, two("La") + two("S"), two("") + two(""), []prototest.Message{msg(2, "failed"), msg(2, "done")}},
		{"too long to match", long, four("A") + four("A") + four("B") + four("A"), four(big[4:]) + four(big[3:]) + four(big) + four("x"),
			[]prototest.Message{msg(maxStateText, "done"), msg(maxStateText+1, "failed"), msg(maxStateText+4, "done"), msg(5, "done")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newLength(t, c.config)
			requests := func() []*Request { return requestsIn(t, p, c.requests) }
			prototest.Pieces(t, outcomeParser(t, p, requests), []byte(c.replies), prototest.Result{Messages: c.want})
		})
	}
}

func TestLengthOutcomeOfEarlyReply(t *testing.T) {
	p := newLength(t, lengthStates)
	req, replies := requestsIn(t, p, two("La"))[0], p.Replies()
	if _, err := replies.Next(nil, []byte("\x00\x02O")); err != nil {
		t.Fatal(err)
	}
	if cut, err := replies.Next(req, []byte("K")); err != nil || !cut.End {
		t.Fatal(cut, err)
	}
	if got := req.Detail.(Connection).Outcome(); got != OutcomeFailed {
		t.Errorf("outcome %d", got)
	}
}

func TestLengthGreeting(t *testing.T) {
	if newLength(t, LengthConfig{Width: 2}).(Greeter).Greeting() != nil {
		t.Fatal("a greeting that was not configured")
	}
	said := two("hello")
	for _, kind := range []ReplyKind{ReplyOne, ReplyNone} {
		p := newLength(t, LengthConfig{Width: 2, Greeting: true, Reply: kind})
		requests := func() []*Request { return []*Request{p.(Greeter).Greeting()} }
		want := prototest.Result{Messages: []prototest.Message{msg(len(said), "done"), msg(3, "")}}
		prototest.Pieces(t, outcomeParser(t, p, requests), []byte(said+two("x")), want)
		req, r := p.(Greeter).Greeting(), p.Replies()
		for i := range said {
			cut, err := r.Next(req, []byte(said[i:i+1]))
			end := i == len(said)-1
			if err != nil || cut.End != end || r.Finish(req) || r.Finish(nil) != end {
				t.Fatalf("%v: byte %d: %+v, %v, finish %v", kind, i, cut, err, r.Finish(nil))
			}
			if passed := r.Delivered().Bytes; cut.Hold == end || passed != 0 {
				t.Fatalf("%v: byte %d: %+v, delivered %d", kind, i, cut, passed)
			}
		}
	}
}

func TestLengthLost(t *testing.T) {
	p := newLength(t, LengthConfig{Width: 2, Lost: []byte(two("lost"))})
	req := requestsIn(t, p, two("x"))[0]
	if got := p.(LostReplies).Lost(req, true, "reason"); string(got) != two("lost") {
		t.Errorf("%q", got)
	}
	if _, ok := newLength(t, LengthConfig{Width: 2}).(LostReplies); ok || p.(LostReplies).Lost(nil, true, "reason") != nil {
		t.Error("something is sent that was not configured, or was not due")
	}
	for want, c := range map[string]LengthConfig{
		"its end is missing":  {Lost: []byte("\x00\x05lost")},
		"after 5 of 6 bytes":  {Lost: []byte("\x00\x03lost")},
		"at most 4 bytes":     {Lost: []byte("\x00\x03lost"), MaxMessage: 4},
		"no request has one":  {Lost: []byte("\x00\x00"), Reply: ReplyNone},
		"sync needs replies":  {Sync: res("x"), Reply: ReplyNone},
		"of sync is nil":      {Sync: []*regexp.Regexp{nil}},
		"has an expect":       {Reply: ReplyNone, States: []StateRule{{Name: "a", Match: re("x"), Expect: re("y")}}},
		"state \"a\" has no ": {States: []StateRule{{Name: "a"}}},
	} {
		c.Width = 2
		if _, err := NewLength(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", c, err, want)
		}
	}
}

// FuzzLengthState: what messages change and mean does not depend on pieces, and no more is kept than may be matched.
func FuzzLengthState(f *testing.F) {
	f.Add([]byte(two("Lbob")+two("S")+two("O")+two("PING")), []byte(two("hi")+two("OK")+two("NO")))
	f.Add([]byte("\xff\xffL"), []byte("\xff\xffOK"))
	f.Fuzz(func(t *testing.T, said, answered []byte) {
		c := lengthStates
		c.Greeting, c.MaxMessage = true, 1<<17
		p := newLength(t, c)
		prototest.Same(t, connectionParser(p), said)
		requests := func() []*Request {
			return append([]*Request{p.(Greeter).Greeting()}, requestsIn(t, p, string(said))...)
		}
		prototest.Same(t, outcomeParser(t, p, requests), answered)
		r := p.Requests().(*lengthRequests)
		for i := range said {
			if _, _, err := r.Next(said[i : i+1]); err != nil {
				t.Fatal(err)
			}
			if len(r.split.kept) > maxStateText {
				t.Fatalf("%d bytes kept", len(r.split.kept))
			}
		}
	})
}
