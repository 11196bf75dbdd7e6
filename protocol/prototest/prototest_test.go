package prototest

import (
	"errors"
	"strings"
	"testing"
)

var errZero = errors.New("a zero")

// pairs is a right parser: messages of two bytes, and no zeros.
func pairs() Parser {
	n := 0
	return func(p []byte) (Step, error) {
		if p[0] == 0 {
			return Step{}, errZero
		}
		n++
		return Step{N: 1, End: n%2 == 0, Note: "pair", Out: p[:1]}, nil
	}
}

// greedy is a wrong parser: every piece is a message.
func greedy() Parser {
	return func(p []byte) (Step, error) { return Step{N: len(p), End: true}, nil }
}

// keeper is a wrong parser: it gives out bytes of an earlier piece.
func keeper() Parser {
	var kept []byte
	return func(p []byte) (Step, error) {
		s := Step{N: len(p), Out: kept}
		kept = p
		return s, nil
	}
}

func TestPieces(t *testing.T) {
	Pieces(t, pairs, []byte("abcde"), Result{Messages: []Message{{2, "pair"}, {2, "pair"}}, Rest: 1, Out: "abcde"})
	Pieces(t, pairs, []byte("abc\x00"), Result{Messages: []Message{{2, "pair"}}, Out: "abc", Err: errZero})
	Pieces(t, pairs, nil, Result{})
}

func TestPiecesFindsWrongParsers(t *testing.T) {
	for _, c := range []struct {
		name  string
		parse func() Parser
		want  string
	}{
		{"cuts where pieces end", greedy, "message"},
		{"keeps the piece", keeper, "output"},
		{"takes nothing", func() Parser { return func([]byte) (Step, error) { return Step{}, nil } }, ""},
	} {
		f := &failure{}
		func() {
			defer func() { _ = recover() }()
			Pieces(f, c.parse, []byte("abcdef"), Result{Messages: []Message{{6, ""}}, Out: ""})
		}()
		if !f.failed || !strings.Contains(f.format, c.want) {
			t.Errorf("%s: failed %v with %q, want %q in it", c.name, f.failed, f.format, c.want)
		}
	}
}

// failure is a test that notes its failure.
type failure struct {
	testing.TB
	failed bool
	format string
}

func (f *failure) Helper() {}

func (f *failure) Fatalf(format string, _ ...any) {
	f.failed, f.format = true, format
	panic("stop the test")
}
