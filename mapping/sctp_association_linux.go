package mapping

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/loop"
)

// sctpAssociation is one association: a one-to-one socket and the rules of sctpTalk. Messages wait in queue until the kernel takes
// them; from then on the kernel keeps them, and gives back those that the peer did not acknowledge when the association fails.
type sctpAssociation struct {
	mapping SCTPMapping
	loop    loop.Loop
	file    loop.File // nil: there is no socket
	handler Handler
	config  Config
	talk    sctpTalk
	remote  netip.AddrPort
	local   netip.AddrPort
	io      sctpIO

	queue   outQueue
	heads   []queued // of the messages in queue, in order
	first   int      // the heads before it were sent
	sent    sctpSent
	longest int // of a message, bytes
	streams int // that the peer takes

	bad     map[netip.AddrPort]PathState // the paths that were reported as others than active
	partial []byte                       // the beginning of a message whose rest is yet to come
	notice  []byte                       // likewise of a notification: it may come before that rest
	early   []Message
	earlyBy int  // bytes in early
	began   bool // the peer's first message has come
	spoke   bool // ours was queued

	timer loop.Timer // until Up: DialTimeout; then heartbeats; after Close: linger

	accepted  bool
	connected bool
	closing   bool // Close was called; what is queued is being sent
	finished  bool // we have begun the shutdown
	ended     bool
	blocked   bool
	full      bool // Queued has been at LowWater or above: Drained is owed
	flushing  bool
	resting   bool // read is going to run, without an event
	paused    bool // nothing is read
	broken    bool // the kernel says that it has failed: what is left is read in any case
	answers   int  // to heartbeats, queued since the queue was empty
	lost      error

	flushFunc, readFunc, drainedFunc func()
}

// queued is what is known of a message that lies in the queue.
type queued struct {
	m     Message // without Data
	size  int
	ours  bool      // of sctpTalk: it has no Context
	until time.Time // it is of no use after; zero: for ever
}

// late reports whether the message's lifetime is over.
func (h *queued) late(now time.Time) bool { return !h.until.IsZero() && !now.Before(h.until) }

func newSCTPAssociation(l loop.Loop, s SCTPMapping, c Config) *sctpAssociation {
	now := l.Now()
	a := &sctpAssociation{mapping: s, loop: l, config: c, queue: outQueue{pool: l.Buffers()}, longest: sctpMessage, streams: s.streams(),
		talk: sctpTalk{start: now}}
	a.talk.watch.Interval, a.talk.watch.Misses = c.Heartbeat.Interval, c.Heartbeat.Misses
	a.flushFunc, a.readFunc, a.drainedFunc = a.flush, a.readAgain, a.drained
	a.timer.Func = a.due
	if c.DialTimeout > 0 {
		l.Schedule(&a.timer, now.Add(c.DialTimeout))
	}
	return a
}

