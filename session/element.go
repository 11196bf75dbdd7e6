package session

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// ElementConfig is what an Element is made of.
type ElementConfig struct {
	Loop     loop.Loop
	Name     string
	Server   netip.AddrPort // tells servers apart: where that is another one after Change, it has a health of its own
	Instance Token          // random; tells this incarnation of the sidecar from others
	Memory   int            // bytes of each direction of one leg

	// First is the credit of a leg until its session uses it, in bytes: it is granted to all, whether they need it or not. Window is how much one
	// that needs it may be granted now, at least First and at most Memory: what a server does not read is bounded by that. 0, nil: Memory.
	First  int
	Window func() int

	Hold    time.Duration // the longest that a leg is kept for a pool user out of touch
	MaxLegs int           // more are refused

	// Comeback is the least that a leg of another process which was thawed is kept for its pool user. Where that is another process, the fence
	// bounds it, and this is 0.
	Comeback time.Duration

	Full func() bool // reports that no more legs can be taken, whatever MaxLegs says; if it does not, Connect is what follows; nil: it does not matter

	// Short reports that memory is short (limits.memory): pool users that do not read what they are answered are cut off earlier, so that many
	// of them together do not take much more than the limit. nil: it never is.
	Short func() bool

	// Ours reports whether the legs of this pool user are looked after by this Element. Where several share an address (shards), an
	// association that has come to the wrong one is ended before it can say what is not known here. nil: all are.
	Ours func(instance Token) bool

	// Connect begins to connect to the server. The outcome is told by Leg.Connected or Leg.ConnectFailed, not within the call.
	Connect func(*Leg) Socket

	// Listening asks whether the server to which the socket, which has ended, was connected still listens, and answers now or later.
	Listening func(s Socket, answer func(bool))

	// Unread asks how many of the bytes written to the server's socket its process has not read; ok is false where that cannot be
	// known. nil: it never can.
	Unread func(Socket) (n int, ok bool)

	// Undelivered asks what of the bytes written to the server's socket is not with its host: open of the last ones are not acknowledged
	// by it, and unsent of them have certainly not reached it. With final nothing more is written to the socket, and what is
	// unsent has to stay so: the socket may be ended. nil: what is written counts as delivered.
	Undelivered func(s Socket, final bool) (open, unsent int)

	// Fence has the leg's server stopped for certain (fence_exec) and answers when that has happened, or could not be done, now or
	// later. nil: there is no such way.
	Fence func(leg *Leg, answer func(error))

	// Cookies says how cookies are vouched for. Cookie is told of one that a pool user has echoed and that was found true, when its leg
	// begins, before Connect; the bytes are the leg's (Leg.Cookie has a copy). nil: it does not matter.
	Cookies CookieRule
	Cookie  func(leg *Leg, cookie []byte)

	// Card is told to each pool user that begins an association: where sessions should go if this element fails. nil: nothing is told.
	Card *asap.BusinessCard

	// Silence is the longest that it may take until this side notices that a pool user is out of touch.
	Silence time.Duration

	Trace Trace
}

// Element is the rules of the pool element's side for one server: the legs that pool users have opened there. It belongs to the
// loop's goroutine.
type Element struct {
	c     *ElementConfig // for what begins from now on (Change); legs and associations keep theirs
	legs  map[Token]*Leg
	links map[*elementLink]bool

	strangers   queue[*elementLink] // those that may not have said HELLO yet, oldest first
	strangeSaid time.Time           // when one was last worth a word

	acks   *acks[Leg]
	full   bool // new legs are refused
	closed bool

	tomb Leg // stands on streams for legs that are over, until their users have said so, too: a user that never does costs no more than that

	ended     endings
	unhealthy error // what the health check has found

	thawing []*thawingLeg // legs that go on with Resume

	drains      bool // sessions should leave
	drainReason string
}

// NewElement returns an Element without legs.
func NewElement(c ElementConfig) *Element {
	e := &Element{c: &c, legs: make(map[Token]*Leg), links: make(map[*elementLink]bool), tomb: Leg{over: true}}
	e.acks = newAcks(c.Loop, (*Leg).ackDue)
	return e
}

