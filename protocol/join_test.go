package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/poolproxy/poolproxy/protocol/prototest"
)

// noise returns n bytes without a newline, the same every time.
func noise(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, n)
	for i := range p {
		p[i] = 'a' + byte(rnd.IntN(26))
	}
	return p
}

// joinParser makes prototest parsers of the Joiner for a reply of which delivered went out.
func joinParser(t testing.TB, p Protocol, delivered []byte) func() prototest.Parser {
	made := 0
	return func() prototest.Parser {
		old := p.Replies()
		for rest := delivered; len(rest) > 0; {
			cut, err := old.Next(nil, rest)
			if err != nil || cut.End || cut.Hold {
				t.Fatalf("the delivered part is not that of one reply: %+v, error %v", cut, err)
			}
			rest = rest[cut.N:]
		}
		again, j, err := p.Join(nil, nil, old.Delivered())
		if err != nil || again != nil {
			t.Fatalf("join: again %q, error %v", again, err)
		}
		made++
		freezes := made%2 == 0
		return func(piece []byte) (prototest.Step, error) {
			if freezes {
				j, _ = thawedJoiner(t, p, j, nil)
			}
			n, out, end, err := j.Next(piece)
			if err != nil && j.Finish() {
				t.Fatal("finished, in spite of an error")
			}
			return prototest.Step{N: n, End: end, Out: out}, err
		}
	}
}

// silent fails the test if a byte goes out.
func silent(t testing.TB, newParser func() prototest.Parser) func() prototest.Parser {
	return func() prototest.Parser {
		parse := newParser()
		return func(p []byte) (prototest.Step, error) {
			s, err := parse(p)
			if len(s.Out) > 0 {
				t.Fatalf("%q went out behind a difference", s.Out)
			}
			return s, err
		}
	}
}

func TestPrefixDelivered(t *testing.T) {
	for _, n := range []int{0, 1, markSpacing - 1, markSpacing, markSpacing + 1, markCount * markSpacing, 5*markCount*markSpacing + 7} {
		data := noise(n)
		var whole, pieces Prefix
		whole.Add(data)
		for rest := data; len(rest) > 0; {
			k := min(len(rest), 1+len(rest)%5000)
			pieces.Add(rest[:k])
			rest = rest[k:]
		}
		d, e := whole.Delivered(), pieces.Delivered()
		if fmt.Sprint(d.Bytes, d.Sum, d.Detail) != fmt.Sprint(e.Bytes, e.Sum, e.Detail) || d.Bytes != int64(n) || d.Sum != xxhash.Sum64(data) {
			t.Fatalf("%d bytes: whole %+v, in pieces %+v", n, d, e)
		}
		points, _ := d.Detail.(*Checkpoints)
		if (points == nil) != (n < markSpacing) {
			t.Fatalf("%d bytes: checkpoints %+v", n, points)
		}
		if points == nil {
			continue
		}
		if int64(len(points.Sums)) != int64(n)/points.Spacing || len(points.Sums) >= markCount {
			t.Fatalf("%d bytes: %d checkpoints every %d bytes", n, len(points.Sums), points.Spacing)
		}
		for i, sum := range points.Sums {
			if sum != xxhash.Sum64(data[:int64(i+1)*points.Spacing]) {
				t.Fatalf("%d bytes: checkpoint %d is wrong", n, i)
			}
		}
	}
}

// A Delivered is a picture of its moment: later bytes do not change it.
func TestPrefixDeliveredIsACopy(t *testing.T) {
	var x Prefix
	x.Add(noise(40 * markSpacing))
	d := x.Delivered()
	before := fmt.Sprint(*d.Detail.(*Checkpoints))
	x.Add(noise(100 * markSpacing))
	if after := fmt.Sprint(*d.Detail.(*Checkpoints)); after != before {
		t.Fatalf("checkpoints changed from %s to %s", before, after)
	}
}

