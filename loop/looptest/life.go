package looptest

import (
	"net/netip"
	"slices"

	"github.com/poolproxy/poolproxy/loop"
)

// Kill is kill -9. The kernel ends the process's connections: with RST where bytes lay unread in the receive buffer, else with
// FIN behind the bytes that were written. Listeners, timers, posted and Later functions are dropped; no handler is called
// again. The process may kill itself in a handler: the calls it still makes before it returns have no effect.
func (h *Host) Kill() {
	if !h.running {
		return
	}
	h.w.tracef("%s: killed", h.name)
	h.stop()
	h.running = false
	for _, c := range h.known() {
		if c.accepted {
			c.Close()
		} else {
			c.Reset()
		}
	}
}

// Vanish takes the host off the world, as a power failure does: nothing is sent any more, neither FIN nor RST; its peers only hear
// silence. What is on the way from it still arrives.
func (h *Host) Vanish() {
	if h.vanished {
		return
	}
	h.w.tracef("%s: vanished", h.name)
	h.stop()
	h.running, h.vanished = false, true
	for _, c := range h.known() {
		c.closed, c.handler, c.aborted = true, nil, true
		c.leave()
	}
}

// Restart makes a host usable again after Kill or Vanish, with no listeners, connections or timers; one that runs is killed
// first. A host that had vanished knows nothing of its old connections: what peers still try to send on them is answered by
// RST.
func (h *Host) Restart() {
	h.Kill()
	h.w.tracef("%s: restarted", h.name)
	h.running, h.vanished = true, false
	lost := h.lost
	h.lost = nil
	for _, p := range lost {
		p.resend()
	}
	for _, other := range h.w.hosts {
		other.probe(h)
	}
}

// Freeze is SIGSTOP: the kernel takes bytes up to the receive buffer and acknowledges them, completes connections to listeners, but
// handlers do not run and timers are late, until Thaw. A handler that freezes its own host is finished, not the turn.
func (h *Host) Freeze() {
	if !h.running || h.frozen {
		return
	}
	h.w.tracef("%s: frozen", h.name)
	h.frozen = true
	h.w.events.remove(&h.turn)
}

// Thaw is SIGCONT.
func (h *Host) Thaw() {
	if !h.frozen {
		return
	}
	h.w.tracef("%s: thawed", h.name)
	h.frozen = false
	if h.runnable.len()+h.due.len()+h.posted.len()+h.later.len() > 0 {
		h.wake(0)
	}
}

// stop drops all that belongs to the process except its connections.
func (h *Host) stop() {
	h.life++
	h.frozen = false
	h.w.events.remove(&h.turn)
	for t, a := range h.alarms { // in any order: removing them is all that is done
		a.timers.Cancel(t)
		h.w.events.remove(&a.event)
	}
	h.alarms = make(map[*loop.Timer]*alarm)
	h.listeners = make(map[netip.AddrPort]*listener)
	h.inherited, h.carried = nil, nil
	h.spare = nil
	h.runnable.clear()
	h.due.clear()
	h.posted.clear()
	h.later.clear()
	h.pool = new(loop.Pool)
}

// known is a copy of the list of connections, for loops that change it.
func (h *Host) known() []*conn { return slices.Clone(h.socks) }
