package looptest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// maxLag bounds how late a turn comes that the seed makes come late: so that more than one event meets in it.
const maxLag = 50 * time.Microsecond

// firstPort is where local ports of outgoing connections begin.
const firstPort = 32768

// Host is a kernel and the one process on it. It implements loop.Loop for that process.
type Host struct {
	w     *World
	id    int
	name  string
	addr  netip.Addr
	paths []*path // to the host with the number of the index; nil: as by default

	running  bool // the process lives
	frozen   bool // it lives, but gets no turns
	vanished bool // the whole host is gone
	life     int  // counts ends of the process: a turn stops when its process has ended
	lost     []*pipe
	rate     int64 // by how many parts in a million its clock is fast

	socks     []*conn // all that the kernel or the process still knows
	listeners map[netip.AddrPort]*listener
	inherited map[netip.AddrPort]*listener // of the process before this one, behind Exec
	carried   []*conn                      // by their descriptors: see Carry
	nextPort  uint16
	pool      *loop.Pool

	turn     event
	inTurn   bool
	runnable queue[*conn]
	due      queue[*alarm]
	posted   queue[func()]
	later    queue[func()]
	alarms   map[*loop.Timer]*alarm
	spare    []*alarm
}

func newHost(w *World, id int, name string, addr netip.Addr) *Host {
	h := &Host{w: w, id: id, name: name, addr: addr, nextPort: firstPort, running: true}
	h.turn.owner = h
	h.stop()
	return h
}

// Name is the name that World.Host was asked for.
func (h *Host) Name() string { return h.name }

// Addr is the host's address, 10.0.0.N, with a port. The host also answers itself at 127.0.0.0/8.
func (h *Host) Addr(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.addr, port) }

// Conns counts the connections that the process has open: dialled or accepted, and neither closed nor reset by the process.
func (h *Host) Conns() int {
	n := 0
	for _, c := range h.socks {
		if c.accepted && !c.closed {
			n++
		}
	}
	return n
}

// Sockets counts the connections that the kernel has not done with, those included that the process has closed or not yet
// accepted. One whose peer's RST was lost (see World.Stall, Vanish) and that waits for nothing stays until it is reset or has
// something to send.
func (h *Host) Sockets() int {
	n := 0
	for _, c := range h.socks {
		if !c.gone {
			n++
		}
	}
	return n
}

// Timers counts the armed timers.
func (h *Host) Timers() int { return len(h.alarms) }

// Now implements loop.Loop. It is the host's own clock: see Drift.
func (h *Host) Now() time.Time { return begin.Add(time.Duration(h.clock(h.w.now))) }

// Drift has the host's clock go fast by ppm parts in a million, or slow where that is negative. It is called before the host does
// anything. The world and all other hosts are not affected; a time that the world tells is not one for Schedule then.
func (h *Host) Drift(ppm int) { h.rate = int64(ppm) }

const million = 1_000_000

// clock is what the host's clock shows at a time of the world's.
func (h *Host) clock(now int64) int64 {
	speed := million + h.rate
	return now/million*speed + now%million*speed/million
}

// when is the first time of the world's at which the host's clock shows at, or more.
func (h *Host) when(at int64) int64 {
	speed := million + h.rate
	at = min(at, 1<<60)
	return at/speed*million + (at%speed*million+speed-1)/speed
}

// Buffers implements loop.Loop. After a Kill the process that Restart begins has a new pool.
func (h *Host) Buffers() *loop.Pool { return h.pool }

// Post implements loop.Loop, except that only the world's goroutine may call it.
func (h *Host) Post(f func()) bool {
	if !h.running {
		return false
	}
	h.posted.push(f)
	h.wake(0)
	return true
}

// Later implements loop.Loop. Called outside a turn it causes one.
func (h *Host) Later(f func()) {
	if !h.running {
		return
	}
	h.later.push(f)
	if !h.inTurn {
		h.wake(0)
	}
}

// Listen implements loop.Loop. The address is the host's own, a loopback one, or unspecified; port 0 is replaced by a free one.
func (h *Host) Listen(at netip.AddrPort, accept func(loop.Conn) loop.Handler) (loop.Listener, error) {
	a := at.Addr()
	if !h.running {
		return nil, fmt.Errorf("looptest: listen at %s on %s: %w", at, h.name, loop.ErrClosed)
	}
	if a != h.addr && !a.IsLoopback() && !a.IsUnspecified() {
		return nil, fmt.Errorf("looptest: listen at %s: %s is not an address of host %s", at, a, h.name)
	}
	if at.Port() == 0 {
		at = netip.AddrPortFrom(a, h.freePort())
	}
	if l := h.inherit(at, accept); l != nil {
		return l, nil
	}
	if h.listeners[at] != nil {
		return nil, fmt.Errorf("looptest: listen at %s: address already in use", at)
	}
	l := &listener{host: h, at: at, accept: accept}
	h.listeners[at] = l
	return l, nil
}

// freePort gives ports in turn. They repeat after 32768 of them, which no schedule reaches.
func (h *Host) freePort() uint16 {
	p := h.nextPort
	h.nextPort++
	if h.nextPort < firstPort {
		h.nextPort = firstPort
	}
	return p
}

// listening finds who accepts connections to that address.
func (h *Host) listening(to netip.AddrPort) *listener {
	if l := h.listeners[to]; l != nil {
		return l
	}
	if l := h.listeners[netip.AddrPortFrom(netip.IPv4Unspecified(), to.Port())]; l != nil {
		return l
	}
	return h.listeners[netip.AddrPortFrom(netip.IPv6Unspecified(), to.Port())]
}

type listener struct {
	host   *Host
	at     netip.AddrPort
	accept func(loop.Conn) loop.Handler
	closed bool
}

func (l *listener) Addr() netip.AddrPort { return l.at }

// Close resets the connections that were not accepted yet, as Linux does.
func (l *listener) Close() {
	if l.closed {
		return
	}
	l.closed = true
	delete(l.host.listeners, l.at)
	for _, c := range l.host.known() {
		if c.listener == l && !c.accepted {
			c.Reset()
		}
	}
}
