package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/loop"
)

// read takes what has arrived, up to the share of one turn, and hands the messages over.
func (a *sctpAssociation) read() {
	if a.ended || a.resting || a.waits() {
		return
	}
	if now := a.loop.Now(); a.accepted && a.talk.up && !a.mapping.Native && a.talk.watch.Overdue(now) {
		a.fail(fmt.Errorf("%w: nothing was read for %v, this process stood still", ErrSilent, a.talk.watch.Silence(now)))
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for total := 0; !a.ended && !a.waits(); {
		got, errno := a.io.receive(a.file.FD(), s.in[:sctpRead])
		switch {
		case errno == unix.EAGAIN && a.lost == nil:
			a.sent.told()
			return
		case errno != 0:
			a.readEnded(errno)
			return
		case got.n == 0 && !got.notification:
			a.readEnded(nil)
			return
		}
		a.take(got, s.in[:got.n])
		if total += got.n; total >= turnBytes && !a.ended && !a.waits() {
			a.resting = true
			a.loop.Post(a.readFunc)
			return
		}
	}
}

// readAgain comes back to what a turn has left.
func (a *sctpAssociation) readAgain() {
	a.resting = false
	a.read()
}

// readEnded follows the end of what comes. The reason that the kernel gave first counts.
func (a *sctpAssociation) readEnded(errno error) {
	a.sent.over = true
	switch {
	case a.lost != nil:
		a.fail(a.lost)
	case errno == nil:
		a.fail(fmt.Errorf("the peer closed it: %w", io.EOF))
	default:
		a.fail(errno)
	}
}

// take puts the parts of a message together and hands it over. What the kernel tells may come between them: that the rest will not come, for
// one (SCTP_PARTIAL_DELIVERY_EVENT). It is never joined with what a peer has said.
func (a *sctpAssociation) take(p part, b []byte) {
	begun := &a.partial
	if p.notification {
		begun = &a.notice
	}
	if !p.whole || len(*begun) > 0 {
		if len(*begun)+len(b) > sctpMessage {
			a.fail(fmt.Errorf("%w: a message of more than %d bytes", ErrProtocol, sctpMessage))
			return
		}
		*begun = append(*begun, b...)
		if !p.whole {
			return
		}
		b, *begun = *begun, nil
	}
	if p.notification {
		a.notified(b)
		return
	}
	a.message(Message{Stream: p.stream, PPID: p.ppid, Data: b, Unordered: p.unordered})
}

// message takes one message of the peer.
func (a *sctpAssociation) message(m Message) {
	now := a.loop.Now()
	if a.closing && a.talk.up {
		return
	}
	if a.mapping.Native {
		a.handler.Receive(m)
		return
	}
	if a.talk.up {
		a.talk.watch.Received(now)
	}
	if m.PPID != PPIDControl {
		a.deliver(m)
		return
	}
	before := a.talk.up
	what, err := a.talk.read(now, m.Data)
	switch {
	case err != nil:
		a.fail(err)
	case !before:
		a.cameUp()
	case what.wrapped:
		m.PPID, m.Data = what.ppid, what.data
		if what.first {
			a.deliverFirst(m)
		} else {
			a.deliver(m)
		}
	case what.answer != nil:
		if a.answers++; a.answers > shortAcks {
			a.fail(fmt.Errorf("%w: %d heartbeats, and our answers are not read", ErrProtocol, a.answers))
			return
		}
		a.control(what.answer)
	}
}

// deliver hands a message over. Streams do not wait for each other in SCTP, but the very first message of a side comes before all its
// others, as over every mapping: it says who the peer is.
func (a *sctpAssociation) deliver(m Message) {
	switch {
	case !a.talk.up:
		a.fail(fmt.Errorf("%w: a message before the introduction", ErrProtocol))
	case a.began:
		a.handler.Receive(m)
	default:
		if a.earlyBy += len(m.Data) + 64; a.earlyBy > sctpEarly {
			a.fail(fmt.Errorf("%w: %d bytes of messages, and the first is not among them", ErrProtocol, a.earlyBy))
			return
		}
		m.Data = bytes.Clone(m.Data)
		a.early = append(a.early, m)
	}
}

// deliverFirst hands the peer's first message over, and those that have overtaken it.
func (a *sctpAssociation) deliverFirst(m Message) {
	if a.began {
		a.fail(fmt.Errorf("%w: a second first message", ErrProtocol))
		return
	}
	a.began = true
	a.handler.Receive(m)
	for _, held := range a.early {
		if !a.ended && !a.closing {
			a.handler.Receive(held)
		}
	}
	a.early = nil
}

// notified takes a notification of the kernel.
func (a *sctpAssociation) notified(b []byte) {
	n, err := parseNotification(b)
	if err != nil {
		a.fail(err)
		return
	}
	switch n.kind {
	case notifyAssociation:
		a.associationChanged(&n)
	case notifyPath:
		a.pathChanged(n.path)
	case notifyDry:
		a.dry()
	case notifySendFailed:
		a.sent.failed(&n, a.lost != nil)
	case notifyPartial:
		a.partial = nil // the message was given up by its sender
	}
}

// dry follows the kernel's word that all is acknowledged. The word may be older than what was sent last, and if that is acknowledged by
// now, too, no other word comes.
func (a *sctpAssociation) dry() {
	news := a.sent.dry()
	if h, can := a.handler.(DryHandler); (a.ask() || news) && can && a.talk.up && !a.closing {
		h.Dry()
	}
}

// ask asks the kernel whether all is acknowledged, and reports whether that is news. Its word may not be read: while the association is
// paused nothing is.
func (a *sctpAssociation) ask() (news bool) {
	if a.ended || !a.connected || a.lost != nil || len(a.sent.contexts) == 0 || !holdsNothing(a.file.FD()) {
		return false
	}
	a.sent.told()
	return a.sent.dry()
}

// pathChanged follows a report of the kernel about a path. It also reports what is no news: that a path works, when the association
// begins.
func (a *sctpAssociation) pathChanged(at netip.AddrPort) {
	if a.mapping.PathChanged == nil || a.closing {
		return
	}
	p, err := pathStatus(a.file.FD(), at)
	if err != nil {
		return // it is not a path any more, or there is no association
	}
	was, bad := a.bad[at]
	switch {
	case p.State == PathUnconfirmed, p.State == PathActive && !bad, bad && p.State == was:
		return
	case p.State == PathActive:
		delete(a.bad, at)
	default:
		if a.bad == nil {
			a.bad = make(map[netip.AddrPort]PathState)
		}
		a.bad[at] = p.State
	}
	a.mapping.PathChanged(a, at, p.State)
}

func (a *sctpAssociation) associationChanged(n *notification) {
	switch n.state {
	case associationUp:
		a.connect()
	case associationLost:
		// What was not acknowledged follows; then the socket says why.
		if a.lost == nil {
			a.lost = fmt.Errorf("%w: the association was lost", loop.ErrReset)
		}
	case associationRefused:
		if a.lost == nil {
			a.lost = fmt.Errorf("%w: no association could be made", loop.ErrRefused)
		}
	case associationRestart:
		a.fail(fmt.Errorf("%w: the peer has begun the association anew", loop.ErrReset))
	}
}

// flushLater has flush run at the end of this turn.
func (a *sctpAssociation) flushLater() {
	if !a.flushing && !a.ended {
		a.flushing = true
		a.loop.Later(a.flushFunc)
	}
}

// flush gives the kernel what is queued, until it takes no more.
func (a *sctpAssociation) flush() {
	a.flushing = false
	if a.ended || !a.connected || !a.talk.up || a.finished {
		return
	}
	if err := a.write(); err != nil {
		if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ESHUTDOWN) { // the peer ends the association, in order or not: what comes tells
			a.lost = err
		}
		a.blocked, a.broken = true, true
		a.read() // also what the kernel gives back
		return
	}
	if a.full && a.queue.size < LowWater {
		a.full = false
		a.loop.Post(a.drainedFunc)
	}
	if a.closing && a.first == len(a.heads) {
		a.finished = true
		if err := unix.Shutdown(a.file.FD(), unix.SHUT_WR); err != nil {
			a.end(false)
		}
	}
}

