package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/whence"
)

// A rehearsal repeats what was recorded of a session at an element that no client's session goes to, as a failover with replay = "session"
// would: the greeting is swallowed, callbacks are asked, then the messages are sent. It is a session of its own, of a User of its own, whose
// client is the script. The session that was recorded is only read: it has no part in it.

// Rehearsal is one that runs. It is the socket of its session.
type Rehearsal struct {
	loop    loop.Loop
	script  *Script
	session *Session
	plan    rehearsalPlan
	fed     int64 // of what is said
	limit   loop.Timer
	feeding bool // feed is on its way
	done    func(Rehearsed)
}

// rehearsalPlan is what of a script may be repeated.
type rehearsalPlan struct {
	exchanges int    // so many messages
	to        int64  // bytes of the client
	heard     int64  // bytes of the replies to them
	ended     bool   // and then the client's end
	stopped   string // why not more; "": that is all
}

// Rehearsed is what has become of a rehearsal.
type Rehearsed struct {
	Reason    string // why it has not come to the end of what was to be repeated; "": it has
	Stopped   string // why that is not all that the session has been; "": it is
	Sent      int    // messages that were to be repeated
	Of        Recorded
	Exchanges []Exchange // those, as the client knows them
	Again     []Exchange // and as the rehearsal does; as many, or fewer
	Said      []byte     // to which Exchange.Said refers, in both
	Heard     []byte     // to which Heard refers in Exchanges
	HeardNow  []byte     // and in Again
	Opaque    bool       // nothing is known of messages: all that was heard is one reply
}

// plan says how much of the script may be repeated: up to the first message that is not safe, or was not answered. Of a stream all, which
// is for those who may say that it does no harm.
func (x *Script) plan() (p rehearsalPlan) {
	p.stopped = x.stopped
	if x.opaque {
		if p.heard = x.heard.End(); p.heard > 0 {
			p.exchanges, p.to, p.ended = len(x.exchanges), x.said.End(), x.ended && x.stopped == ""
		}
		return p
	}
	for i := range x.exchanges {
		e := &x.exchanges[i]
		waits := e.Expect != protocol.ExpectNone && !e.Answered
		switch {
		case e.Complete && !e.Safe:
			p.stopped = fmt.Sprintf("message %d (%s) is not safe to repeat", i+1, e.Label)
			return p
		case !e.Complete || waits || e.Expect == protocol.ExpectUnknown:
			return p
		}
		if e.Expect == protocol.ExpectOne { // messages without replies go with the one behind them
			p.exchanges, p.to, p.heard = i+1, e.Said[1], e.Heard[1]
		}
	}
	p.ended = x.ended && x.stopped == "" && p.exchanges == len(x.exchanges)
	return p
}

// Errors of User.Rehearse.
var (
	// ErrNothing: nothing of the session can be rehearsed. The text says why.
	ErrNothing = errors.New("nothing of the session can be rehearsed")

	errRehearsed = errors.New("the rehearsal is over")
)

// Rehearse repeats what was recorded of s. This User is not the one that has s: its pool is the element for rehearsals, alone, and it has
// UserConfig.Once. done is called once, from the loop; that may take as long as timeout. The error wraps ErrNothing; then done is not called.
func (u *User) Rehearse(s *Session, timeout time.Duration, done func(Rehearsed)) (*Rehearsal, error) {
	x := s.script
	if x == nil {
		return nil, fmt.Errorf("%w: it is not recorded", ErrNothing)
	}
	p := x.plan()
	switch {
	case p.exchanges == 0 && p.stopped != "":
		return nil, fmt.Errorf("%w: %s", ErrNothing, p.stopped)
	case p.exchanges == 0:
		return nil, fmt.Errorf("%w: no message of it was answered yet", ErrNothing)
	}
	x.hold()
	r := &Rehearsal{loop: u.c.Loop, script: x, plan: p, done: done}
	r.limit.Func = r.late
	u.c.Loop.Schedule(&r.limit, u.c.Loop.Now().Add(timeout))
	r.session = u.stage(r, s.ID, s.Client, s.Ends, s.greeted)
	if !r.over() {
		r.feedSoon()
	}
	return r, nil
}

// stage begins the session of a rehearsal, as if its first leg had just failed.
func (u *User) stage(socket Socket, id uint64, client string, ends whence.Ends, greeted bool) *Session {
	s := &Session{u: u, ID: id, Client: client, Ends: ends, began: u.c.Loop.Now(), requests: u.c.Protocol.Requests(),
		opaque: u.c.Protocol.Opaque(), legs: 1, failedOver: true, greeted: greeted}
	u.c.Random(s.token[:])
	s.out = outlet{socket: socket, pool: u.c.Loop.Buffers(), open: true}
	s.timer.Func, s.silence.Func = s.wake, s.listen
	s.script = &Script{c: u.c.Script, pool: u.c.Loop.Buffers(), opaque: s.opaque, holders: 2, count: &u.scripts} // the rehearsal's, too
	s.life = &life{}
	u.sessions[s.ID] = s
	s.deadline = s.began.Add(u.c.Failover.Deadline)
	s.place(&plan{spans: everything})
	return s
}