// Change has legs and associations that begin from now on go by another configuration; those that there are keep theirs, but for the key of
// cookies, which must be the same at all elements of a pool. Loop, Name, Instance and Ours stay as they were. Another Server is taken to be
// healthy.
func (e *Element) Change(c ElementConfig) {
	c.Loop, c.Name, c.Instance, c.Ours = e.c.Loop, e.c.Name, e.c.Instance, e.c.Ours
	if c.Server != e.c.Server {
		e.unhealthy = nil
	}
	e.c = &c
}

// Accept takes an association that a pool user has begun. It returns nil, for refusal, when the Element is closed or has too many.
func (e *Element) Accept(a mapping.Association) mapping.Handler {
	if e.closed || !e.admits() {
		return nil
	}
	l := &elementLink{e: e, c: e.c}
	l.a = a
	l.timer.Func = l.silent
	e.links[l] = true
	e.strangers.push(l)
	return l
}

// admits reports whether one more association may begin, and makes room for it at the cost of the one that has been silent for the longest:
// else those who come and say nothing would keep all others out.
func (e *Element) admits() bool {
	for e.strangers.len() > 0 && !e.strangers.first().strange() {
		e.strangers.pop()
	}
	if len(e.links) < maxLinks && e.strangers.len() < maxStrangers {
		return true
	}
	if e.strangers.len() == 0 {
		return false
	}
	l := e.strangers.pop()
	e.c.Trace.log('d', "association refused: others come, and it has not said HELLO", "pool_user", l.a.Remote())
	l.a.Abort()
	l.gone()
	return true
}

// strange reports whether nothing is known of the peer yet.
func (l *elementLink) strange() bool { return l.hello == nil && l.e.links[l] }

// severity is how much what becomes of the association is worth: of one of which nothing is known no more than a word now and then, as anybody may
// begin one.
func (l *elementLink) severity(level byte) byte {
	if l.hello != nil {
		return level
	}
	now := l.e.c.Loop.Now()
	if level == 'i' || !l.e.strangeSaid.IsZero() && now.Sub(l.e.strangeSaid) < sayEvery {
		return 'd'
	}
	l.e.strangeSaid = now
	return level
}

// Refuse lets the legs that there are go on, and refuses new ones.
func (e *Element) Refuse() { e.full = true }

// Admit takes Refuse back.
func (e *Element) Admit() { e.full = false }

// Close ends all associations and resets all server connections. Nothing is called afterwards. Twice is harmless.
func (e *Element) Close() {
	e.closed = true
	for _, leg := range e.legs {
		leg.drop(true)
	}
	for l := range e.links {
		e.c.Loop.Cancel(&l.timer)
		l.forgetEchoes()
		l.a.Close()
		delete(e.links, l)
	}
	e.acks.stop()
}

// Legs counts the legs in touch with their pool user, and those that wait for theirs.
func (e *Element) Legs() (live, held int) {
	for _, leg := range e.legs {
		if leg.link != nil {
			live++
		} else {
			held++
		}
	}
	return live, held
}

// Links calls f for every association.
func (e *Element) Links(f func(a mapping.Association, up bool, legs int)) {
	for l := range e.links {
		f(l.a, l.hello != nil, l.streams.live)
	}
}

// elementLink is one association with a pool user.
type elementLink struct {
	link[Leg]
	e      *Element
	c      *ElementConfig        // that its Element had when it began: what was said of it in HELLO is true as long as it lives
	echoes map[uint16]keptCookie // cookies on streams on which a leg is about to be opened
}

// Up introduces this side (mapping.Handler).
func (l *elementLink) Up() {
	l.tell(control, &message{typ: typeHello, version: Version, oldest: oldest, instance: l.e.c.Instance,
		credit: int64(l.c.first()), silence: l.c.Silence, text: l.e.c.Name})
	if l.e.c.Card != nil {
		l.tellASAP(control, *l.e.c.Card)
	}
	l.e.c.Loop.Schedule(&l.timer, l.e.c.Loop.Now().Add(helloTimeout))
}

