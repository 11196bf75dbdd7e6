package proxy

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// pace keeps those who want to connect to a server from overrunning it: when thousands of sessions lose their element in one moment, all of
// them want to connect to the next one, and what does not fit into the backlog of its listening socket is dropped by its kernel, to be tried
// again a second later, and three, and not at all. They stand in line, and it is the server's acceptance that has them go on:
//
//   - Where the kernel can be asked how many wait to be accepted (Linux, the server in the same network namespace), at most half of the
//     backlog is filled.
//   - Elsewhere there is a window, as TCP has one for what nobody has acknowledged: connects that are under way, or were made so lately that
//     the server may not have accepted them yet. It is halved when one seems to have been dropped, because it takes so much longer than
//     others did, and grows by one with each round without.
//
// Clients that come anew and sessions that move have a line each, and take turns: who comes is not behind ten thousand others. Nobody stands in
// line while there is room, and then all that a connect costs is to count it. It belongs to the loop's goroutine.
type pace struct {
	loop  loop.Loop
	queue func() (waiting, most int, ok bool) // asks the kernel for the server's backlog; nil: it cannot be asked
	share int                                 // so many shards connect to the server: each has its part
	lines [2][]*paced                         // those that wait: who comes anew, who moves
	gone  int                                 // of them, those that do not want any more
	turn  int                                 // whose it is
	timer loop.Timer
	pause time.Duration // until the kernel is asked again
	moved time.Time     // when the server was last seen to accept

	flying int       // connects that are under way
	made   time.Time // when one was made last
	known  bool      // the kernel knows the backlog
	allow  int       // then: so many may begin until it is asked again
	expect int       // then: so many wait if the server has accepted nothing since

	trickled time.Time // when one went on though there was no room for us

	// Else.
	lately []time.Time // when connects were made, oldest first, that may not be accepted yet
	out    []*paced    // those under way, oldest first; some have ended
	window int
	round  int           // connects made since the window grew last
	rtt    time.Duration // the least that one has taken
	halved time.Time     // when the window was last made smaller
}

// paced is somebody who wants to connect.
type paced struct {
	owner  starter
	moves  bool      // its session was at another server before
	inLine bool      // it waits for its turn
	flying bool      // it is being connected
	begun  time.Time // when that began
}

// starter is told when it is its turn, or that it will not be.
type starter interface {
	begin()
	refused(err error)
}

const (
	// The window at first, and the bounds of it. A common backlog is 128 (511 in nginx and redis, 50 in Java).
	firstWindow = 64
	mostWindow  = 256

	// settling is the least time that a connect counts among those that the server may not have accepted yet, behind its end. It is
	// four round trips where that is more.
	settling = 10 * time.Millisecond

	// stalled is the least time after which a connect that has not been made is taken to have been dropped; four round trips, where that is
	// more. The kernel tries it again after a second (RFC 6298).
	stalled = 50 * time.Millisecond

	// The kernel is asked again after firstLook, and twice that each time while nothing moves.
	firstLook = time.Millisecond
	lastLook  = 16 * time.Millisecond
)

var errServerAccepts = errors.New("the server has accepted nothing for 3s")

func newPace(l loop.Loop, queue func() (waiting, most int, ok bool), share int) *pace {
	p := &pace{loop: l, queue: queue, share: max(share, 1), window: max(firstWindow/max(share, 1), 1)}
	p.timer.Func = p.look
	return p
}

// enter has s begin to connect, now or when it is its turn.
func (p *pace) enter(s *paced) {
	if p.waiting() == 0 && p.room() {
		p.begin(s)
		return
	}
	if p.waiting() == 0 {
		p.pause, p.moved = firstLook, p.loop.Now()
	}
	p.append(s)
}

func (p *pace) append(s *paced) {
	line := 0
	if s.moves {
		line = 1
	}
	s.inLine = true
	p.lines[line] = append(p.lines[line], s)
	p.lookSoon()
}

// waiting counts those in line.
func (p *pace) waiting() int { return len(p.lines[0]) + len(p.lines[1]) - p.gone }

// begin has one go on.
func (p *pace) begin(s *paced) {
	s.inLine, s.flying, s.begun = false, true, p.loop.Now()
	p.flying++
	if p.known {
		p.allow--
	} else {
		p.out = append(p.out, s)
	}
	s.owner.begin()
}

// left is for one that does not want any more.
func (p *pace) left(s *paced) {
	switch {
	case s.inLine:
		s.inLine = false
		p.gone++
		p.tidy()
	case s.flying:
		s.flying = false
		p.flying--
		p.next()
	}
}

// connected notes that a connect was made.
func (p *pace) connected(s *paced) {
	now := p.loop.Now()
	s.flying, p.made = false, now
	p.flying--
	if p.expect++; !p.known {
		p.lately = append(p.lately, now)
		p.learn(s, now)
	}
	p.next()
}

// learn has the window grow by what a connect has taken.
func (p *pace) learn(s *paced, now time.Time) {
	if took := now.Sub(s.begun); p.rtt == 0 || took < p.rtt {
		p.rtt = took
	}
	if p.waiting() == 0 || p.stalls(now) {
		return
	}
	if p.round++; p.round >= p.window && p.window < max(mostWindow/p.share, 1) {
		p.window, p.round = p.window+1, 0
	}
}