// over reports whether it has ended.
func (r *Rehearsal) over() bool { return r.done == nil }

// End ends it early: done is told what there is, within the call. Twice is harmless.
func (r *Rehearsal) End(reason string) { r.finish(reason) }

// leave lets go of everything: the server's connection is reset.
func (r *Rehearsal) leave() {
	r.loop.Cancel(&r.limit)
	r.script.drop()
	if s := r.session; s != nil {
		s.Broken(errRehearsed)
		s.script.drop()
	}
}

// finish tells what has become of it, and ends it. reason is why not all was repeated.
func (r *Rehearsal) finish(reason string) {
	if r.over() {
		return
	}
	done, told := r.done, r.told(reason)
	r.done = nil
	r.leave()
	done(told)
}

// told is what there is to tell, as copies: what was recorded goes.
func (r *Rehearsal) told(reason string) Rehearsed {
	x, p := r.script, r.plan
	t := Rehearsed{Reason: reason, Stopped: p.stopped, Sent: p.exchanges, Of: x.Recorded(), Opaque: x.opaque,
		Exchanges: append([]Exchange(nil), x.exchanges[:p.exchanges]...), Said: x.said.Copy(nil, 0, p.to), Heard: x.heard.Copy(nil, 0, p.heard)}
	if s := r.session; s != nil && s.script != nil {
		now := s.script
		t.Again = append([]Exchange(nil), now.exchanges[:min(p.exchanges, len(now.exchanges))]...)
		t.HeardNow = now.heard.Copy(nil, 0, now.heard.End())
		if now.stopped != "" {
			t.Reason += "; " + now.stopped
		}
	}
	return t
}

func (r *Rehearsal) late() { r.finish("it took too long (timeout)") }

// feedSoon hands over what is to be said, in a turn of its own.
func (r *Rehearsal) feedSoon() {
	if r.feeding || r.over() {
		return
	}
	r.feeding = true
	r.loop.Later(r.feed)
}

// feed hands over what there is room for.
func (r *Rehearsal) feed() {
	r.feeding = false
	for !r.over() && r.fed < r.plan.to {
		room := r.session.Room()
		if room == 0 {
			return
		}
		b := r.loop.Buffers().Get(loop.LargeBuffer)
		p, _ := r.script.said.At(r.fed, int(min(r.plan.to-r.fed, int64(min(room, len(b.Bytes))))))
		n := copy(b.Bytes, p)
		r.fed += int64(n)
		if !r.session.Take(b, n) {
			b.Drop()
		}
	}
	if !r.over() && r.fed == r.plan.to && r.plan.ended {
		r.session.End()
	}
	r.look()
}

// look ends it when all replies are there.
func (r *Rehearsal) look() {
	if r.over() || r.session == nil || r.fed < r.plan.to {
		return
	}
	now := r.session.script
	switch {
	case now.stopped != "":
		r.loop.Later(func() { r.finish("the rehearsal could not be recorded") })
	case r.script.opaque:
		if now.heard.End() >= r.plan.heard && r.plan.heard > 0 {
			r.loop.Later(func() { r.finish("") })
		}
	case now.awaiting >= r.plan.exchanges:
		r.loop.Later(func() { r.finish("") })
	}
}

// Write takes what the client would get (Socket).
func (r *Rehearsal) Write(bufs ...[]byte) (n int, err error) {
	for _, p := range bufs {
		n += len(p)
	}
	r.loop.Later(r.look) // the session is in the middle of it
	return n, nil
}

// CloseWrite hears that the server has finished (Socket).
func (r *Rehearsal) CloseWrite() error {
	r.loop.Later(func() { r.ended("the server closed the connection") })
	return nil
}

// Close hears that the session is over (Socket).
func (r *Rehearsal) Close() { r.loop.Later(func() { r.ended("the server closed the connection") }) }

// Reset hears that the session is over (Socket).
func (r *Rehearsal) Reset() { r.loop.Later(func() { r.ended(r.session.life.why) }) }

// ended takes the end of the server's replies. Of a stream that is an answer, too.
func (r *Rehearsal) ended(reason string) {
	if r.look(); r.over() {
		return
	}
	if now := r.session.script; now.awaiting >= r.plan.exchanges && r.fed == r.plan.to && !r.script.opaque {
		reason = ""
	}
	r.finish(reason)
}

// ReadOn has more handed over (Socket).
func (r *Rehearsal) ReadOn() { r.feedSoon() }