// silent runs when the peer has not said HELLO in time.
func (l *elementLink) silent() { l.violate("no HELLO came") }

// Drained lets waiting legs send on (mapping.Handler).
func (l *elementLink) Drained() { l.drained((*Leg).piece) }

// Down keeps the legs for their users to come back (mapping.Handler).
func (l *elementLink) Down(err error) {
	level := byte('i')
	if errors.Is(err, mapping.ErrProtocol) {
		level = 'w'
	}
	l.e.c.Trace.log(l.severity(level), "association ended", "pool_user", l.a.Remote(), "reason", err)
	l.gone()
}

// violate ends an association whose peer broke the rules. Its legs wait for a better one.
func (l *elementLink) violate(reason string) {
	l.e.c.Trace.log(l.severity('w'), "association refused: the peer broke the session protocol", "pool_user", l.a.Remote(), "reason", reason)
	l.a.Abort()
	l.gone()
}

// lost ends an association of which this side did not know yet that its pool user has given it up. What may still come on it, as when
// this process was frozen, is of no meaning any more.
func (l *elementLink) lost() {
	l.e.c.Trace.log('i', "association ended: its pool user has come back without it", "pool_user", l.a.Remote())
	l.a.Abort()
	l.gone()
}

// heard is when something last came from the pool user; ok is false where nothing is known of that.
func (l *elementLink) heard() (at time.Time, ok bool) {
	if a, can := l.a.(interface{ Heard() time.Time }); can && l.c.Silence > 0 {
		return a.Heard(), true
	}
	return time.Time{}, false
}

func (l *elementLink) gone() {
	l.e.c.Loop.Cancel(&l.timer)
	delete(l.e.links, l)
	l.forgetEchoes()
	l.streams.all(func(leg *Leg) { leg.outOfTouch() })
	l.streams, l.waiting = table[Leg]{}, nil
}

// Receive takes a message of the pool user (mapping.Handler).
func (l *elementLink) Receive(m mapping.Message) {
	l.take(m, l, &l.e.c.Trace)
	if !l.e.links[l] {
		return
	}
	if n := l.a.Queued(); n > maxAnswers || n > fewAnswers && l.c.Short != nil && l.c.Short() {
		l.violate("it does not read what it is answered")
	}
}

func (l *elementLink) greeted() {
	l.e.c.Loop.Cancel(&l.timer)
	if l.e.c.Ours != nil && !l.e.c.Ours(l.hello.instance) {
		l.e.c.Trace.log('i', "association ended: its HELLO came so late that another shard has it", "pool_user", l.a.Remote())
		l.a.Abort()
		l.gone()
		return
	}
	if l.e.drains {
		l.tellDrain()
	}
}

func (l *elementLink) deliver(leg *Leg, p []byte) { leg.data(p) }

// control takes a message that begins a leg, or is for one.
func (l *elementLink) control(stream uint16, leg *Leg, m *message) {
	switch {
	case m.typ == typeOpen || m.typ == typeResume:
		if leg != nil || stream == control {
			l.violate("OPEN or RESUME on a stream that is in use")
		} else if m.typ == typeOpen {
			l.open(stream, m, l.echoed(stream))
		} else if l.echoed(stream) != nil {
			l.violate("RESUME behind a cookie that is echoed")
		} else {
			l.resume(stream, m)
		}
	case leg == nil || leg.heard:
		l.violate("a message on a stream that carries no leg")
	case leg == &l.e.tomb:
		if m.terminal() {
			l.streams.remove(stream, false)
		} // else the user did not know yet
	default:
		leg.receive(m)
	}
}

