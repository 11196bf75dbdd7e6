package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

func newLength(t testing.TB, c LengthConfig) Protocol {
	t.Helper()
	p, err := NewLength(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNewLengthRefuses(t *testing.T) {
	for i, c := range []struct {
		want   string
		config LengthConfig
	}{
		{"width", LengthConfig{}},
		{"width", LengthConfig{Width: 9}},
		{"width", LengthConfig{Width: math.MinInt}},
		{"offset", LengthConfig{Width: 4, Offset: -1}},
		{"offset", LengthConfig{Width: 4, Offset: math.MaxInt}},
		{"header_size", LengthConfig{Width: 4, Offset: 4, HeaderSize: 7}},
		{"header_size", LengthConfig{Width: 4, HeaderSize: mostHeader + 1}},
		{"header_size", LengthConfig{Width: 4, Offset: mostHeader}},
		{"counts", LengthConfig{Width: 4, Counts: 2}},
		{"adjust", LengthConfig{Width: 4, Adjust: math.MinInt}},
		{"max_message", LengthConfig{Width: 4, MaxMessage: 3}},
		{"max_message", LengthConfig{Width: 4, MaxMessage: math.MaxInt64}},
		{"reply is stream", LengthConfig{Width: 4, Reply: ReplyStream}},
		{"safe pattern 1", LengthConfig{Width: 4, Safe: []Pattern{{}}}},
		{"safe pattern 2", LengthConfig{Width: 4, Safe: []Pattern{{0, []byte("x")}, {math.MaxInt, []byte("x")}}}},
		{"safe pattern 1", LengthConfig{Width: 4, Safe: []Pattern{{mostHeader, []byte("x")}}}},
	} {
		if _, err := NewLength(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %+v: error %v, want one with %q", i, c.config, err, c.want)
		}
	}
}

func TestLengthMessages(t *testing.T) {
	type message = prototest.Message
	four := LengthConfig{Width: 4}
	const m4, m8, m16 = "message of up to 4 bytes", "message of up to 8 bytes", "message of up to 16 bytes"
	for _, c := range []struct {
		name   string
		config LengthConfig
		input  string
		want   []message
		rest   int
		err    error
	}{
		{"payload", four, "\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x09abc", []message{
			msg(6, "unsafe one "+m8), msg(4, "unsafe one "+m4)}, 7, nil},
		{"header in the middle", four, "\x00\x00\x00", nil, 3, nil},
		{"one byte wide", LengthConfig{Width: 1, Reply: ReplyNone}, "\x01a\x00\x03abc", []message{
			msg(2, "unsafe none message of up to 2 bytes"), msg(1, "unsafe none message of up to 1 bytes"), msg(4, "unsafe none "+m4)}, 0, nil},
		{"little endian, behind a type", LengthConfig{Offset: 1, Width: 2, LittleEndian: true}, "Q\x03\x00abcX\x00\x00", []message{
			msg(6, "unsafe one "+m8), msg(3, "unsafe one "+m4)}, 0, nil},
		{"header goes on behind the field", LengthConfig{Width: 2, HeaderSize: 6}, "\x00\x02....ab", []message{msg(8, "unsafe one "+m8)}, 0, nil},
		{"whole message", LengthConfig{Width: 2, Counts: CountsMessage}, "\x00\x02\x00\x05abc", []message{
			msg(2, "unsafe one message of up to 2 bytes"), msg(5, "unsafe one "+m8)}, 0, nil},
		{"whole message, field counts itself but not the type", LengthConfig{Offset: 1, Width: 4, Counts: CountsMessage, Adjust: 1},
			"Q\x00\x00\x00\x07abcX\x00\x00\x00\x04", []message{msg(8, "unsafe one "+m8), msg(5, "unsafe one "+m8)}, 0, nil},
		{"negative adjustment", LengthConfig{Width: 1, Adjust: -2}, "\x03a\x02", []message{msg(2, "unsafe one message of up to 2 bytes"),
			msg(1, "unsafe one message of up to 1 bytes")}, 0, nil},
		{"whole message of nothing", LengthConfig{Width: 2, Counts: CountsMessage}, "\x00\x02\x00\x00", []message{
			msg(2, "unsafe one message of up to 2 bytes")}, 0, ErrMalformed},
		{"whole message less than its header", LengthConfig{Width: 2, Counts: CountsMessage}, "\x00\x01abc", nil, 0, ErrMalformed},
		{"payload below nothing", LengthConfig{Width: 1, Adjust: -2}, "\x01", nil, 0, ErrMalformed},
		{"at the bound", LengthConfig{Width: 1, MaxMessage: 4}, "\x03abc", []message{msg(4, "unsafe one "+m4)}, 0, nil},
		{"over the bound", LengthConfig{Width: 1, MaxMessage: 4}, "\x04abc", nil, 0, ErrMalformed},
		{"greatest value", LengthConfig{Width: 8, Adjust: mostAdjust}, "\xff\xff\xff\xff\xff\xff\xff\xff", nil, 0, ErrMalformed},
		{"greatest signed value", LengthConfig{Width: 8, Adjust: mostAdjust}, "\x7f\xff\xff\xff\xff\xff\xff\xff", nil, 0, ErrMalformed},
		{"half of it", LengthConfig{Width: 8, Adjust: mostAdjust}, "\x3f\xff\xff\xff\xff\xff\xff\xff", nil, 0, ErrMalformed},
		{"safe", LengthConfig{Width: 1, Safe: []Pattern{{1, []byte("GET")}, {3, []byte("?")}}},
			"\x04GETx\x04SETx\x03..?\x02GE\x03GET\x01.T\x00", []message{msg(5, "safe one "+m8), msg(5, "unsafe one "+m8), msg(4, "safe one "+m4),
				msg(3, "unsafe one "+m4), msg(4, "safe one "+m4), msg(2, "unsafe one message of up to 2 bytes")}, 2, nil},
		{"safe by the header", LengthConfig{Offset: 1, Width: 1, Safe: []Pattern{{0, []byte("Q")}}}, "Q\x01aP\x01aQ\x00", []message{
			msg(3, "safe one "+m4), msg(3, "unsafe one "+m4), msg(2, "safe one message of up to 2 bytes")}, 0, nil},
		{"a pattern does not look into the next message", LengthConfig{Width: 1, Safe: []Pattern{{2, []byte("\x01a")}}}, "\x01x\x01a\x03x\x01a",
			[]message{msg(2, "unsafe one message of up to 2 bytes"), msg(2, "unsafe one message of up to 2 bytes"), msg(4, "safe one "+m4)}, 0, nil},
		{"pattern far behind", LengthConfig{Width: 1, Safe: []Pattern{{mostHeader - 1, []byte("x")}}}, "\x0aabcdefghij\x0a", []message{
			msg(11, "unsafe one "+m16)}, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newLength(t, c.config)
			prototest.Pieces(t, requestsParser(p), []byte(c.input), prototest.Result{Messages: c.want, Rest: c.rest, Err: c.err})
		})
	}
}

func TestLengthReplies(t *testing.T) {
	big := make([]byte, 4+maxHeld)
	for _, c := range []struct {
		name   string
		config LengthConfig
		size   uint32 // of the last message's payload, of which all but one byte come
		out    int    // how many bytes of that may be passed on
	}{
		{"one", LengthConfig{Width: 4}, 20, 23},
		{"unasked and unfinished", LengthConfig{Width: 4, Reply: ReplyNone}, 20, 0},
		{"unasked, as long as can be held", LengthConfig{Width: 4, Reply: ReplyNone}, maxHeld - 4, 0},
		{"unasked, too long to be held", LengthConfig{Width: 4, Reply: ReplyNone}, maxHeld - 3, maxHeld},
	} {
		t.Run(c.name, func(t *testing.T) {
			binary.BigEndian.PutUint32(big, c.size)
			input := append([]byte("\x00\x00\x00\x01x"), big[:c.size+3]...)
			want := prototest.Result{Messages: []prototest.Message{{Bytes: 5}}, Rest: int(c.size) + 3, Out: string(input[:5+c.out])}
			prototest.Pieces(t, repliesParser(newLength(t, c.config), nil), input, want)
		})
	}
}

func TestLengthErrorNamesNumbers(t *testing.T) {
	r := newLength(t, LengthConfig{Width: 4, MaxMessage: 1000}).Requests()
	if _, _, err := r.Next([]byte("\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.Next([]byte("HTTP"))
	for _, want := range []string{"1213486160", "1000", "byte 4"} {
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

// A request is known when its header and what safe looks at are there, not before; a message of many bytes does not wait for its end.
func TestLengthKnownEarly(t *testing.T) {
	r := newLength(t, LengthConfig{Width: 2, Safe: []Pattern{{2, []byte("GET")}}}).Requests()
	for _, step := range []struct {
		piece       string
		known, safe bool
	}{{"\x01", false, false}, {"\x00G", false, false}, {"E", false, false}, {"T", true, true}, {"more", true, true}} {
		cut, req, err := r.Next([]byte(step.piece))
		if err != nil || cut.Known != step.known || req.Safe != step.safe || cut.End || cut.N != len(step.piece) {
			t.Fatalf("after %q: %+v %+v %v", step.piece, cut, req, err)
		}
	}
}

func TestLengthFinish(t *testing.T) {
	r := newLength(t, LengthConfig{Width: 1}).Replies()
	if !r.Finish(nil) || r.Finish(&Request{}) {
		t.Fatal("before the first byte nothing is open but the request")
	}
	if _, err := r.Next(nil, []byte("\x02a")); err != nil || r.Finish(nil) {
		t.Fatalf("within a message: error %v, finish %v", err, r.Finish(nil))
	}
	if _, err := r.Next(nil, []byte("b")); err != nil || !r.Finish(nil) {
		t.Fatalf("behind a message: error %v, finish %v", err, r.Finish(nil))
	}
}

func TestLengthAllocations(t *testing.T) {
	requests := newLength(t, LengthConfig{Width: 2, Safe: []Pattern{{2, []byte("GET")}}}).Requests()
	message := []byte("\x00\x05GET x")
	got := testing.AllocsPerRun(100, func() {
		if cut, req, err := requests.Next(message); err != nil || !cut.End || !req.Safe {
			t.Fatal(cut, req, err)
		}
	})
	if got > 1 {
		t.Errorf("%v allocations for a message, want 1: the Request", got)
	}
}

// FuzzLength: boundaries do not depend on pieces, cover the input exactly, and every message has the length that its field says.
func FuzzLength(f *testing.F) {
	f.Add([]byte("\x00\x02ab\x00\x00\x00\x01"), uint8(0), uint8(2), int16(0), uint8(0))
	f.Add([]byte("Q\x07\x00\x00\x00abcX\x04\x00\x00\x00"), uint8(1), uint8(4), int16(1), uint8(3))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), uint8(0), uint8(8), int16(-1), uint8(1))
	f.Fuzz(func(t *testing.T, input []byte, offset, width uint8, adjust int16, flags uint8) {
		c := LengthConfig{Offset: int(offset), Width: int(width), Adjust: int(adjust), MaxMessage: 4096,
			LittleEndian: flags&1 != 0, Counts: LengthCounts(flags >> 1 & 1), Reply: ReplyKind(flags >> 2 & 1),
			Safe: []Pattern{{Offset: int(flags), Bytes: []byte("a")}}}
		p, err := NewLength(c)
		if err != nil {
			t.Skip()
		}
		got := prototest.Same(t, requestsParser(p), input)
		if got.Err != nil && !errors.Is(got.Err, ErrMalformed) {
			t.Fatal(got.Err)
		}
		l, rest := p.(*length), input
		for i, m := range got.Messages {
			if total, err := l.total(rest); err != nil || total != int64(m.Bytes) {
				t.Fatalf("message %d has %d bytes, want %d (%v)", i, m.Bytes, total, err)
			}
			note := "unsafe"
			if l.safe(rest[:m.Bytes]) {
				note = "safe"
			}
			if !strings.HasPrefix(m.Note, note+" ") {
				t.Fatalf("message %d is %q, want %s", i, m.Note, note)
			}
			rest = rest[m.Bytes:]
		}
		if got.Err == nil && got.Rest != len(rest) {
			t.Fatalf("%d bytes left, want %d", got.Rest, len(rest))
		}
		got = prototest.Same(t, repliesParser(p, nil), input)
		if got.Err != nil && !errors.Is(got.Err, ErrMalformed) || !bytes.HasPrefix(input, []byte(got.Out)) {
			t.Fatalf("replies: error %v, passed %q of %q", got.Err, got.Out, input)
		}
		r := p.Requests().(*lengthRequests)
		for i := range input {
			if _, _, err := r.Next(input[i : i+1]); err != nil {
				break
			}
			if len(r.split.kept) > l.look {
				t.Fatalf("%d bytes kept, %d are looked at", len(r.split.kept), l.look)
			}
		}
	})
}
