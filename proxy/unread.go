package proxy

import (
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/session"
)

// unread asks how many of the bytes written to a server's socket its process has not read (session.ElementConfig.Unread).
func (e *elementSide) unread(s session.Socket) (n int, ok bool) {
	c, ours := s.(*serverSocket)
	if !ours {
		return 0, false
	}
	n, ok, err := c.unread(e.shard.kernel)
	if err != nil && !e.shard.blind {
		e.shard.blind = true
		e.shard.log.Warn("the kernel cannot be asked what a server has read: ack = \"read\" may fall back to \"delivered\"",
			"pool_element", e.name, "error", err)
	}
	return n, ok
}

// unread is never less than what is unread: our kernel's own queue is asked first, for what the server's has not acknowledged,
// then the receive queue of the server's socket. Bytes only ever move from the first to the second to the process, so one that
// moves between the two questions is counted twice, never missed. Too much is counted, too, while an acknowledgement is on its
// way or delayed: Linux delays one by 40 ms, at most 200, if the server has read a small request and not answered yet.
//
// A FIN of ours counts as one in either queue until it has been read, which is after all else. ok is false where it cannot be known.
// An error means that the kernel could not be asked, which it should be.
//
// In TLS it is asked of the transport. Where something is unread there may be a record that has been read in part: nobody knows anything of
// that one, so all of it counts.
func (c *serverSocket) unread(k *kernel) (n int, ok bool, err error) {
	inTLS, is := c.bare().(*secure.Conn)
	if !is {
		return c.unreadAt(c.bare(), k)
	}
	n, ok, err = c.unreadAt(inTLS.Transport(), k)
	if n += inTLS.Waiting(); n > 0 {
		n += secure.Record
	}
	return n, ok, err
}

func (c *serverSocket) unreadAt(conn loop.Conn, k *kernel) (n int, ok bool, err error) {
	if own, knows := conn.(loop.Unread); knows {
		n, ok = own.Unread()
		return n, ok, nil
	}
	own, knows := conn.(loop.Acknowledged)
	if !knows || k == nil {
		return 0, false, nil
	}
	n, failed := own.Unacknowledged()
	if failed != nil {
		return 0, false, nil // the connection is not up, of which others tell
	}
	queued, ok, err := k.queued(c.Local(), c.Remote())
	if !ok {
		return 0, false, err
	}
	if n += queued; n > 0 && c.finished && !c.owes() {
		n--
	}
	return n, true, nil
}

// CloseWrite sends the end of our bytes (session.Socket).
func (c *serverSocket) CloseWrite() error {
	err := c.local.CloseWrite()
	c.finished = c.finished || err == nil
	return err
}
