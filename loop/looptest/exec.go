package looptest

import (
	"fmt"
	"net/netip"

	"github.com/poolproxy/poolproxy/loop"
)

var (
	_ loop.Carrier = (*conn)(nil)
	_ loop.Heir    = (*Host)(nil)
)

// Carry implements loop.Carrier. The descriptor is of use for Exec and Inherit on the same host only.
func (c *conn) Carry() (fd int, k loop.Kept, ok bool) {
	if c.closed {
		return -1, loop.Kept{}, false
	}
	h := c.host
	h.carried = append(h.carried, c)
	return len(h.carried) - 1, loop.Kept{Remote: c.remote, Connecting: c.connecting, Shut: c.out.fin, Fin: c.in.eof, Err: c.err}, true
}

// Abandon implements loop.Carrier. Here one process has its place taken by Exec, which is all there is to it.
func (c *conn) Abandon() {}

// Exec has another process take the place of the one that runs, as an upgrade does: it has the listening sockets, which it listens on
// again, and the connections that were carried (Carry), for Inherit. All others end as by Kill; timers, posted and Later functions are
// dropped, and no handler of the old process is called again. It may be called in a turn, which ends with it.
func (h *Host) Exec() {
	h.w.tracef("%s: another process takes over", h.name)
	listeners, carried := h.listeners, h.carried
	h.stop()
	h.inherited, h.carried = listeners, carried
	keep := make(map[*conn]bool)
	for _, c := range carried {
		if c != nil { // else it was inherited by the process that is replaced now
			keep[c] = true
			c.handler = nil
		}
	}
	for _, c := range h.known() {
		if c.accepted && !keep[c] {
			c.Close()
		}
	}
}

// Inherit implements loop.Heir. A descriptor less than 0 is a connection that was closed.
func (h *Host) Inherit(fd int, k loop.Kept, handler loop.Handler) (loop.Conn, error) {
	if fd < 0 {
		return &conn{host: h, remote: k.Remote, gone: true, accepted: true, closed: true, err: k.Err}, nil
	}
	if fd >= len(h.carried) || h.carried[fd] == nil {
		return nil, fmt.Errorf("looptest: no descriptor %d on %s", fd, h.name)
	}
	c := h.carried[fd]
	h.carried[fd] = nil
	c.handler, c.queued, c.told = handler, false, false
	if !c.connecting {
		c.pending |= loop.Readable | loop.Writable
	}
	if c.pending != 0 {
		h.ready(c)
	}
	return c, nil
}

// inherit returns the listener of the process before this one.
func (h *Host) inherit(at netip.AddrPort, accept func(loop.Conn) loop.Handler) *listener {
	l := h.inherited[at]
	if l == nil {
		return nil
	}
	delete(h.inherited, at)
	l.accept = accept
	h.listeners[at] = l
	for _, c := range h.socks {
		if c.listener == l && !c.accepted {
			c.queued = false
			h.ready(c)
		}
	}
	return l
}
