package session

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/whence"
)

// UserConfig is what a User is made of.
type UserConfig struct {
	Loop        loop.Loop
	Name        string
	Instance    Token // random; tells this incarnation of the sidecar from others
	Pool        *pool.Pool
	Dialer      mapping.Dialer
	Association mapping.Config
	Protocol    protocol.Protocol
	Memory      int // bytes that one session retains, and the most credit of the other direction

	// First is the credit of a leg until its session uses it, in bytes: it is granted to all, whether they need it or not. Window is how much one
	// may be granted now, at least First and at most Memory. 0, nil: Memory.
	First     int
	Window    func() int
	Failover  Failover
	Callbacks []Callback // asked in this order

	// Associations is how many there are with each pool element; sessions are spread over them by count. 0: one.
	Associations int

	// LateEnd: the client's end is passed on when no reply is due any more. For servers that can say nothing behind it: in SCTP nobody is
	// half closed.
	LateEnd bool

	// Exact: an element whose server has failed has acknowledged before all that is delivered for certain; what it says beyond that the
	// server may have read, and may have been lost on the way. Else what was written to the server counts as delivered then.
	Exact bool

	Random func([]byte)  // fills with unpredictable bytes: tokens
	Number func() uint64 // the number of the next session

	// Drained is told when an element wants, or does not want any more, to be drained: others that share the pool should look (Drains).
	// nil: there are none.
	Drained func()

	// Found is told when the server of an element that had failed, or was never tried, has taken a session: others that share the pool
	// may have sessions that wait for that (Wake). nil: there are none.
	Found func()

	// Script says which sessions are recorded so that they can be rehearsed; nil: none is.
	Script *ScriptConfig

	// Once: a leg that fails ends its session, in a rehearsal.
	Once bool

	// Room is told when a session has left an element that was full: others that share the pool may have sessions that wait for that
	// (LookForRoom). nil: there are none.
	Room func()

	Trace Trace
}

// User is the rules of the pool user's side: the sessions of clients, and the associations to pool elements that carry them. It
// belongs to the loop's goroutine.
type User struct {
	c        UserConfig
	links    map[string][]*userLink // by the name of the element; nil where one is not in use
	broke    map[string]time.Time   // when an association with the element was last lost or not to be had
	sessions map[uint64]*Session
	acks     *acks[userLeg]
	traffic  Traffic
	waiting  map[*Session]bool    // for an element that may be tried
	room     queues               // for one that has room
	said     map[string]time.Time // when an element was last said not to be reached, by its name

	drains loop.Timer           // runs while sessions should leave their elements
	looked time.Time            // when associations were last begun so that sessions can leave
	left   map[string]time.Time // when elements that carry sessions have left the pool

	policySaid time.Time // when the application's policy was last said to have failed

	closed  bool
	thawing []*thawing // sessions that go on with Resume

	tomb    userLeg // stands on streams for legs that are over, until their element has said so, too: one that never does keeps no session
	scripts int     // that hold memory
}

// NewUser returns a User without sessions.
func NewUser(c UserConfig) *User {
	u := &User{c: c, links: make(map[string][]*userLink), broke: make(map[string]time.Time), sessions: make(map[uint64]*Session), waiting: make(map[*Session]bool),
		said: make(map[string]time.Time), left: make(map[string]time.Time), tomb: userLeg{over: true}}
	u.drains.Func = u.Drains
	u.room.timer.Func = u.lookForRoom
	u.room.later = u.roomNow
	u.acks = newAcks(c.Loop, (*userLeg).ackDue)
	return u
}

// Accept begins the session of a client of which no address is known; client is what people call it. The socket must be open.
func (u *User) Accept(socket Socket, client string) *Session {
	return u.accept(socket, client, whence.Ends{})
}

// AcceptFrom begins the session of a client that has connected. The elements that serve it are told the ends of its connection. The
// socket must be open.
func (u *User) AcceptFrom(socket Socket, ends whence.Ends) *Session {
	return u.accept(socket, ends.Client.String(), ends)
}

func (u *User) accept(socket Socket, client string, ends whence.Ends) *Session {
	s := &Session{u: u, ID: u.c.Number(), Client: client, Ends: ends, began: u.c.Loop.Now(), requests: u.c.Protocol.Requests(),
		opaque: u.c.Protocol.Opaque()}
	u.c.Random(s.token[:])
	s.out = outlet{socket: socket, pool: u.c.Loop.Buffers(), open: true}
	if s.whole = u.c.Failover.Replay == ReplaySession; s.whole {
		s.history = &history{}
	}
	s.timer.Func, s.silence.Func = s.wake, s.listen
	s.script = u.newScript(s.opaque)
	if u.c.Trace.Ended != nil {
		s.life = &life{}
	}
	u.sessions[s.ID] = s
	s.deadline = s.began.Add(u.c.Failover.Deadline)
	s.place(&plan{spans: everything})
	return s
}