// stalls reports whether the oldest connect takes so long that it seems to have been dropped. For those that were under way together the
// window is made smaller once.
func (p *pace) stalls(now time.Time) bool {
	for len(p.out) > 0 && !p.out[0].flying {
		p.out[0] = nil
		p.out = p.out[1:]
	}
	if len(p.out) > 2*mostWindow {
		p.out = slices.DeleteFunc(p.out, func(s *paced) bool { return !s.flying })
	}
	limit := now.Add(-max(stalled, 4*p.rtt))
	for _, s := range p.out {
		switch {
		case s.begun.After(limit):
			return false
		case !s.flying:
		case s.begun.After(p.halved):
			p.window, p.round, p.halved = max(p.window/2, 1), 0, now
			return true
		}
	}
	return false
}

// failed notes that a connect has failed. If none has been made since it was begun, those in line would fare no better.
func (p *pace) failed(s *paced, err error) {
	if !s.flying {
		return
	}
	s.flying = false
	p.flying--
	if !p.made.After(s.begun) {
		p.fail(err)
	}
	p.next()
}

// fail ends the waiting of all.
func (p *pace) fail(err error) {
	all := append(p.lines[0], p.lines[1]...)
	p.lines, p.gone = [2][]*paced{}, 0
	for _, s := range all {
		if s.inLine {
			s.inLine = false
			s.owner.refused(err)
		}
	}
}

// room reports whether one more connect may begin.
func (p *pace) room() bool {
	if p.known && p.allow > 0 {
		return true
	}
	if p.queue != nil {
		waiting, most, ok := p.queue()
		if p.known = ok; ok {
			if waiting < p.expect {
				p.moved = p.loop.Now()
			}
			p.expect = waiting
			p.allow = (max(most/2, 1)-waiting)/p.share - p.flying
			return p.allow > 0 || p.trickles(waiting, most)
		}
	}
	p.stalls(p.loop.Now())
	settled := p.loop.Now().Add(-max(settling, 4*p.rtt))
	n := 0
	for n < len(p.lately) && !p.lately[n].After(settled) {
		n++
	}
	p.lately = p.lately[n:]
	return p.flying+len(p.lately) < p.window
}

// trickles has one go on though no share of the backlog is ours: because it is so small, or because others keep it half full. It is no sign that
// the server accepts.
func (p *pace) trickles(waiting, most int) bool {
	now := p.loop.Now()
	if p.flying > 0 || waiting > 0 && (waiting >= most || now.Sub(p.trickled) < lastLook || now.Sub(p.moved) < lastLook) {
		return false
	}
	p.allow, p.trickled = 1, now
	return true
}

// next has those go on for whom there is room.
func (p *pace) next() {
	for p.waiting() > 0 && p.room() {
		s := p.pop()
		p.pause = firstLook
		if now := p.loop.Now(); p.trickled != now {
			p.moved = now
		}
		p.begin(s)
	}
	p.lookSoon()
}

// pop takes one out of a line, from each in turn. There must be one.
func (p *pace) pop() *paced {
	for {
		if p.turn = 1 - p.turn; len(p.lines[p.turn]) == 0 {
			p.turn = 1 - p.turn
		}
		s := p.lines[p.turn][0]
		p.lines[p.turn][0] = nil
		p.lines[p.turn] = p.lines[p.turn][1:]
		if s.inLine {
			return s
		}
		p.gone--
	}
}

// tidy forgets those that do not want any more when they are most of a line.
func (p *pace) tidy() {
	if p.gone < 64 || p.gone < p.waiting() {
		return
	}
	for i, line := range p.lines {
		var kept []*paced
		for _, s := range line {
			if s.inLine {
				kept = append(kept, s)
			}
		}
		p.lines[i] = kept
	}
	p.gone = 0
}

// lookSoon sees to it that somebody looks as long as somebody waits.
func (p *pace) lookSoon() {
	if p.waiting() == 0 {
		p.loop.Cancel(&p.timer)
		return
	}
	if !p.timer.Armed() {
		p.loop.Schedule(&p.timer, p.loop.Now().Add(p.pause))
	}
}

// look has those go on for whom there is room by now. If the server has accepted nothing for as long as a connect may take, they try elsewhere.
func (p *pace) look() {
	p.pause = min(2*p.pause, lastLook)
	p.next()
	if p.waiting() == 0 || p.loop.Now().Sub(p.moved) < serverTimeout {
		return
	}
	p.loop.Cancel(&p.timer)
	p.fail(errServerAccepts)
}

// close forgets all.
func (p *pace) close() {
	p.loop.Cancel(&p.timer)
	p.lines, p.gone = [2][]*paced{}, 0
}

// inherited notes a connect that another process has begun.
func (p *pace) inherited(s *paced) {
	s.flying, s.begun = true, p.loop.Now()
	p.flying++
}

// again puts one in line that has been in that of another process. Nothing is begun within the call.
func (p *pace) again(s *paced) {
	if p.waiting() == 0 {
		p.pause, p.moved = firstLook, p.loop.Now()
	}
	p.append(s)
}

// notYet is the connection of a server's socket that is not being connected yet.
type notYet struct{ to netip.AddrPort }

func (notYet) Read([]byte) (int, error)       { return 0, loop.ErrAgain }
func (notYet) Write(...[]byte) (int, error)   { return 0, loop.ErrAgain }
func (notYet) CloseWrite() error              { return loop.ErrAgain }
func (notYet) Close()                         {}
func (notYet) Reset()                         {}
func (notYet) Err() error                     { return nil }
func (notYet) Local() netip.AddrPort          { return netip.AddrPort{} }
func (n notYet) Remote() netip.AddrPort       { return n.to }
func (notYet) Info() (i loop.Info, ok bool)   { return i, false }
func (notYet) SetUserTimeout(d time.Duration) {}
