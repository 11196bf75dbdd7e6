package mapping

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/poolproxy/poolproxy/loop"
)

// scratch is memory that one association needs while it reads or writes, and none while it does not.
type scratch struct {
	in  [256 << 10]byte
	out [64][]byte
}

// scratches hands them out: one for each loop that runs, in practice.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

// turnBytes is how much one association reads in one turn before the others have theirs.
const turnBytes = 256 << 10

// read takes what has arrived, up to the share of one turn, and hands the messages over. A chunk whose rest is missing is kept.
// After a silence in which a peer that began the association must have given us up nothing is taken: it may have gone on elsewhere.
// A short read ends it: what follows is told by another event (see loop.Handler), unless the connection has failed.
func (a *tcpAssociation) read() {
	if a.ended || a.resting || a.starved {
		return
	}
	if now := a.loop.Now(); a.accepted && a.machine.up && a.machine.watch.Overdue(now) {
		a.fail(fmt.Errorf("%w: nothing was read for %v, this process stood still", ErrSilent, a.machine.watch.Silence(now)))
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	have := a.unkeep(s.in[:])
	for total := 0; ; {
		n, short, err := 0, false, error(nil)
		if a.intake.data != nil {
			n, have, err = a.readPages(s.in[:])
		} else {
			n, short, err = a.readSome(s.in[:], have)
			have += n
		}
		if err != nil {
			a.keep(s.in[:have])
			a.readEnded(err, have > 0 || a.intake.data != nil)
			return
		}
		used := a.consume(s.in[:have])
		if a.ended {
			return
		}
		have = copy(s.in[:], s.in[used:have])
		if a.beginPages(s.in[:have]) {
			have = 0
		}
		total += n
		a.starved = a.machine.choked() && a.failure == nil
		drained := short && a.failure == nil
		if a.starved || drained || total >= turnBytes {
			a.keep(s.in[:have])
			a.oweAck()
			if !a.starved && !drained {
				a.readSoon()
			}
			return
		}
	}
}

// readSoon has read run in a coming turn; other associations get theirs first.
func (a *tcpAssociation) readSoon() {
	a.resting = true
	a.loop.Post(a.readFunc)
}

// hungUp is told why the connection has failed. What arrived before still counts: the association goes down when it is read.
func (a *tcpAssociation) hungUp(why error) {
	if why == nil {
		why = loop.ErrReset
	}
	a.failure, a.starved = why, false
	a.read()
}

// readAgain comes back to what a turn has left.
func (a *tcpAssociation) readAgain() {
	a.resting = false
	a.read()
}

// readEnded takes the error of a Read.
func (a *tcpAssociation) readEnded(err error, midChunk bool) {
	switch {
	case errors.Is(err, loop.ErrAgain) && a.failure == nil:
		a.oweAck()
	case errors.Is(err, loop.ErrAgain):
		a.fail(a.failure)
	case errors.Is(err, io.EOF) && midChunk:
		a.fail(fmt.Errorf("the peer closed it in the middle of a chunk: %w", err))
	case errors.Is(err, io.EOF):
		a.fail(fmt.Errorf("the peer closed it: %w", err))
	default:
		a.fail(err)
	}
}

// consume feeds the machine and returns how many bytes of b are done with. It stops at once when a handler has closed the
// association; after Close everything that comes is thrown away, save the peer's INIT.
func (a *tcpAssociation) consume(b []byte) int {
	now := a.loop.Now()
	for used := 0; ; {
		if a.closing && a.machine.up {
			return len(b)
		}
		ev, n, err := a.machine.read(now, b[used:])
		if err != nil {
			a.fail(err)
			return used
		}
		if n == 0 {
			return used
		}
		used += n
		switch ev.kind {
		case eventUp:
			a.cameUp()
		case eventMessage:
			a.noteData(&ev.message)
			a.handler.Receive(ev.message)
		}
		if a.ended {
			return used
		}
	}
}

// oweAck sees to it that an ACK goes out in time: with the flush that is coming, at once if much was delivered, or by the timer.
// The timer is not disarmed when an ACK has found company; it then fires for nothing, once.
func (a *tcpAssociation) oweAck() {
	m := &a.machine
	if m.queue.size > 0 && !a.blocked {
		a.flushLater() // answers to heartbeats
	}
	switch {
	case m.owed == 0 || a.flushing || a.ended || a.closing:
	case m.owedBy >= ackAtOnce:
		a.flushLater()
	case !a.ackTimer.Armed():
		a.loop.Schedule(&a.ackTimer, a.loop.Now().Add(ackDelay))
	}
}

// keep puts the beginning of a chunk aside until the next read; with nothing to keep it frees the memory.
func (a *tcpAssociation) keep(p []byte) {
	if a.partial != nil {
		a.partial.Drop()
		a.partial = nil
	}
	a.partLen = 0
	if len(p) > 0 && !a.ended {
		a.partial = a.loop.Buffers().Get(len(p))
		a.partLen = copy(a.partial.Bytes, p)
	}
}

// unkeep copies what was kept to the beginning of into, and returns its length.
func (a *tcpAssociation) unkeep(into []byte) int {
	if a.partial == nil {
		return 0
	}
	n := copy(into, a.partial.Bytes[:a.partLen])
	a.keep(nil)
	return n
}

// flushLater has flush run at the end of this turn.
func (a *tcpAssociation) flushLater() {
	if !a.flushing && !a.ended {
		a.flushing = true
		a.loop.Later(a.flushFunc)
	}
}

// flush writes what is queued, and the ACKs that are owed, until the connection takes no more.
func (a *tcpAssociation) flush() {
	a.flushing = false
	if a.ended || !a.connected || a.blocked || a.finished {
		return
	}
	if err := a.write(); err != nil {
		a.hungUp(err)
		return
	}
	if n := a.machine.sent.len(); n > maxUnacked {
		a.fail(fmt.Errorf("%w: %d messages are not acknowledged", ErrProtocol, n))
		return
	}
	if a.full && a.machine.queue.size < LowWater {
		a.full = false
		// In a coming turn: a sender that can always fill the queue again would otherwise never let this turn end.
		a.loop.Post(a.drainedFunc)
	}
	if a.starved && !a.machine.choked() {
		a.starved = false
		a.readSoon()
	}
	if a.closing && a.machine.up && a.machine.queue.size == 0 {
		a.finish()
	}
}

// write gives the connection bytes until all are written or it takes no more; then it is blocked. Other errors are fatal.
func (a *tcpAssociation) write() error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for {
		if !a.closing {
			a.machine.acknowledge()
		}
		bufs := a.machine.gather(s.out[:])
		n, err := 0, error(nil)
		switch pages := a.nextPages(len(bufs)); {
		case pages && len(bufs) == 0:
			n, err = a.writePages()
		case len(bufs) == 0:
			return nil
		case pages:
			n, err = a.pager.WriteMore(bufs...)
		default:
			n, err = a.conn.Write(bufs...)
		}
		a.machine.wrote(n)
		clear(bufs)
		switch {
		case errors.Is(err, loop.ErrAgain):
			a.blocked = true
			return nil
		case err != nil:
			return err
		}
	}
}

// finish sends our end, behind everything that was queued; the association ends when the peer's has come.
func (a *tcpAssociation) finish() {
	a.finished = true
	if err := a.conn.CloseWrite(); err != nil {
		a.end(false)
	}
}
