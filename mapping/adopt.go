package mapping

import (
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// A process of several shards has to see who has called before it knows which shard is to have the association: it introduces
// itself (Introduction), looks at the first bytes of the peer without taking them (FirstMessage), and then has the shard adopt
// the connection (Adopt).

// Introduction is what an accepting side writes first of all, before the peer has said anything: our INIT.
func (TCPMapping) Introduction() []byte { return initChunk }

// FirstMessage finds the first message that is not ASAP's in p, the beginning of what the peer has written. done is false while
// more of it is needed. Where there is none, because the peer does something else first or breaks the rules, it is the zero Message.
// m.Data lies in p.
func (TCPMapping) FirstMessage(p []byte) (m Message, done bool) {
	var peer words
	for first := true; ; first = false {
		c, n, err := parseChunk(p, peer)
		switch {
		case err != nil || n > 0 && first != (c.kind == chunkInit):
			return Message{}, true
		case n == 0:
			return Message{}, false
		case first:
			peer = c.init
		case c.kind != chunkData:
			return Message{}, true
		case c.ppid != PPIDASAP:
			return Message{Stream: c.stream, PPID: c.ppid, Data: c.body, Unordered: c.unordered}, true
		}
		p = p[n:]
	}
}

// Adopt takes up an association that a peer has begun at the time since, when our Introduction was written to conn; of what the peer
// has said nothing has been taken. For accept and c see Acceptor.
func (TCPMapping) Adopt(l loop.Loop, conn loop.Conn, c Config, since time.Time, accept func(Association) Handler) loop.Handler {
	return acceptTCP(l, conn, c, since, true, accept)
}

// acceptTCP makes an association of a connection that a peer has begun.
func acceptTCP(l loop.Loop, conn loop.Conn, c Config, since time.Time, introduced bool, accept func(Association) Handler) loop.Handler {
	a := newTCPAssociation(l, c, since)
	a.conn, a.connected, a.accepted = conn, true, true
	a.pager, _ = conn.(loop.PageConn)
	if a.handler = accept(a); a.handler == nil {
		a.end(false)
		return nil
	}
	if introduced {
		a.machine.initLeft = 0
	}
	a.flushLater() // our INIT
	return a
}

// Accepted begins an association on a connection that a peer has made, which was accepted elsewhere: behind a handshake of TLS, of which
// mapping knows nothing. For accept and c see Acceptor; the time that c gives begins now.
func (TCPMapping) Accepted(l loop.Loop, conn loop.Conn, c Config, accept func(Association) Handler) loop.Handler {
	return acceptTCP(l, conn, c, l.Now(), false, accept)
}