func TestHistoryVerify(t *testing.T) {
	var h History
	data := noise(200_000)
	if n, out, err := h.Verify().Next(data); n != len(data) || len(out) != len(data) || err != nil {
		t.Fatalf("empty history: n %d, %d bytes out, error %v", n, len(out), err)
	}
	h.Add(data[:150_000])
	v := h.Verify()
	for i := 0; i < 140_000; i += 20_000 {
		if n, out, err := v.Next(data[i : i+20_000]); n != 20_000 || len(out) != 0 || err != nil {
			t.Fatalf("at %d: n %d, %d bytes out, error %v", i, n, len(out), err)
		}
	}
	if v.Compared() != 140_000 || v.Remaining() != 10_000 {
		t.Fatalf("compared %d, remaining %d", v.Compared(), v.Remaining())
	}
	_, out, err := v.Next(data[140_000:])
	if err != nil || !bytes.Equal(out, data[150_000:]) || v.Remaining() != 0 {
		t.Fatalf("%d bytes out, error %v, remaining %d", len(out), err, v.Remaining())
	}
	h.Add(out)
	if _, out, err := h.Verify().Next(data); len(out) != 0 || err != nil || h.Bytes() != 200_000 {
		t.Fatalf("second failover: %d bytes out of %d, error %v", len(out), h.Bytes(), err)
	}
}

// A difference is noticed at the next checkpoint, its error says between which, and it stays.
func TestVerifierNoticesEarly(t *testing.T) {
	for _, c := range []struct{ size, wrong, from, to int }{
		{100, 0, 0, 100},
		{100, 99, 0, 100},
		{100_000, 20_000, 16384, 32768},
		{100_000, 16383, 0, 16384},
		{100_000, 99_999, 98304, 100_000},
		{98304, 98303, 81920, 98304},
		{2 << 20, 1 << 20, 1 << 20, 1<<20 + 64<<10}, // spacing doubled twice
	} {
		var h History
		data := noise(c.size)
		h.Add(data)
		data[c.wrong] ^= 1
		v := h.Verify()
		noticed := 0
		var err error
		for err == nil && noticed < len(data) {
			var out []byte
			if _, out, err = v.Next(data[noticed : noticed+1]); len(out) > 0 {
				t.Fatalf("%+v: a byte went out", c)
			}
			noticed++
		}
		want := fmt.Sprintf("between byte %d and byte %d of", c.from, c.to)
		if !errors.Is(err, ErrMismatch) || noticed != c.to || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v after %d bytes", c, err, noticed)
		}
		if _, out, again := v.Next([]byte("x")); again != err || out != nil || v.Remaining() <= 0 {
			t.Errorf("%+v: after the error: %q, error %v, remaining %d", c, out, again, v.Remaining())
		}
	}
}

