package mapping

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/poolproxy/poolproxy/loop"
)

// Direct joins the two sides of an association that live in one process, on one loop: messages are handed over at the end of the
// turn, payload that lies in a Buffer without a copy. It is for mapping 0x00, where the rules of the element side run beside
// those of the pool user. There are no heartbeats: both sides live and die together. Addresses are only names here. A message is
// acknowledged when the other side has received it. The value belongs to its loop's goroutine.
type Direct struct {
	listeners map[netip.AddrPort]*directListener
}

var (
	_ Dialer   = (*Direct)(nil)
	_ Acceptor = (*Direct)(nil)
	_ Pauser   = (*directEnd)(nil)
)

// NewDirect returns a Direct on which nobody listens yet.
func NewDirect() *Direct { return &Direct{listeners: map[netip.AddrPort]*directListener{}} }

type directListener struct {
	direct *Direct
	at     netip.AddrPort
	accept func(Association) Handler
}

func (l *directListener) Addr() netip.AddrPort { return l.at }

func (l *directListener) Close() {
	if l.direct.listeners[l.at] == l {
		delete(l.direct.listeners, l.at)
	}
}

// Listen accepts associations under that name; see Acceptor. The loop must be that of the dialers.
func (d *Direct) Listen(_ loop.Loop, at netip.AddrPort, _ Config, accept func(Association) Handler) (loop.Listener, error) {
	if d.listeners[at] != nil {
		return nil, fmt.Errorf("mapping: listen at %v: somebody listens there already", at)
	}
	l := &directListener{d, at, accept}
	d.listeners[at] = l
	return l, nil
}

// Dial joins h with the Handler that the listener's accept returns at the end of this turn; see Dialer.
func (d *Direct) Dial(l loop.Loop, to netip.AddrPort, _ Config, h Handler) Association {
	near, far := &directEnd{loop: l, handler: h, remote: to}, &directEnd{loop: l, local: to}
	near.peer, far.peer = far, near
	near.deliverFunc, far.deliverFunc = near.deliver, far.deliver
	l.Later(func() { d.connect(near, far) })
	return near
}

func (d *Direct) connect(near, far *directEnd) {
	if near.ended {
		return
	}
	listener := d.listeners[near.remote]
	if listener == nil {
		near.down(loop.ErrRefused)
		return
	}
	if far.handler = listener.accept(far); far.handler == nil {
		near.down(loop.ErrReset)
		return
	}
	for _, e := range []*directEnd{near, far} {
		if near.closing || far.closing || near.ended || far.ended {
			break // what was queued is still delivered
		}
		e.handler.Up()
	}
	near.up, far.up = true, true
	near.deliverSoon()
	far.deliverSoon()
}

// directEnd is one side's view.
type directEnd struct {
	loop          loop.Loop
	handler       Handler
	peer          *directEnd
	local, remote netip.AddrPort

	up      bool
	closing bool // Close was called; what is queued is still delivered
	ended   bool
	full    bool // Queued was at LowWater or above
	soon    bool // deliver is going to run
	paused  bool // nothing is to be delivered to this end

	queue  []directMessage
	first  int // the messages before it were delivered
	queued int // bytes
	rounds int // how often delivery was asked for

	deliverFunc func()
}

type directMessage struct {
	Message
	from *loop.Buffer // held; nil: Data is a copy of its own
}

// roundsATurn bounds how often one end delivers before the rest of the loop has its turn: two sides that answer each other
// without end must not keep the turn from ending.
const roundsATurn = 64

// Send queues a message; see Association.
func (e *directEnd) Send(m Message, from *loop.Buffer) error {
	switch {
	case e.ended || e.closing:
		return ErrDown
	case m.Unordered:
		return fmt.Errorf("%w: direct", ErrUnordered)
	case m.Lifetime != 0:
		return fmt.Errorf("%w: direct, lifetime %v", ErrLifetime, m.Lifetime)
	case len(m.Data) > maxData:
		return fmt.Errorf("%w: %d bytes, at most %d are taken", ErrTooLong, len(m.Data), maxData)
	}
	if from != nil {
		from.Hold()
	} else {
		from = e.loop.Buffers().Get(len(m.Data))
		m.Data = from.Bytes[:copy(from.Bytes, m.Data)]
	}
	e.queue = append(e.queue, directMessage{m, from})
	e.queued += len(m.Data)
	e.full = e.full || e.queued >= LowWater
	e.deliverSoon()
	return nil
}

