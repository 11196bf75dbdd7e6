package mapping

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// TCPMapping is mapping 0x02: the chunks of draft-ietf-rserpool-tcpmapping over the connections of any loop.Loop. What the draft
// leaves open is decided in docs/protocol.md. The value has no state and may be copied.
type TCPMapping struct{}

var (
	_ Dialer   = TCPMapping{}
	_ Acceptor = TCPMapping{}
)

// tcpStreams is how many streams an association over TCP has: as many as a stream's number can name.
const tcpStreams = 1 << 16

// Times of an association over TCP.
const (
	ackDelay = 20 * time.Millisecond // how long an ACK may wait for company
	linger   = 5 * time.Second       // how long Close may take before the connection is reset
)

// Dial begins an association with the peer that listens at to; see Dialer.
func (TCPMapping) Dial(l loop.Loop, to netip.AddrPort, c Config, h Handler) Association {
	a := newTCPAssociation(l, c, l.Now())
	a.handler = h
	a.conn = l.Dial(to, a)
	a.pager, _ = a.conn.(loop.PageConn)
	return a
}

// Listen accepts associations at an address; see Acceptor.
func (TCPMapping) Listen(l loop.Loop, at netip.AddrPort, c Config, accept func(Association) Handler) (loop.Listener, error) {
	return l.Listen(at, func(conn loop.Conn) loop.Handler {
		return acceptTCP(l, conn, c, l.Now(), false, accept)
	})
}

// tcpAssociation glues a machine to a connection: it reads and writes, keeps the timers, and speaks to the Handler.
type tcpAssociation struct {
	loop    loop.Loop
	conn    loop.Conn
	handler Handler
	config  Config
	machine machine
	partial *loop.Buffer  // the beginning of a chunk whose rest is yet to come
	partLen int           // bytes in partial
	pager   loop.PageConn // conn, if it can move pages; else nil
	noPages bool          // it has turned out that it cannot
	gate    *loop.Gate    // conn, while it is disturbed; else nil
	intake  intake

	timer    loop.Timer // until Up: DialTimeout; then heartbeats; after Close: linger
	ackTimer loop.Timer // armed while an ACK is owed

	closing   bool // Close was called; what is queued is being written
	ended     bool // nothing happens any more
	connected bool
	accepted  bool // the peer began it
	finished  bool // we have sent our end
	blocked   bool // the connection takes no bytes until it is Writable
	full      bool // Queued has been at LowWater or above: Drained is owed
	flushing  bool // flush is going to run
	resting   bool // read is going to run, without an event
	starved   bool // nothing is read until the peer has read our answers

	failure error // why the connection has failed; what had arrived is still being read

	// Methods as values, made once: they are handed to the loop often.
	flushFunc, readFunc, drainedFunc func()
}

func newTCPAssociation(l loop.Loop, c Config, since time.Time) *tcpAssociation {
	a := &tcpAssociation{loop: l, config: c, machine: newMachine(l.Now(), c.Heartbeat, l.Buffers())}
	a.flushFunc, a.readFunc, a.drainedFunc = a.flush, a.readAgain, a.drained
	a.timer.Func, a.ackTimer.Func = a.due, a.flush
	if c.DialTimeout > 0 {
		l.Schedule(&a.timer, since.Add(c.DialTimeout))
	}
	return a
}

// Ready is called by the loop; see loop.Handler.
func (a *tcpAssociation) Ready(ev loop.Event) {
	if a.gate != nil {
		a.gate.Ready(ev)
		return
	}
	a.ready(ev)
}

// ready hears what may be done now.
func (a *tcpAssociation) ready(ev loop.Event) {
	if ev&loop.Connected != 0 {
		a.connected = true
		a.flushLater()
	}
	switch {
	case ev&loop.Hangup != 0:
		a.hungUp(a.conn.Err())
	case ev&loop.Readable != 0:
		a.read()
	}
	if ev&loop.Writable != 0 {
		a.blocked = false
		a.flush()
	}
}

// due runs when the timer fires.
func (a *tcpAssociation) due() {
	switch {
	case a.closing:
		a.end(false)
	case !a.connected:
		a.fail(fmt.Errorf("%w: not connected within %v", ErrSilent, a.config.DialTimeout))
	case !a.machine.up:
		a.fail(fmt.Errorf("%w: connected, but it sent no INIT within %v", ErrSilent, a.config.DialTimeout))
	default:
		a.tick()
	}
}

// tick lets the machine do what is due, and arms the timer for the next time.
func (a *tcpAssociation) tick() {
	at, err := a.machine.tick(a.loop.Now())
	if err != nil {
		a.fail(err)
		return
	}
	if !at.IsZero() {
		a.loop.Schedule(&a.timer, at)
	}
	if a.machine.queue.size > 0 {
		a.flushLater()
	}
}

