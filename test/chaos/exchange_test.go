//go:build linux

package chaos

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// exchange is the switch between the hosts of a world, in user space: it reads each host's packets and writes them to the host that they
// are for. So a cable is cut, delayed or made to lose packets by a word in memory, for a whole host or for one port of it, and the
// kernels at both ends notice nothing but silence.
type exchange struct {
	hosts   map[netip.Addr]*host // complete before the first packet that matters; guarded by mu all the same
	mu      sync.RWMutex
	faults  []*fault
	flows   flows
	carried atomic.Int64 // packets
	dropped atomic.Int64
	reading sync.WaitGroup // carry, one for each host
}

// fault is what happens to some of the packets.
type fault struct {
	host  netip.Addr    // of this host
	port  uint16        // at this port of it; 0: all
	from  bool          // those that come from it
	to    bool          // those that go to it
	lose  float64       // which share is lost, 0 to 1
	delay time.Duration // how long the others take

	mu  sync.Mutex
	met map[uint16]int // how many packets were lost or late, by the host's port
}

// hits reports whether a packet is concerned, and at which port of the host.
func (f *fault) hits(p *packet) (port uint16, hit bool) {
	if f.from && p.from.Addr() == f.host && (f.port == 0 || p.from.Port() == f.port) {
		return p.from.Port(), true
	}
	return p.to.Port(), f.to && p.to.Addr() == f.host && (f.port == 0 || p.to.Port() == f.port)
}

// note counts a packet that was lost or late.
func (f *fault) note(port uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.met == nil {
		f.met = make(map[uint16]int)
	}
	f.met[port]++
}

// packets is how many have been lost or late at a port of the host.
func (f *fault) packets(port uint16) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met[port]
}

func newExchange() *exchange {
	return &exchange{hosts: map[netip.Addr]*host{}, flows: flows{known: map[direction]*position{}}}
}

// plug connects a host, whose packets are read until its device is closed.
func (x *exchange) plug(h *host) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hosts[h.address] = h
	x.reading.Add(1)
	go x.carry(h)
}

// carry is the cable of one host. It ends when the host's device is closed; exchange.wait waits for it.
func (x *exchange) carry(h *host) {
	defer x.reading.Done()
	buffer := make([]byte, 1<<16)
	for {
		n, err := h.tun.Read(buffer)
		if err != nil {
			return
		}
		if p, ok := parse(buffer[:n]); ok {
			x.forward(p)
		}
	}
}

// wait returns when no cable is left. All hosts have been closed before.
func (x *exchange) wait() { x.reading.Wait() }

// forward takes a packet to where it goes, unless a fault has it otherwise.
func (x *exchange) forward(p *packet) {
	x.carried.Add(1)
	x.mu.RLock()
	to, delay, lost := x.hosts[p.to.Addr()], time.Duration(0), false
	for _, f := range x.faults {
		port, hit := f.hits(p)
		if !hit {
			continue
		}
		loses := f.lose > 0 && rand.Float64() < f.lose
		if loses || f.delay > 0 {
			f.note(port)
		}
		delay, lost = max(delay, f.delay), lost || loses
	}
	x.mu.RUnlock()
	if to == nil || lost {
		x.dropped.Add(1)
		return
	}
	if reply := x.flows.see(p); reply != nil {
		x.inject(reply...)
		return
	}
	if delay == 0 {
		_, _ = to.tun.Write(p.bytes) // a full queue, or a host that ends: as with any cable
		return
	}
	bytes := append([]byte(nil), p.bytes...)
	time.AfterFunc(delay, func() { _, _ = to.tun.Write(bytes) })
}

// inject writes packets that no host has sent.
func (x *exchange) inject(packets ...[]byte) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, bytes := range packets {
		if p, ok := parse(bytes); ok && x.hosts[p.to.Addr()] != nil {
			_, _ = x.hosts[p.to.Addr()].tun.Write(bytes)
		}
	}
}

// disturb puts a fault on the wire; the function that it returns takes it away.
func (x *exchange) disturb(f *fault) (undo func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.faults = append(x.faults, f)
	return func() { x.heal(f) }
}

func (x *exchange) heal(gone *fault) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var left []*fault
	for _, f := range x.faults {
		if f != gone {
			left = append(left, f)
		}
	}
	x.faults = left
}

// reset aborts the connections with a port of a host, as something on the way that injects RSTs would: both ends get one. It returns
// how many there were.
func (x *exchange) reset(at netip.AddrPort) int {
	packets, n := x.flows.reset(at)
	x.inject(packets...)
	return n
}
