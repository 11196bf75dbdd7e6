// Package prototest checks what every push parser must promise: the boundaries that it finds do not depend on how the bytes
// were cut into pieces on their way.
//
// It knows nothing of package protocol (so that protocol's own tests can use it); a few lines of adapter make a Parser of
// a protocol.Requests, Replies or Joiner. Package protocol's tests have them in pieces_test.go.
package prototest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Step is what a parser says of one piece, or of the rest of one.
type Step struct {
	N    int    // bytes dealt with, at least 1 and at most all
	End  bool   // a message ends with them
	Note string // read with End: what else must be the same for all pieces (safe or not, label)
	Out  []byte // what goes on to the other side because of this step, nil for parsers that pass all
}

// Parser looks at the bytes behind those of its last step. The piece is overwritten when all of it is used up: a parser that keeps a
// part of p instead of a copy is found out.
type Parser func(p []byte) (Step, error)

// Message is one message that a parser found.
type Message struct {
	Bytes int    // its length
	Note  string // Step.Note of its end
}

// Result is what a parser made of one input.
type Result struct {
	Messages []Message // those that ended, in order
	Rest     int       // bytes of the message that did not end. Not compared when Err is set
	Out      string    // all Step.Out, in order. When Err is set, one may go further than the other, but they must not differ
	Err      error     // nil, or what errors.Is must find in the parser's error. The run ends at the first error
}

// Run feeds input to p, in pieces of as many bytes as size returns (at least 1), and says what came out. A parser that breaks the
// rules (deals with no byte, or with more than there are) gives an Err that says so.
func Run(p Parser, input []byte, size func() int) Result {
	var r Result
	var out []byte
	for len(input) > 0 && r.Err == nil {
		n := min(max(size(), 1), len(input))
		out, r.Err = feed(p, bytes.Clone(input[:n:n]), out, &r)
		input = input[n:]
	}
	r.Out = string(out)
	return r
}

// feed gives one piece to p until it is used up, and then overwrites it.
func feed(p Parser, piece, out []byte, r *Result) ([]byte, error) {
	whole := piece
	defer func() {
		for i := range whole {
			whole[i] ^= 0xff
		}
	}()
	for len(piece) > 0 {
		s, err := p(piece)
		out = append(out, s.Out...)
		if err != nil {
			return out, err
		}
		if s.N < 1 || s.N > len(piece) {
			return out, fmt.Errorf("prototest: the parser says N = %d of a piece of %d bytes", s.N, len(piece))
		}
		r.Rest += s.N
		if s.End {
			r.Messages = append(r.Messages, Message{Bytes: r.Rest, Note: s.Note})
			r.Rest = 0
		}
		piece = piece[s.N:]
	}
	return out, nil
}

// Same feeds input to new parsers whole, byte by byte, in twos and threes, and in random pieces; it fails the test where one
// result differs from that of the whole, which it returns. Random pieces are the same in every run.
func Same(t testing.TB, newParser func() Parser, input []byte) Result {
	t.Helper()
	whole := Run(newParser(), input, func() int { return len(input) })
	for n := 1; n <= 3; n++ {
		got := Run(newParser(), input, func() int { return n })
		compare(t, fmt.Sprintf("in pieces of %d", n), got, whole)
	}
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		most := 1 << (2 * (seed + 1)) // short pieces for short inputs, up to 64 KiB for long ones
		got := Run(newParser(), input, func() int { return 1 + rnd.IntN(most) })
		compare(t, fmt.Sprintf("in random pieces (seed %d, up to %d bytes)", seed, most), got, whole)
	}
	return whole
}

// Pieces is Same, and compares the result with want as well. Where want.Err is nil, no error may come.
func Pieces(t testing.TB, newParser func() Parser, input []byte, want Result) {
	t.Helper()
	compare(t, "compared with what the test wants", Same(t, newParser, input), want)
}

// compare fails the test if got is not want. Errors are the same if errors.Is finds one in the other, or both read the same.
func compare(t testing.TB, how string, got, want Result) {
	t.Helper()
	if !sameError(got.Err, want.Err) {
		t.Fatalf("%s: error %v, want %v", how, got.Err, want.Err)
	}
	for i := 0; i < len(got.Messages) || i < len(want.Messages); i++ {
		switch {
		case i >= len(got.Messages):
			t.Fatalf("%s: %d messages, want %d; missing: %+v", how, i, len(want.Messages), want.Messages[i])
		case i >= len(want.Messages):
			t.Fatalf("%s: %d messages, want %d; too many: %+v", how, len(got.Messages), i, got.Messages[i])
		case got.Messages[i] != want.Messages[i]:
			t.Fatalf("%s: message %d is %+v, want %+v", how, i, got.Messages[i], want.Messages[i])
		}
	}
	if want.Err == nil && got.Rest != want.Rest {
		t.Fatalf("%s: %d bytes of an unfinished message, want %d", how, got.Rest, want.Rest)
	}
	if got.Out != want.Out && (want.Err == nil || !onePrefix(got.Out, want.Out)) {
		t.Fatalf("%s: output of %d bytes %.80q, want %d bytes %.80q", how, len(got.Out), got.Out, len(want.Out), want.Out)
	}
}

// onePrefix reports that one begins with the other.
func onePrefix(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

func sameError(got, want error) bool {
	if got == nil || want == nil {
		return got == want
	}
	return errors.Is(got, want) || got.Error() == want.Error()
}