// cameUp follows the peer's INIT.
func (a *tcpAssociation) cameUp() {
	a.flushLater()
	if a.closing {
		return // only what was queued before is still sent
	}
	a.loop.Cancel(&a.timer)
	if h := a.config.Heartbeat; h.Interval > 0 {
		a.conn.SetUserTimeout(h.Interval * time.Duration(max(h.Misses, 1)+1))
	}
	a.tick()
	a.handler.Up()
}

// drained tells the handler, unless it has filled the queue again since this was posted; then it will be told again.
func (a *tcpAssociation) drained() {
	if !a.ended && !a.closing && !a.full {
		a.handler.Drained()
	}
}

// fail ends the association for a reason that is not ours, and says so once. The peer sees a reset, unless its own end has come.
func (a *tcpAssociation) fail(err error) {
	tell := !a.ended && !a.closing
	a.end(errors.Is(err, io.EOF))
	if tell {
		a.handler.Down(fmt.Errorf("mapping: association with %v: %w", a.conn.Remote(), classify(err)))
	}
}

// classify makes sure that err wraps one of the reasons that Handler.Down names. What remains are the transport's own words for a
// peer of which nothing comes: timed out, no route to host and the like.
func classify(err error) error {
	for _, reason := range []error{loop.ErrRefused, loop.ErrReset, ErrSilent, ErrProtocol, io.EOF} {
		if errors.Is(err, reason) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrSilent, err)
}

// end frees everything but what Retrieve needs. Without inOrder the peer sees a reset.
func (a *tcpAssociation) end(inOrder bool) {
	if a.ended {
		return
	}
	a.ended = true
	a.loop.Cancel(&a.timer)
	a.loop.Cancel(&a.ackTimer)
	if inOrder {
		a.conn.Close()
	} else {
		a.conn.Reset()
	}
	a.machine.queue.release()
	a.keep(nil)
	a.intake.drop()
}

// Send queues a message; see Association.
func (a *tcpAssociation) Send(m Message, from *loop.Buffer) error {
	if a.ended || a.closing {
		return ErrDown
	}
	if err := a.machine.send(&m, from); err != nil {
		return err
	}
	a.sendSoon()
	return nil
}

// sendSoon follows every message that was queued.
func (a *tcpAssociation) sendSoon() {
	if a.machine.queue.size >= LowWater {
		a.full = true
	}
	if a.machine.up {
		a.flushLater()
	}
}

// Queued is how many bytes are not yet taken by the connection, the chunks' headers included.
func (a *tcpAssociation) Queued() int { return a.machine.queue.size }

// Retrieve lists what was not acknowledged; see Association.
func (a *tcpAssociation) Retrieve() Retrieved { return a.machine.retrieve() }

// Capabilities are those of every association over TCP.
func (a *tcpAssociation) Capabilities() Capabilities { return TCPMapping{}.capabilities() }

func (TCPMapping) capabilities() Capabilities {
	return Capabilities{Streams: tcpStreams, MaxMessage: maxData}
}

// Status is the kernel's view of the connection and that of the heartbeats. With ErrStatus the latter is still filled.
func (a *tcpAssociation) Status() (Status, error) {
	var s Status
	s.HeartbeatRTT, s.HeartbeatRTTVar, s.HeartbeatRTO = a.machine.watch.RTT()
	info, ok := a.conn.Info()
	if !ok {
		return s, fmt.Errorf("%w: connection with %v", ErrStatus, a.conn.Remote())
	}
	s.RTT, s.RTTVar, s.RTO, s.PMTU = info.RTT, info.RTTVar, info.RTO, info.PMTU
	return s, nil
}

// Remote is the peer's address.
func (a *tcpAssociation) Remote() netip.AddrPort { return a.conn.Remote() }

// Local is our address.
func (a *tcpAssociation) Local() netip.AddrPort { return a.conn.Local() }

// Identity is who the peer is, if the connection knows; "" if it does not: a bare one knows nobody.
func (a *tcpAssociation) Identity() string {
	conn := a.conn
	if a.gate != nil {
		conn = a.gate.Inner()
	}
	if known, ok := conn.(interface{ Identity() string }); ok {
		return known.Identity()
	}
	return ""
}

// Heard is when something last came from the peer.
func (a *tcpAssociation) Heard() time.Time { return a.machine.watch.Heard() }

// Close writes what is queued, then FIN, and waits for the peer's FIN, so that no reset overtakes what was written. After 5
// seconds the connection is reset.
func (a *tcpAssociation) Close() {
	if a.ended || a.closing {
		return
	}
	a.closing = true
	if !a.machine.up && a.machine.queue.size == 0 {
		a.end(true)
		return
	}
	a.loop.Schedule(&a.timer, a.loop.Now().Add(linger))
	a.flushLater()
}

// Abort resets the connection.
func (a *tcpAssociation) Abort() { a.end(false) }