func (e *directEnd) deliverSoon() {
	if e.soon || !e.up {
		return
	}
	e.soon = true
	if e.rounds++; e.rounds%roundsATurn == 0 {
		e.loop.Post(e.deliverFunc)
	} else {
		e.loop.Later(e.deliverFunc)
	}
}

// deliver hands the queued messages to the peer's handler. A peer that has ended, or is closing, takes no more: what is left is
// for Retrieve, and this side will hear of it.
func (e *directEnd) deliver() {
	e.soon = false
	for n := len(e.queue) - e.first; n > 0 && !e.ended && e.peer.takes() && !e.peer.paused; n-- {
		m := e.queue[e.first]
		e.queue[e.first] = directMessage{}
		e.first++
		e.queued -= len(m.Data)
		m.Context = 0
		e.peer.handler.Receive(m.Message)
		m.from.Drop()
	}
	left := len(e.queue) - e.first
	if left == 0 {
		e.queue, e.first = e.queue[:0], 0
	}
	switch {
	case e.ended:
		return
	case left > 0 && e.peer.takes():
		if !e.peer.paused {
			e.deliverSoon()
		}
	case e.closing:
		e.end()
		e.peer.down(io.EOF)
		return
	}
	if e.full && e.queued < LowWater && !e.closing {
		e.full = false
		e.handler.Drained()
	}
}

func (e *directEnd) takes() bool { return !e.ended && !e.closing }

// Pause leaves what the peer sends in its queue; see Pauser. That the association has ended is heard at once.
func (e *directEnd) Pause() { e.paused = true }

// Resume has it delivered; see Pauser.
func (e *directEnd) Resume() {
	e.paused = false
	e.peer.deliverSoon()
}

// down ends this side for a reason that is not its own.
func (e *directEnd) down(err error) {
	tell := e.takes() && e.handler != nil
	e.end()
	if tell {
		e.handler.Down(fmt.Errorf("mapping: direct association with %v: %w", e.remote, err))
	}
}

// end drops what is queued, all but its Contexts.
func (e *directEnd) end() {
	e.ended = true
	for i := e.first; i < len(e.queue); i++ {
		if m := &e.queue[i]; m.from != nil {
			m.from.Drop()
			m.Data, m.from = nil, nil
		}
	}
	e.queued = 0
}

// Queued is how many bytes of payload were not delivered yet.
func (e *directEnd) Queued() int { return e.queued }

// Retrieve lists what was not delivered. Nothing is ever in doubt.
func (e *directEnd) Retrieve() (left Retrieved) {
	for _, m := range e.queue[e.first:] {
		left.Unsent = append(left.Unsent, m.Context)
	}
	return left
}

// Capabilities are those of the TCP mapping, so that sessions meet no surprise when they move.
func (e *directEnd) Capabilities() Capabilities { return TCPMapping{}.capabilities() }

// Status always returns ErrStatus: there is no path.
func (e *directEnd) Status() (Status, error) { return Status{}, fmt.Errorf("%w: direct", ErrStatus) }

// Remote is the name that was dialled; at the accepting side it is invalid: dialers have no name.
func (e *directEnd) Remote() netip.AddrPort { return e.remote }

// Local is the name listened at; at the dialling side it is invalid.
func (e *directEnd) Local() netip.AddrPort { return e.local }

// Close lets what is queued be delivered; then the peer hears io.EOF.
func (e *directEnd) Close() {
	if e.ended || e.closing {
		return
	}
	e.closing = true
	e.deliverSoon()
}

// Abort drops what is queued; the peer hears loop.ErrReset at the end of the turn.
func (e *directEnd) Abort() {
	if e.ended {
		return
	}
	e.end()
	e.loop.Later(func() { e.peer.down(loop.ErrReset) })
}