// open begins a leg. echo is the cookie that the pool user has echoed before it; nil: none.
func (l *elementLink) open(stream uint16, m *message, echo []byte) {
	leg := &Leg{e: l.e, c: l.e.c, memory: l.c.Memory, token: m.token, Session: m.session, Number: m.leg, Ends: m.ends, user: l.hello.instance, identity: l.identity(), hold: min(m.hold, l.e.c.Hold)}
	leg.out.pool = l.e.c.Loop.Buffers()
	leg.timer.Func, leg.poll.Func, leg.reads.asked = leg.expire, leg.polled, m.reads
	leg.granted, leg.credit = int64(l.c.first()), l.hello.credit
	leg.attach(l, stream)
	if old := l.e.legs[m.token]; old != nil {
		switch {
		case old.user != leg.user || old.identity != leg.identity:
			leg.refuse("leg", CodeUnauthorized, notYours)
			return
		case old.Number >= leg.Number:
			leg.refuse("leg", CodeStale, "")
			return
		}
		old.supersede()
	}
	if last, ok := l.e.ended.number(m.token); ok && last >= leg.Number {
		leg.refuse("leg", CodeStale, "")
		return
	}
	if len(l.e.legs) >= l.e.c.MaxLegs || l.e.full || l.e.closed {
		leg.refuse("leg", CodeBusy, l.e.whyFull())
		return
	}
	if err := l.e.unhealthy; err != nil {
		leg.refuse("leg", CodeHealth, err.Error())
		return
	}
	if echo != nil {
		if err := leg.takeCookie(echo); err != nil {
			leg.refuse("leg", CodeCookie, err.Error())
			return
		}
	}
	if l.e.c.Full != nil && l.e.c.Full() {
		leg.refuse("leg", CodeBusy, l.e.whyFull())
		return
	}
	l.e.legs[m.token] = leg
	if echo != nil && l.e.c.Cookie != nil {
		l.e.c.Cookie(leg, leg.cookie.bytes)
	}
	leg.out.socket = leg.c.Connect(leg)
}

// whyFull is what is said of a refusal with CodeBusy.
func (e *Element) whyFull() string {
	if e.full || e.closed {
		return "it is stopping"
	}
	return fmt.Sprintf("it takes %d sessions at once (max_sessions, limits.sessions)", e.c.MaxLegs)
}

// resume attaches a leg that lost its association to this one.
func (l *elementLink) resume(stream uint16, m *message) {
	leg := l.e.legs[m.token]
	refuse := func(code Code, text string) {
		refusal := &Leg{e: l.e, c: l.e.c, Number: m.leg}
		if leg != nil {
			refusal.Session = leg.Session
		}
		refusal.attach(l, stream)
		refusal.refuse("resume", code, text)
	}
	switch {
	case leg == nil && l.neverBegan(m):
		refuse(CodeNever, "")
	case leg == nil:
		refuse(CodeNoLeg, "")
	case leg.user != l.hello.instance || leg.identity != l.identity():
		refuse(CodeUnauthorized, notYours)
	case leg.Number != m.leg:
		refuse(CodeStale, "")
	case m.received < leg.log.Start() || m.received > leg.highest || !leg.grant(m.credit, m.received):
		refuse(CodeProtocol, fmt.Sprintf("position out of range: %d is not within %d to %d, or the credit of %d is too large",
			m.received, leg.log.Start(), leg.highest, m.credit))
	case leg.link == l:
		l.violate("RESUME of a leg that this association carries")
	default:
		leg.resumed(l, stream, m.received)
	}
}

// neverBegan reports whether the OPEN of the leg that m asks for has never come. From then on it comes too late.
func (l *elementLink) neverBegan(m *message) bool {
	now := l.e.c.Loop.Now()
	if _, known := l.e.ended.number(m.token); known || !l.e.ended.complete(now) {
		return false
	}
	l.e.ended.add(m.token, m.leg, now)
	return true
}

// notYours is the reason for which a peer is refused that knows a token but is not who began the session.
const notYours = "the session belongs to another pool user"

// SetHealth says what the health check has found: nil is a healthy server. While it is not healthy its legs have failed, and new
// ones are refused.
func (e *Element) SetHealth(err error) {
	e.unhealthy = err
	if err == nil {
		return
	}
	legs := slices.SortedFunc(maps.Values(e.legs), func(a, b *Leg) int { return bytes.Compare(a.token[:], b.token[:]) })
	for _, leg := range legs {
		if leg.c.Server != e.c.Server { // it is the health of another one
			continue
		}
		leg.abortive = true
		leg.fail(CodeHealth, false, err.Error())
	}
}
