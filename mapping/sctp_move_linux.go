package mapping

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/loop"
)

// A process of several shards has to see who has called before it knows which shard is to have an association. Over SCTP nothing can be
// looked at without taking it: the kernel shows one message, and the introduction comes before the one that tells. So the association
// begins on the loop that has accepted it; from within Receive of its first message it leaves that loop (Leave), and the shard that is
// to have it adopts it with what was read (Adopt).

// SCTPMoved is an association that belongs to no loop: it must be adopted, or dropped. Until then it may be passed between goroutines.
type SCTPMoved struct {
	fd    int
	left  *sctpAssociation // of what it was, that which another loop needs
	first Message
}

// Leave takes an association off its loop, from within Receive of m, the first message, if nothing was sent on it. Its Handler hears
// nothing more. Where ok is false it has ended.
func (SCTPMapping) Leave(of Association, m Message) (moved SCTPMoved, ok bool) {
	a := of.(*sctpAssociation)
	a.flush() // a heartbeat may wait
	if a.ended || a.spoke || a.first < len(a.heads) {
		a.Abort()
		return SCTPMoved{}, false
	}
	a.Local() // may still be asked for
	m.Data = bytes.Clone(m.Data)
	a.ended = true
	a.loop.Cancel(&a.timer)
	a.queue.release()
	return SCTPMoved{fd: a.file.Leave(), left: &sctpAssociation{talk: a.talk, sent: a.sent, lost: a.lost, remote: a.remote, local: a.local,
		longest: a.longest, streams: a.streams, bad: a.bad, early: a.early, earlyBy: a.earlyBy}, first: m}, true
}

// Drop ends it; the peer sees an ABORT.
func (m SCTPMoved) Drop() {
	_ = unix.SetsockoptLinger(m.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // as in end
	unix.Close(m.fd)
}

// Adopt makes an association l's. Its Handler, for which see Acceptor, hears Up, then the first message, then what follows.
func (s SCTPMapping) Adopt(l loop.Loop, m SCTPMoved, c Config, accept func(Association) Handler) {
	a, was := newSCTPAssociation(l, s, c), m.left
	a.accepted, a.connected = true, true
	a.talk, a.sent, a.lost = was.talk, was.sent, was.lost
	a.remote, a.local, a.longest, a.streams, a.bad = was.remote, was.local, was.longest, was.streams, was.bad
	a.early, a.earlyBy = was.early, was.earlyBy
	if err := a.watch(m.fd); err != nil { // no memory for one more in the epoll
		a.end(false)
		m.Drop()
		return
	}
	if a.handler = accept(a); a.handler == nil {
		a.end(false)
		return
	}
	a.cameUp()
	if !a.ended && !a.closing {
		a.deliverFirst(m.first)
	}
}
