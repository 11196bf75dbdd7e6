package protocol

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
	"github.com/poolproxy/poolproxy/protocol/prototest"
)

// msg is short for a message in tables.
func msg(bytes int, note string) prototest.Message {
	return prototest.Message{Bytes: bytes, Note: note}
}

// requestsParser makes prototest parsers of a protocol's Requests. Notes read like "safe one line of up to 8 bytes close"; that
// the same Request is handed over until its end, and that Known is never taken back, is checked on the way.
func requestsParser(p Protocol) func() prototest.Parser {
	made := 0
	return func() prototest.Parser {
		requests := p.Requests()
		var current *Request
		var known bool
		made++
		freezes := made%2 == 0 // so each result of pieces is compared with one that was never frozen
		var at sometimes
		return func(piece []byte) (prototest.Step, error) {
			if freezes && at.now() {
				if err := thawed(func(c *freeze.Coder) {
					FreezeRequests(c, p, &requests)
					FreezeRequest(c, &current)
				}); err != nil {
					return prototest.Step{}, err
				}
			}
			cut, req, err := requests.Next(piece)
			if err != nil {
				return prototest.Step{}, err
			}
			if req == nil || current != nil && req != current || cut.Hold || known && !cut.Known {
				return prototest.Step{}, fmt.Errorf("broken promise: request %p after %p, cut %+v", req, current, cut)
			}
			current, known = req, cut.Known
			if cut.End {
				if !cut.Known {
					return prototest.Step{}, fmt.Errorf("broken promise: ended and not known: %+v", cut)
				}
				current, known = nil, false
			}
			return prototest.Step{N: cut.N, End: cut.End, Note: requestNote(req, cut)}, nil
		}
	}
}

func requestNote(req *Request, cut Cut) string {
	note := "unsafe"
	if req.Safe {
		note = "safe"
	}
	note += [...]string{" one ", " none ", " unknown "}[req.Expect] + req.Label
	if cut.Close {
		note += " close"
	}
	return note
}

// repliesParser makes prototest parsers of a protocol's Replies; request names the request that the i-th reply answers (nil: no
// request is open). Out is what may be passed on: held bytes come with those that release them. More than 64 KiB held is an
// error, and Delivered must agree with what was passed.
func repliesParser(p Protocol, request func(i int) *Request) func() prototest.Parser {
	made := 0
	return func() prototest.Parser {
		replies := p.Replies()
		var held []byte
		var passed Prefix
		var i int
		var req *Request
		asked := -1
		made++
		freezes := made%2 == 0
		var at sometimes
		return func(piece []byte) (prototest.Step, error) {
			if request != nil && asked != i {
				asked, req = i, request(i)
			}
			if freezes && at.now() {
				if err := thawed(func(c *freeze.Coder) {
					FreezeReplies(c, p, &replies)
					FreezeRequest(c, &req)
				}); err != nil {
					return prototest.Step{}, err
				}
			}
			cut, err := replies.Next(req, piece)
			if err != nil {
				return prototest.Step{}, err
			}
			held = append(held, piece[:cut.N]...)
			step := prototest.Step{N: cut.N, End: cut.End}
			if cut.Close {
				step.Note = "close"
			}
			if cut.Hold {
				if len(held) > maxHeld || cut.End {
					return step, fmt.Errorf("broken promise: %d bytes held, end %v", len(held), cut.End)
				}
				return step, nil
			}
			step.Out, held = held, nil
			passed.Add(step.Out)
			if cut.End {
				i++
				passed.Reset()
			}
			if got, want := replies.Delivered(), passed.Delivered(); got.Bytes != want.Bytes || got.Sum != want.Sum {
				return step, fmt.Errorf("broken promise: delivered %+v, passed %+v", got, want)
			}
			return step, nil
		}
	}
}

// thawed has what is shown frozen and thawed again: what goes on is another one that knows the same. Freezing twice must give the same.
func thawed(show func(c *freeze.Coder)) error {
	now := time.Unix(1000, 0)
	cold := freeze.Freezing(nil, now)
	show(cold)
	if err := cold.End(); err != nil {
		return fmt.Errorf("broken promise: %w", err)
	}
	warm := freeze.Thawing(cold.Frozen(), now.Add(time.Hour))
	show(warm)
	if err := warm.End(); err != nil {
		return fmt.Errorf("broken promise: %w", err)
	}
	again := freeze.Freezing(nil, now.Add(time.Hour))
	show(again)
	if !bytes.Equal(again.Frozen(), cold.Frozen()) {
		return fmt.Errorf("broken promise: thawed and frozen again it is another: %.200x, was %.200x", again.Frozen(), cold.Frozen())
	}
	return nil
}

// thawedJoiner is j, and its request, frozen and thawed.
func thawedJoiner(t testing.TB, p Protocol, j Joiner, req *Request) (Joiner, *Request) {
	t.Helper()
	if err := thawed(func(c *freeze.Coder) {
		FreezeJoiner(c, p, &j)
		FreezeRequest(c, &req)
	}); err != nil {
		t.Fatal(err)
	}
	return j, req
}

// thawedDelivered freezes and thaws d.
func thawedDelivered(t testing.TB, d *Delivered) {
	t.Helper()
	if err := thawed(func(c *freeze.Coder) { FreezeDelivered(c, d) }); err != nil {
		t.Fatal(err)
	}
}

// sometimes says at which pieces something goes through another process: at each would take minutes. They are other ones in each of the
// many runs of a test, since it counts on from a start that is another one each time.
type sometimes int

// starts is where the next count begins.
var starts atomic.Int64

func (s *sometimes) now() bool {
	if *s == 0 {
		*s = sometimes(starts.Add(1)%11 + 1)
	}
	*s++
	return *s%11 == 0
}

// warm is a Joiner that goes through another process before some pieces.
type warm struct {
	Joiner
	at sometimes
	t  testing.TB
	p  Protocol
}

func (w *warm) Next(p []byte) (int, []byte, bool, error) {
	if w.at.now() {
		w.Joiner, _ = thawedJoiner(w.t, w.p, w.Joiner, nil)
	}
	return w.Joiner.Next(p)
}
