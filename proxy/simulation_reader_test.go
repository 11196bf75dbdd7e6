package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/poolproxy/poolproxy/session"
)

// exact is the reader where replies are repeated byte for byte. Each must be wholly that of one server. With replay = "session"
// the same holds for all of them together.
type exact struct {
	scenario *scenario
	due      []*request // that get replies
	at       int        // of due
	offset   int        // in its reply
	want     [2][]byte  // the reply by either kind of server
	mixed    [2]bool    // what came is not of that kind
	abort    string
	greeting string // what is still to come of it
	lost     string // takes the place of a reply; "": nothing does
	pending  []byte // too little to know what it begins
	stopped  bool   // the abort text has begun
}

func newExact(s *scenario, requests []*request, abort string) *exact {
	x := &exact{scenario: s, abort: abort, mixed: [2]bool{false, !s.differs}}
	for _, r := range requests {
		if r.kind != 'O' {
			x.due = append(x.due, r)
		}
	}
	return x
}

func (x *exact) replies() int { return x.at }

func (x *exact) greeted() bool { return x.greeting == "" }

func (x *exact) aborted() bool { return x.stopped && x.abort == "" }

// signature is how many bytes tell the protocol's own error from a reply.
const signature = 5

func (x *exact) feed(p []byte) error {
	p = append(x.pending, p...)
	x.pending = nil
	for len(p) > 0 {
		if !x.stopped && x.offset == 0 && len(p) < signature && x.greeted() || len(p) < len(x.lost) && x.offset == 0 && strings.HasPrefix(x.lost, string(p)) {
			x.pending = p
			return nil
		}
		n, err := x.next(p)
		if err != nil {
			return fmt.Errorf("reply %d at byte %d: %w; it goes on %.60q", x.at, x.offset, err, p)
		}
		p = p[n:]
	}
	return nil
}

// next checks bytes of one reply and returns how many.
func (x *exact) next(p []byte) (int, error) {
	if x.lost != "" && x.offset == 0 && string(p[:signature]) == x.lost[:signature] {
		return x.instead(p)
	}
	if n := min(len(x.greeting), len(p)); n > 0 && string(p[:n]) == x.greeting[:n] {
		x.greeting = x.greeting[n:]
		return n, nil
	}
	x.stopped = x.stopped || x.offset == 0 && string(p[:signature]) == x.abort[:signature]
	switch {
	case x.stopped:
		n := min(len(p), len(x.abort))
		if n == 0 || string(p[:n]) != x.abort[:n] {
			return 0, errors.New("bytes behind the protocol's own error, or not quite that")
		}
		x.abort = x.abort[n:]
		return n, nil
	case x.at == len(x.due):
		return 0, errors.New("bytes that nobody has asked for")
	case x.offset == 0:
		if x.due[x.at].sent.IsZero() {
			return 0, errors.New("the reply to a request that was not sent")
		}
		x.load(x.due[x.at])
	}
	n := min(len(p), len(x.want[0])-x.offset)
	for v := range x.want {
		x.mixed[v] = x.mixed[v] || !bytes.Equal(p[:n], x.want[v][x.offset:x.offset+n])
	}
	if x.mixed[0] && x.mixed[1] {
		return 0, errors.New("not what one server has said")
	}
	if x.offset += n; x.offset == len(x.want[0]) {
		x.due[x.at].answered = true
		x.at, x.offset = x.at+1, 0
	}
	return n, nil
}

// instead takes what stands for a lost reply.
func (x *exact) instead(p []byte) (int, error) {
	switch {
	case string(p[:len(x.lost)]) != x.lost:
		return 0, errors.New("not quite the words for a lost reply")
	case x.at == len(x.due) || x.due[x.at].sent.IsZero():
		return 0, errors.New("an error that answers nothing")
	}
	x.at++
	return len(x.lost), x.scenario.lost(x.due[x.at-1], false, "failover.deadline or not, the words for a lost reply do not say")
}

func (x *exact) load(r *request) {
	x.want[0] = x.scenario.dialect.answer(0, r, nil, nil)
	x.want[1] = x.want[0]
	if x.scenario.differs {
		x.want[1] = x.scenario.dialect.answer(1, r, nil, nil)
		if x.scenario.failover.Replay != session.ReplaySession {
			x.mixed = [2]bool{}
		}
	}
}