func TestJoin(t *testing.T) {
	until := LineConfig{Reply: ReplyUntil, Until: res("^OK")[0]}
	one, multi, frame := newLine(t, LineConfig{}), newLine(t, until), newLength(t, LengthConfig{Width: 2})
	big := append(noise(100_000), '\n')
	changed := bytes.Clone(big)
	changed[70_000]++
	type message = prototest.Message
	for _, c := range []struct {
		name      string
		protocol  Protocol
		delivered string
		reply     string
		want      prototest.Result
	}{
		{"line", one, "hel", "hello\n", prototest.Result{Messages: []message{msg(6, "")}, Out: "lo\n"}},
		{"line, nothing delivered", one, "", "hello\n", prototest.Result{Messages: []message{msg(6, "")}, Out: "hello\n"}},
		{"line, only the delimiter is missing", one, "hello", "hello\n", prototest.Result{Messages: []message{msg(6, "")}, Out: "\n"}},
		{"line, unfinished again", one, "hel", "hell", prototest.Result{Rest: 4, Out: "l"}},
		{"line, unfinished earlier", one, "hel", "h", prototest.Result{Rest: 1}},
		{"line, different", one, "hel", "help!\n", prototest.Result{Messages: []message{msg(6, "")}, Out: "p!\n"}}, // nobody can know
		{"line, different at once", one, "hel", "xello\n", prototest.Result{Err: ErrMismatch}},
		{"line, ends early", one, "hello", "hel\nlo\n", prototest.Result{Err: ErrMismatch}},
		{"long line", one, string(big[:90_000]), string(big), prototest.Result{Messages: []message{msg(100_001, "")}, Out: string(big[90_000:])}},
		{"long line, different", one, string(big[:90_000]), string(changed), prototest.Result{Err: ErrMismatch}},
		{"until", multi, "250-a\n25", "250-a\n250-b\nOK\n", prototest.Result{Messages: []message{msg(15, "")}, Out: "0-b\nOK\n"}},
		{"until, ends early", multi, "a\nb\n", "OK\n", prototest.Result{Err: ErrMismatch}},
		{"until, ends early, behind what is right", multi, "a\nO", "a\nOK\n", prototest.Result{Messages: []message{msg(5, "")}, Out: "K\n"}},
		{"length", frame, "\x00\x05he", "\x00\x05hello", prototest.Result{Messages: []message{msg(7, "")}, Out: "llo"}},
		{"length, part of the header", frame, "\x00", "\x00\x05hello", prototest.Result{Messages: []message{msg(7, "")}, Out: "\x05hello"}},
		{"length, another length", frame, "\x00\x05he", "\x00\x01h", prototest.Result{Err: ErrMismatch}},
		{"stream", NewStream(StreamConfig{}), "HELLO\n1\n", "HELLO\n1\n2\n", prototest.Result{Rest: 10, Out: "2\n"}},
		{"stream, different", NewStream(StreamConfig{}), "HELLO\n1\n", "HELLO\n2\n2\n", prototest.Result{Err: ErrMismatch}},
	} {
		t.Run(c.name, func(t *testing.T) {
			parser := joinParser(t, c.protocol, []byte(c.delivered))
			if c.want.Err != nil {
				parser = silent(t, parser)
			}
			prototest.Pieces(t, parser, []byte(c.reply), c.want)
		})
	}
}

// The parser's own error ends a join as well, and nothing comes out after it.
func TestJoinMalformed(t *testing.T) {
	p := newLength(t, LengthConfig{Width: 1, MaxMessage: 10})
	_, j, _ := p.Join(nil, nil, Delivered{})
	for range 2 {
		if _, out, _, err := j.Next([]byte("\xffabc")); !errors.Is(err, ErrMalformed) || out != nil || j.Finish() {
			t.Fatalf("out %q, error %v", out, err)
		}
	}
}

// Behind a mismatch at the reply's end, nothing more comes out either.
func TestJoinStaysEnded(t *testing.T) {
	_, j, _ := newLine(t, LineConfig{}).Join(nil, nil, delivered("hello"))
	for range 2 {
		if _, out, end, err := j.Next([]byte("hel\n")); !errors.Is(err, ErrMismatch) || out != nil || end {
			t.Fatalf("out %q, end %v, error %v", out, end, err)
		}
	}
}

func delivered(s string) Delivered {
	var x Prefix
	x.Add([]byte(s))
	return x.Delivered()
}

// Three servers die in the middle of one reply; the second even before it got as far as the first.
func TestJoinAgainAndAgain(t *testing.T) {
	p := newLine(t, LineConfig{})
	reply := append(noise(100_000), '\n')
	var client []byte
	d := Delivered{}
	for leg, upTo := range []int{40_000, 20_000, 80_000, len(reply)} {
		_, j, err := p.Join(nil, nil, d)
		if err != nil {
			t.Fatal(err)
		}
		n, out, end, err := j.Next(reply[:upTo])
		if err != nil || n != upTo || end != (upTo == len(reply)) {
			t.Fatalf("leg %d: n %d, end %v, error %v", leg, n, end, err)
		}
		if want := min(int64(len(client)), int64(upTo)); j.Skipped() != want {
			t.Fatalf("leg %d: skipped %d, want %d", leg, j.Skipped(), want)
		}
		client = append(client, out...)
		d = j.Delivered()
		if d.Bytes != int64(len(client)) || d.Sum != xxhash.Sum64(client) {
			t.Fatalf("leg %d: delivered %d bytes with hash %x; the client has %d", leg, d.Bytes, d.Sum, len(client))
		}
	}
	if !bytes.Equal(client, reply) {
		t.Fatal("the client's reply is not the servers'")
	}
}