// Close resets all clients and ends all associations. Nothing is called afterwards. Twice is harmless.
func (u *User) Close() {
	u.closed = true
	for _, s := range u.sessions {
		s.because(EndStopped, "the pool_user's sidecar was stopped")
		if s.leg != nil {
			s.leg.abandon(CodeAbandoned, "the pool user stops")
		}
		s.over(true)
	}
	u.allLinks(func(l *userLink) {
		l.stop()
		u.c.Pool.Untold(l.element.Name, l) // others share the pool: those wait for no word that nobody hears
	})
	clear(u.links)
	u.acks.stop()
	u.c.Loop.Cancel(&u.drains)
	u.c.Loop.Cancel(&u.room.timer)
}

// Sessions calls f for every session.
func (u *User) Sessions(f func(*Session)) {
	for _, s := range u.sessions {
		f(s)
	}
}

// Session is the one with this ID; nil: it has ended.
func (u *User) Session(id uint64) *Session { return u.sessions[id] }

// Count is the number of sessions.
func (u *User) Count() int { return len(u.sessions) }

// Links calls f for every association.
func (u *User) Links(f func(e pool.Element, a mapping.Association, up bool, legs int)) {
	u.allLinks(func(l *userLink) { f(l.element, l.a, l.hello != nil, l.legs()) })
}

// lookAt tries an element that failed some time ago: with a session if its sidecar is in touch, so that only its server can be
// at fault, which is found out in no time; else by an association of which no session has to await the outcome. It reports
// whether a session should go there.
func (u *User) lookAt(e pool.Element) bool {
	if u.linkUp(e.Name) != nil {
		return true
	}
	u.linkTo(e)
	return false
}

// policyFailed says that the application's policy did not do its work, and not again and again.
func (u *User) policyFailed(err error) {
	if now := u.c.Loop.Now(); u.policySaid.IsZero() || now.Sub(u.policySaid) >= sayEvery {
		u.policySaid = now
		u.c.Trace.log('w', "the application's policy failed", "reason", err)
	}
}

// found notes that the server of an element has taken a session. Of an element that had failed only one session at a time finds that
// out; the others, which wait for it, need not sit out their pause.
func (u *User) found(element string) {
	if news := u.c.Pool.Serves(element); news && u.c.Found != nil {
		u.c.Found()
	}
	u.wakeWaiting()
	u.letIn(2)
}

// Wake has sessions that wait for an element look at once whether there is one.
func (u *User) Wake() {
	u.wakeWaiting()
	u.letIn(u.room.len())
}

// LookForRoom has one of the sessions that wait for room look whether there is any.
func (u *User) LookForRoom() { u.letIn(1) }

// wakeWaiting has those look that wait for an element that may be tried.
func (u *User) wakeWaiting() {
	if len(u.waiting) == 0 {
		return
	}
	byID := func(a, b *Session) int { return cmp.Compare(a.ID, b.ID) }
	for _, s := range slices.SortedFunc(maps.Keys(u.waiting), byID) {
		if !s.closing { // then the timer is for that
			u.c.Loop.Schedule(&s.timer, u.c.Loop.Now())
		}
	}
	clear(u.waiting)
}

// Info is what can be told of a session.
type Info struct {
	ID          uint64
	Client      string
	Dialed      string // where it has connected to; "": that is not known
	Element     string // the one that serves it; "" while there is none
	Leg         uint32
	State       string // opening | open | resuming | failing over | closing
	Since       time.Time
	FromClient  int64  // bytes
	ToClient    int64  // bytes
	Retained    int64  // bytes
	Outstanding int    // requests whose replies are due
	Cookie      int    // bytes of the cookie that is kept for the next element, as it came
	Ack         Ack    // what is in force: with AckRead, AckDelivered where it cannot be known how far the server reads
	AckNote     string // why it is not what was configured; "" if it is
	Protection  Protection
	Reason      string // why it is not protected, and which setting would change that
	Leaves      string // why it should leave its element; "": it need not
	Stays       string // why it is still there
}

// Info tells what the session is doing.
func (s *Session) Info() Info {
	i := Info{ID: s.ID, Client: s.Client, Leg: s.legs, Since: s.began, FromClient: s.store.End(), ToClient: s.out.written(),
		Retained: int64(s.store.Len()), Outstanding: s.awaiting.len(), Element: s.from,
		Cookie: len(s.cookie.bytes)}
	if s.Ends.Known() {
		i.Dialed = s.Ends.Dialed.String()
	}
	switch {
	case s.closing:
		i.State = "closing"
	case s.leg != nil && s.leg.lost:
		i.State = "resuming"
	case s.leg != nil && s.leg.open && s.leg.restore == nil:
		i.State = "open"
	case s.record != nil:
		i.State, i.Element = "failing over", ""
	default:
		i.State, i.Element = "opening", ""
	}
	i.Ack = s.u.c.Failover.Ack
	if g := s.leg; i.Ack == AckRead && g != nil && g.open && !g.reads {
		i.Ack = AckDelivered
		i.AckNote = `ack = "read" is not possible: element ` + s.from + " cannot see how far its server reads, so what was delivered counts as read"
	}
	i.Protection, i.Reason = s.protection()
	if s.leg != nil {
		i.Leaves, i.Stays = s.leg.leaving, s.leg.stays
	}
	return i
}