// write sends messages until none is left or the kernel has no room; then the association is blocked.
func (a *sctpAssociation) write() error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	now := a.loop.Now()
	for !a.blocked && a.first < len(a.heads) {
		h := &a.heads[a.first]
		if h.late(now) {
			a.queue.wrote(h.size)
			a.first++
			continue
		}
		if !h.until.IsZero() {
			h.m.Lifetime = h.until.Sub(now)
		}
		data := a.nextData(s.out[:], h.size)
		switch errno := a.io.send(a.file.FD(), &h.m, data, a.sent.number()); errno {
		case 0:
			a.queue.wrote(h.size)
			a.sent.push(h.m.Context, h.ours)
			a.first++
		case unix.EAGAIN:
			a.blocked = true
		default:
			return sctpReason(errno)
		}
	}
	if a.first == len(a.heads) {
		a.heads, a.first, a.answers = a.heads[:0], 0, 0
	}
	return nil
}

// drained tells the handler, unless it has filled the queue again since this was posted; then it will be told again.
func (a *sctpAssociation) drained() {
	if !a.ended && !a.closing && !a.full {
		a.handler.Drained()
	}
}

// nextData is where the next message lies in the queue.
func (a *sctpAssociation) nextData(bufs [][]byte, size int) [][]byte {
	bufs = a.queue.gather(bufs)
	for i, b := range bufs {
		if len(b) >= size {
			bufs[i] = b[:size]
			return bufs[:i+1]
		}
		size -= len(b)
	}
	return bufs // longer than the list of pieces: Send does not let that happen
}
