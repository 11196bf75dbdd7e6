package proxy

import (
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// probe finds out whether a socket still listens on a server's port, which tells a death from a close: a killed process sends
// FIN like one that closes in peace, but nothing listens there any more. Where the kernel can be asked (Linux, the server in
// the same network namespace) it is; elsewhere a connect is tried, and closed.
//
// A dying process closes its newest descriptors first: its connections may end long before its listening socket. Where the
// process can be seen, it is looked at (see owners). Where it cannot, a no counts at once, and a yes only when the server's
// connections have been quiet for settled; those who ask in between are answered together.
type probe struct {
	loop   loop.Loop
	server netip.AddrPort
	kernel *kernel // nil: it cannot be asked
	local  bool    // the kernel has been seen to know the server's socket: its no means no

	asking []func(bool) // to be answered
	since  time.Time    // when the first of them asked
	later  bool         // first will run at the end of this turn
	timer  loop.Timer
	try    *try // the connect that is going on
}

const (
	// settled is how long no connection of the server may have ended before it is believed to live, and settledAtLast bounds the
	// wait where connections end all the time (measured: see docs/architecture.md).
	settled       = 20 * time.Millisecond
	settledAtLast = 200 * time.Millisecond

	// probeTimeout is how long a connect may take. A host that does not answer in this time is dead.
	probeTimeout = time.Second
)

func newProbe(l loop.Loop, server netip.AddrPort, k *kernel) *probe {
	p := &probe{loop: l, server: server, kernel: k}
	p.timer.Func = p.ask
	return p
}

// connected is called when the server has accepted a connection: something listens there, and if the kernel can see it, the
// kernel's answer is to be trusted from now on.
func (p *probe) connected() {
	if p.kernel != nil && !p.local {
		life, err := p.kernel.listens(p.server)
		p.local = err == nil && life != absent
	}
}

// listening asks whether the server, one of whose connections has just ended, still listens. Those who ask in one turn are
// answered together.
func (p *probe) listening(answer func(bool)) {
	p.asking = append(p.asking, answer)
	if len(p.asking) == 1 {
		p.since = p.loop.Now()
	}
	if !p.later {
		p.later = true
		p.loop.Later(p.first)
	}
}

// first asks the kernel at the end of the turn, and where its yes cannot be trusted yet, waits.
func (p *probe) first() {
	p.later = false
	if len(p.asking) == 0 {
		return
	}
	if life, ok := p.askKernel(); ok && life != present {
		p.answer(life == held)
		return
	}
	if p.try == nil {
		now := p.loop.Now()
		p.loop.Schedule(&p.timer, now.Add(min(settled, p.since.Add(settledAtLast).Sub(now))))
	}
}

// askKernel reports what the kernel knows; ok is false where it cannot be asked.
func (p *probe) askKernel() (l life, ok bool) {
	if p.kernel == nil || !p.local {
		return absent, false
	}
	l, err := p.kernel.listens(p.server)
	return l, err == nil
}

// ask runs when the server's connections have been quiet.
func (p *probe) ask() {
	if life, ok := p.askKernel(); ok {
		p.answer(life != absent)
		return
	}
	t := &try{probe: p, asked: len(p.asking)}
	p.try = t
	t.limit.Func = func() { t.done(false) }
	p.loop.Schedule(&t.limit, p.loop.Now().Add(probeTimeout))
	t.conn = p.loop.Dial(p.server, t)
}

func (p *probe) answer(listens bool) {
	p.loop.Cancel(&p.timer)
	asking := p.asking
	p.asking = nil
	for _, answer := range asking {
		answer(listens)
	}
}

// close forgets those who ask. Nothing is called afterwards.
func (p *probe) close() {
	p.asking = nil
	p.loop.Cancel(&p.timer)
	if p.try != nil {
		p.loop.Cancel(&p.try.limit)
		p.try.conn.Close()
		p.try = nil
	}
}

// try is one connect to see whether somebody listens.
type try struct {
	probe *probe
	asked int // so many had asked before it began: a yes is for them only
	conn  loop.Conn
	limit loop.Timer
}

// Ready hears the outcome (loop.Handler).
func (t *try) Ready(ev loop.Event) {
	switch {
	case ev&loop.Connected != 0:
		t.done(true)
	case ev&loop.Hangup != 0:
		t.done(false)
	}
}

func (t *try) done(listens bool) {
	t.probe.loop.Cancel(&t.limit)
	t.conn.Close()
	t.probe.try = nil
	if p := t.probe; listens && t.asked < len(p.asking) {
		after := p.asking[t.asked:]
		p.asking = p.asking[:t.asked]
		p.answer(true)
		for _, answer := range after {
			p.listening(answer)
		}
		return
	}
	t.probe.answer(listens)
}