// Ready is called by the loop; see loop.Handler.
func (a *sctpAssociation) Ready(ev loop.Event) {
	if !a.connected && ev&loop.Writable != 0 {
		if errno, err := unix.GetsockoptInt(a.file.FD(), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno == 0 {
			a.connect()
		} else if a.lost == nil && errno != 0 {
			a.lost = unix.Errno(errno)
		}
	}
	a.broken = a.broken || ev&loop.Hangup != 0
	if ev&(loop.Readable|loop.Hangup) != 0 {
		a.read()
	}
	if ev&loop.Writable != 0 && !a.ended {
		a.blocked = false
		a.flush()
	}
}

// connect follows the kernel's handshake: we introduce ourselves.
func (a *sctpAssociation) connect() {
	if a.connected || a.ended {
		return
	}
	a.connected = true
	if size, err := unix.GetsockoptInt(a.file.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil {
		a.longest = min(a.longest, size/2)
	}
	if status, err := statusOf(a.file.FD()); err == nil && status.streams > 0 {
		a.streams = min(a.streams, status.streams)
	}
	if a.mapping.Native {
		a.talk.up, a.spoke, a.began = true, true, true
		a.cameUp()
		return
	}
	hello := Message{PPID: PPIDControl}
	if errno := a.io.send(a.file.FD(), &hello, [][]byte{a.talk.hello()}, 0); errno != 0 {
		a.fail(sctpReason(errno)) // there is room for it
		return
	}
	a.flushLater()
}

// due runs when the timer fires.
func (a *sctpAssociation) due() {
	switch {
	case a.closing:
		a.end(false)
	case !a.connected:
		a.fail(fmt.Errorf("%w: not connected within %v", ErrSilent, a.config.DialTimeout))
	case !a.talk.up:
		a.fail(fmt.Errorf("%w: connected, but it did not introduce itself within %v", ErrSilent, a.config.DialTimeout))
	default:
		a.tick()
	}
}

// tick asks the peer for a sign of life when it is time, and gives it up when there was none.
func (a *sctpAssociation) tick() {
	ask, at, err := a.talk.tick(a.loop.Now())
	if err != nil {
		a.fail(err)
		return
	}
	if ask != nil {
		a.control(ask)
	}
	if !at.IsZero() {
		a.loop.Schedule(&a.timer, at)
	}
}

// cameUp follows the peer's introduction, or what stands for it.
func (a *sctpAssociation) cameUp() {
	a.flushLater()
	if a.closing {
		return // only what was queued before is still sent
	}
	a.loop.Cancel(&a.timer)
	if !a.mapping.Native {
		a.tick()
	}
	a.handler.Up()
}

// control queues a message of our own.
func (a *sctpAssociation) control(data []byte) {
	a.put(&Message{PPID: PPIDControl, Data: data}, nil, true)
	a.flushLater()
}

// put queues a message.
func (a *sctpAssociation) put(m *Message, from *loop.Buffer, ours bool) {
	head := queued{m: *m, size: len(m.Data), ours: ours}
	head.m.Data = nil
	if m.Lifetime > 0 {
		head.until = a.loop.Now().Add(m.Lifetime)
	}
	if from == nil || len(m.Data) < copyBelow {
		a.queue.copy(m.Data)
	} else {
		a.queue.refer(m.Data, from)
	}
	if len(a.heads) == cap(a.heads) && a.first > len(a.heads)/2 {
		n := copy(a.heads, a.heads[a.first:])
		a.heads, a.first = a.heads[:n], 0
	}
	a.heads = append(a.heads, head)
}

// Send queues a message; see Association.
func (a *sctpAssociation) Send(m Message, from *loop.Buffer) error {
	switch {
	case a.ended || a.closing:
		return ErrDown
	case len(m.Data) > a.longest:
		return fmt.Errorf("%w: %d bytes, at most %d fit the kernel's buffer", ErrTooLong, len(m.Data), a.longest)
	case int(m.Stream) >= a.streams:
		return fmt.Errorf("mapping: stream %d of %d", m.Stream, a.streams)
	}
	if len(m.Data) == 0 && a.mapping.Native {
		return ErrEmpty
	}
	if !a.mapping.Native && (!a.spoke || len(m.Data) == 0) {
		kind := byte(controlEmpty)
		if !a.spoke {
			kind, m.Unordered, m.Lifetime = controlFirst, false, 0
		}
		a.spoke = true
		m.Data, m.PPID, from = a.talk.wrap(kind, &m), PPIDControl, nil
	}
	a.put(&m, from, false)
	if a.queue.size >= LowWater {
		a.full = true
	}
	a.flushLater()
	return nil
}

// fail ends the association for a reason that is not ours, and says so once.
func (a *sctpAssociation) fail(err error) {
	tell := !a.ended && !a.closing
	a.end(errors.Is(err, io.EOF))
	if tell {
		a.handler.Down(fmt.Errorf("mapping: association with %v: %w", a.remote, sctpReason(err)))
	}
}

// Break ends it abortively; see Breaker.
func (a *sctpAssociation) Break() { a.fail(errBroken) }

// end frees everything but what Retrieve needs. Without inOrder the peer sees an ABORT.
func (a *sctpAssociation) end(inOrder bool) {
	if a.ended {
		return
	}
	a.Local() // may still be asked for
	a.ended = true
	a.loop.Cancel(&a.timer)
	if a.file != nil && a.file.FD() >= 0 {
		if !inOrder {
			// It cannot fail on a socket; if it did, Close would still end the association.
			_ = unix.SetsockoptLinger(a.file.FD(), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
		a.file.Close()
	}
	a.queue.release()
	a.partial, a.notice, a.early = nil, nil, nil
}

// Queued is how many bytes the kernel has not taken.
func (a *sctpAssociation) Queued() int { return a.queue.size }

// Retrieve lists what was not acknowledged; see Association. After Down it is what the kernel has given back, and what it was never
// given.
func (a *sctpAssociation) Retrieve() Retrieved {
	a.ask()
	left := a.sent.left()
	now := a.loop.Now()
	for _, h := range a.heads[a.first:] {
		if !h.ours && !h.late(now) {
			left.Unsent = append(left.Unsent, h.m.Context)
		}
	}
	return left
}

// Capabilities are those of SCTP; streams and the longest message are known better once it is up.
func (a *sctpAssociation) Capabilities() Capabilities {
	return Capabilities{Unordered: true, Lifetime: true, Streams: a.streams, MaxMessage: a.longest}
}

// Status is the kernel's view of the path in use, and that of the heartbeats. With ErrStatus the latter is still filled.
func (a *sctpAssociation) Status() (Status, error) {
	var s Status
	s.HeartbeatRTT, s.HeartbeatRTTVar, s.HeartbeatRTO = a.talk.watch.RTT()
	if a.ended || !a.connected {
		return s, fmt.Errorf("%w: association with %v", ErrStatus, a.remote)
	}
	status, err := statusOf(a.file.FD())
	if err != nil {
		return s, fmt.Errorf("%w: association with %v: %w", ErrStatus, a.remote, err)
	}
	s.RTT, s.RTO, s.PMTU = status.primary.RTT, status.primary.RTO, status.primary.PMTU
	return s, nil
}

// Paths lists the paths to the peer; see Pather.
func (a *sctpAssociation) Paths() []Path {
	if a.ended || !a.connected {
		return nil
	}
	var all []Path
	if status, err := statusOf(a.file.FD()); err == nil {
		all = append(all, status.primary)
	}
	for _, at := range addressesOf(a.file.FD(), optPeers) {
		known := slices.ContainsFunc(all, func(p Path) bool { return p.Address == at })
		if p, err := pathStatus(a.file.FD(), at); err == nil && !known {
			all = append(all, p)
		}
	}
	return all
}

// Remote is the peer's address: the first, where it has several.
func (a *sctpAssociation) Remote() netip.AddrPort { return a.remote }

// Local is our address: the first, where there are several.
func (a *sctpAssociation) Local() netip.AddrPort {
	if !a.local.IsValid() && !a.ended && a.file != nil {
		if all := addressesOf(a.file.FD(), optLocals); len(all) > 0 {
			a.local = all[0]
		}
	}
	return a.local
}

// Heard is when something last came from the peer.
func (a *sctpAssociation) Heard() time.Time { return a.talk.watch.Heard() }

// Close sends what is queued, then ends the association in order (SHUTDOWN). After 5 seconds it is aborted.
func (a *sctpAssociation) Close() {
	if a.ended || a.closing {
		return
	}
	a.closing = true
	a.Resume() // what comes is thrown away, and then the end is seen
	if !a.talk.up && a.first == len(a.heads) {
		a.end(a.connected)
		return
	}
	a.loop.Schedule(&a.timer, a.loop.Now().Add(linger))
	a.flushLater()
}

// Abort ends it at once; the peer sees an ABORT.
func (a *sctpAssociation) Abort() { a.end(false) }

// waits reports whether what comes is left with the kernel.
func (a *sctpAssociation) waits() bool { return a.paused && !a.broken }

// Pause stops reading; see Pauser.
func (a *sctpAssociation) Pause() { a.paused = true }

// Resume goes on with it; see Pauser.
func (a *sctpAssociation) Resume() {
	if !a.paused {
		return
	}
	a.paused = false
	if !a.resting && !a.ended {
		a.resting = true
		a.loop.Post(a.readFunc)
	}
}