// What the parser holds, the joiner keeps; it comes out in one piece, and counts as delivered only then.
func TestJoinHolds(t *testing.T) {
	p := newLine(t, LineConfig{Reply: ReplyStream})
	j := NewPrefixJoiner(delivered("ti"), p.Replies(), nil)
	for _, step := range []struct {
		piece, out string
		end        bool
		delivered  int64
	}{{"t", "", false, 2}, {"ic", "", false, 2}, {"k", "", false, 2}, {"\n", "ck\n", true, 5}} {
		n, out, end, err := j.Next([]byte(step.piece))
		if n != len(step.piece) || string(out) != step.out || end != step.end || err != nil || j.Delivered().Bytes != step.delivered {
			t.Fatalf("after %q: n %d, out %q, end %v, error %v, delivered %d", step.piece, n, out, end, err, j.Delivered().Bytes)
		}
	}
}

// FuzzJoin: if the new reply begins with what the client has, the client sees the reply exactly once; if not, never a byte.
func FuzzJoin(f *testing.F) {
	f.Add([]byte("hello\nmore"), uint32(3), uint32(0), byte(0), uint8(0))
	f.Add([]byte("hello\nworld\nOK\n"), uint32(9), uint32(4), byte(1), uint8(1))
	f.Add([]byte("\x05hello"), uint32(3), uint32(2), byte(7), uint8(2))
	protocols := joined(f)
	f.Fuzz(func(t *testing.T, reply []byte, cutAt, wrongAt uint32, flip byte, which uint8) {
		if len(reply) > 4<<10 {
			t.Skip() // a joiner is frozen and thawed at each byte, with all that it holds: longer ones take seconds. See TestJoinLong
		}
		joins(t, protocols[which%4], reply, cutAt, wrongAt, flip)
	})
}

// TestJoinLong is FuzzJoin for a reply that is long.
func TestJoinLong(t *testing.T) {
	joins(t, joined(t)[3], append(noise(50_000), '\n'), 40_000, 39_999, 1)
}

// joined are the protocols that FuzzJoin chooses from.
func joined(t testing.TB) []Protocol {
	return []Protocol{newLine(t, LineConfig{}), newLine(t, LineConfig{Reply: ReplyUntil, Until: res("^OK")[0]}),
		newLength(t, LengthConfig{Width: 1}), NewStream(StreamConfig{})}
}

// joins has a reply cut, and the same one, but for what flip changes in it, joined to it.
func joins(t *testing.T, p Protocol, reply []byte, cutAt, wrongAt uint32, flip byte) {
	first := prototest.Run(repliesParser(p, nil)(), reply, func() int { return len(reply) })
	if first.Err != nil || len(reply) == 0 {
		t.Skip()
	}
	end := len(reply)
	if len(first.Messages) > 0 {
		end = first.Messages[0].Bytes
	}
	have := reply[:int(cutAt)%end] // never the whole reply
	second := bytes.Clone(reply)
	second[int(wrongAt)%len(second)] ^= flip
	same := bytes.HasPrefix(second, have)
	parser := firstReply(joinParser(t, p, have))
	if !same {
		parser = silent(t, parser)
	}
	got := prototest.Same(t, parser, second)
	if same && got.Err != nil && !errors.Is(got.Err, ErrMalformed) {
		t.Fatalf("same beginning, error %v", got.Err)
	}
	if want := string(reply[len(have):end]); flip == 0 && (got.Out != want || got.Err != nil) {
		t.Fatalf("the client has %q and got %q, want %q; error %v", have, got.Out, want, got.Err)
	}
}

// firstReply ends a joiner's run with its reply: what comes behind that is not its business.
func firstReply(newParser func() prototest.Parser) func() prototest.Parser {
	return func() prototest.Parser {
		parse, ended := newParser(), false
		return func(p []byte) (prototest.Step, error) {
			if ended {
				return prototest.Step{N: len(p)}, nil
			}
			s, err := parse(p)
			ended = s.End
			return s, err
		}
	}
}
