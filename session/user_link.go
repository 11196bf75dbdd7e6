package session

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// userLink is an association with one pool element, and its successors when it breaks.
type userLink struct {
	link[userLeg]
	u        *User
	element  pool.Element
	n        int        // which of the element's associations it is
	peer     Token      // the element's instance when it was last up; zero: it never was
	peerName string     // who that was by its certificate; "": that is not known
	pending  []*userLeg // to be opened when up
	lost     []*userLeg // to be resumed when up again
	lostAt   time.Time
	start    time.Duration // how long what loses nothing by moving waits, after its loss; see headStart
	upAt     time.Time
	thawed   bool       // it was not lost: another process had it
	misfit   bool       // it was said that its business card is of another pool
	dialing  bool       // the mapping has an association that was not ended
	dialed   time.Time  // when it was begun
	patience loop.Timer // runs while there are lost legs, and before a dial is repeated
}

func (l *userLink) dial() {
	l.dialing, l.dialed = true, l.u.c.Loop.Now()
	l.a = l.u.c.Dialer.Dial(l.u.c.Loop, l.element.Address, l.u.c.Association, l)
}

// add puts a leg on the association: it is opened now, or as soon as the association is up.
func (l *userLink) add(leg *userLeg) {
	leg.link = l
	if l.hello == nil {
		l.pending = append(l.pending, leg)
		if !l.dialing { // lost legs pause before they dial again; who comes anew does not
			l.dial()
		}
		return
	}
	l.open(leg)
}

// open gives the leg a stream and begins it. When all streams are taken the leg is refused, and the element is passed over for a
// moment, as if it had refused: else it would be chosen again at once, without end.
func (l *userLink) open(leg *userLeg) {
	stream, ok := l.streams.add(leg)
	if !ok {
		leg.link = nil
		l.u.c.Pool.Failed(l.u.c.Loop.Now(), l.element.Name)
		leg.s.legRefused("every stream of the association is in use")
		return
	}
	leg.silence = l.hello.silence
	leg.begin(stream, l.hello.credit)
}

// remove takes a leg that was not begun, or waits for resumption, off the link.
func (l *userLink) remove(leg *userLeg) {
	is := func(other *userLeg) bool { return other == leg }
	l.pending = slices.DeleteFunc(l.pending, is)
	l.lost = slices.DeleteFunc(l.lost, is)
}

// Up introduces this side (mapping.Handler).
func (l *userLink) Up() {
	l.streams.most = l.a.Capabilities().Streams
	l.tell(control, &message{typ: typeHello, version: Version, oldest: oldest, instance: l.u.c.Instance,
		credit: int64(l.u.first()), text: l.u.c.Name})
	l.u.c.Loop.Schedule(&l.timer, l.u.c.Loop.Now().Add(helloTimeout))
}

func (l *userLink) silent() { l.violate("no HELLO came") }

// Drained lets waiting legs send on (mapping.Handler).
func (l *userLink) Drained() { l.drained((*userLeg).piece) }

// Receive takes a message of the element (mapping.Handler).
func (l *userLink) Receive(m mapping.Message) { l.take(m, l, &l.u.c.Trace) }

func (l *userLink) deliver(leg *userLeg, p []byte) { leg.data(p) }

func (l *userLink) control(stream uint16, leg *userLeg, m *message) {
	if stream == control && m.typ == typeDrain {
		l.told(m)
		return
	}
	switch {
	case leg == nil || leg.heard:
		l.violate("a message on a stream that carries no leg")
	case leg == &l.u.tomb:
		if m.terminal() {
			l.streams.remove(stream, true)
		} // else the element did not know yet
	default:
		leg.receive(m)
	}
}

// greeted takes the element's first message: the association is of use from here on.
func (l *userLink) greeted() {
	l.u.c.Loop.Cancel(&l.timer)
	l.u.c.Loop.Cancel(&l.patience)
	same := l.hello.instance == l.peer && l.identity() == l.peerName // a token is for no one else
	l.u.c.Pool.Shown(l.element.Name, l.hello.instance)
	l.peer, l.peerName, l.upAt = l.hello.instance, l.identity(), l.u.c.Loop.Now()
	l.u.c.Pool.Alive(l.element.Name)
	l.u.c.Trace.log('i', "association up", "pool_element", l.element.Name, "address", l.element.Address)
	lost, pending := l.lost, l.pending
	l.lost, l.pending = nil, nil
	for _, leg := range lost {
		if same {
			l.resume(leg)
		} else {
			leg.s.legFailed(failure{cause: "the element's sidecar was restarted", detector: "association", reach: leg.highest}) // the one before may live on
		}
	}
	for _, leg := range pending {
		l.open(leg)
	}
	for _, other := range l.u.links[l.element.Name] { // what waits for one that is still being begun need not
		if other != nil && other != l {
			other.handOver()
		}
	}
}

func (l *userLink) resume(leg *userLeg) {
	stream, ok := l.streams.add(leg)
	if !ok {
		leg.s.legFailed(failure{cause: "every stream of the association is in use", detector: "association", reach: leg.highest})
		return
	}
	leg.resume(stream)
	patience := l.u.c.Failover.Resume
	if patience == 0 { // then only a thawed leg is resumed at all
		patience = redialEvery
	}
	leg.s.u.c.Loop.Schedule(&leg.s.timer, leg.s.u.c.Loop.Now().Add(patience))
}

