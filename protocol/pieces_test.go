package protocol

import (
	"fmt"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

// msg is short for a message in tables.
func msg(bytes int, note string) prototest.Message {
	return prototest.Message{Bytes: bytes, Note: note}
}

// requestsParser makes prototest parsers of a protocol's Requests. Notes read like "safe one line of up to 8 bytes close"; that
// the same Request is handed over until its end, and that Known is never taken back, is checked on the way.
func requestsParser(p Protocol) func() prototest.Parser {
	return func() prototest.Parser {
		requests := p.Requests()
		var current *Request
		var known bool
		return func(piece []byte) (prototest.Step, error) {
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
	return func() prototest.Parser {
		replies := p.Replies()
		var held []byte
		var passed Prefix
		var i int
		return func(piece []byte) (prototest.Step, error) {
			var req *Request
			if request != nil {
				req = request(i)
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