// violate ends an association whose peer broke the rules, as if it had broken.
func (l *userLink) violate(reason string) {
	l.u.c.Trace.log('w', "association ended: the peer broke the session protocol", "pool_element", l.element.Name, "reason", reason)
	l.a.Abort()
	l.Down(fmt.Errorf("%w: %s", ErrMessage, reason))
}

// Down begins to look for another way: the same element first, for as long as its legs may be resumed (mapping.Handler).
func (l *userLink) Down(err error) {
	wasUp := l.hello != nil
	l.hello, l.dialing = nil, false
	l.u.c.Loop.Cancel(&l.timer)
	now := l.u.c.Loop.Now()
	l.u.broke[l.element.Name] = now
	alone := l.alone(wasUp, err)
	switch {
	case alone:
	case errors.Is(err, loop.ErrScarce): // that is nothing that others should know of the element
		l.u.c.Pool.Failed(now, l.element.Name)
	default:
		l.u.c.Pool.Unreachable(now, l.element.Name)
	}
	if wasUp {
		l.breakOff(now, err)
	} else {
		l.unreached(err)
	}
	pending, lost := l.pending, []*userLeg(nil)
	l.pending = nil
	if errors.Is(err, loop.ErrRefused) {
		lost, l.lost = l.lost, nil
	} else {
		lost = l.expired(now)
	}
	lost = append(lost, l.givenUp()...)
	l.handOver()
	if len(l.lost) > 0 {
		l.again(now, wasUp && l.lostAt == now)
	}
	l.retire()
	if wasUp {
		l.untold()
	}
	failAll(lost, err.Error())
	for _, leg := range pending {
		leg.link = nil
		if s := l.other(wasUp); alone && s != nil {
			s.add(leg)
		} else {
			leg.s.legRefused(err.Error())
		}
	}
}

// breakOff takes all legs off the association, which was up, to be resumed. One that was up only for a moment flaps: it is not begun again at
// once, and the time that legs may be resumed in goes on for those that have not come further meanwhile.
func (l *userLink) breakOff(now time.Time, err error) {
	l.u.c.Trace.log('w', "association lost", "pool_element", l.element.Name, "reason", err)
	thawed := l.thawed
	steady := now.Sub(l.upAt) >= redialEvery || l.lostAt.IsZero() || thawed
	if steady {
		l.lostAt, l.thawed = now, false
		l.start = l.headStart(err)
	}
	l.streams.all(func(leg *userLeg) {
		leg.waitsSince(now, steady && (!leg.lost || thawed)) // else it was not resumed, however long the association was up
		l.loseLeg(leg, err)
	})
	l.streams, l.waiting = table[userLeg]{}, nil
}

// givenUp takes off the link the legs that were to be ended anyway: they are not resumed.
func (l *userLink) givenUp() (legs []*userLeg) {
	for _, leg := range slices.Clone(l.lost) {
		if leg.gaveUp != "" {
			l.remove(leg)
			legs = append(legs, leg)
		}
	}
	return legs
}

// unreached says that the element is not reached: as a warning if it does not speak our protocol, and not again and again.
func (l *userLink) unreached(err error) {
	level := byte('i')
	now := l.u.c.Loop.Now()
	if said, ok := l.u.said[l.element.Name]; ok && now.Sub(said) < sayEvery {
		level = 'd'
	} else {
		l.u.said[l.element.Name] = now
		if errors.Is(err, mapping.ErrProtocol) {
			level = 'w'
		}
	}
	l.u.c.Trace.log(level, "element not reached", "pool_element", l.element.Name, "reason", err)
}

// retire forgets a link that nobody waits for any more. It comes before legs are told of their fate: they may want to use the
// element again, over a new link.
func (l *userLink) retire() {
	if l.dialing || len(l.lost) > 0 || len(l.pending) > 0 {
		return
	}
	l.u.c.Loop.Cancel(&l.patience)
	all := l.u.links[l.element.Name]
	if l.n >= len(all) || all[l.n] != l { // another one has taken its place
		return
	}
	all[l.n] = nil
	if l.u.spread(l.element.Name, nil) == nil {
		delete(l.u.links, l.element.Name)
	}
}

func failAll(legs []*userLeg, cause string) {
	for _, leg := range legs {
		leg.link = nil
		leg.s.legFailed(failure{cause: cause, detector: "association", reach: leg.highest})
	}
}

// loseLeg takes a leg off the broken association.
func (l *userLink) loseLeg(leg *userLeg, err error) {
	if leg.over {
		leg.link = nil
		return
	}
	l.lost = append(l.lost, leg)
	leg.waits = false
	leg.s.legLost(err)
}

// again dials the same element, at once after a loss, else after a pause; patience is tested on the way.
func (l *userLink) again(now time.Time, atOnce bool) {
	if atOnce {
		l.dial()
		l.lookAgain(now, redialEvery)
		return
	}
	l.lookAgain(now, redialEvery/4)
}

// stop ends the association and all that is planned for it.
func (l *userLink) stop() {
	l.u.c.Loop.Cancel(&l.timer)
	l.u.c.Loop.Cancel(&l.patience)
	if l.dialing {
		l.a.Close()
	}
}
