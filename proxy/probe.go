package proxy

import (
	"errors"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// probe finds out whether a socket still listens on a server's port, which tells a death from a close: a killed process sends FIN like
// one that closes in peace, but nothing listens there any more. Where the kernel can be asked (Linux, the server in the same network
// namespace) it is; elsewhere a connect is tried, and closed.
type probe struct {
	loop   loop.Loop
	server netip.AddrPort
	kernel *kernel // nil: it cannot be asked
	local  bool    // the kernel has been seen to know the server's socket: its no means no
}

// probeTimeout is how long a connect may take. A host that does not answer in this time is dead.
const probeTimeout = time.Second

func newProbe(l loop.Loop, server netip.AddrPort, k *kernel) *probe {
	return &probe{loop: l, server: server, kernel: k}
}

// connected is called when the server has accepted a connection: something listens there, and if the kernel can see it, the kernel's answer is
// to be trusted from now on.
func (p *probe) connected() {
	if p.kernel != nil && !p.local {
		listens, err := p.kernel.listens(p.server)
		p.local = err == nil && listens
	}
}

// listening asks, and answers now or later.
func (p *probe) listening(answer func(bool)) {
	if p.kernel != nil && p.local {
		if listens, err := p.kernel.listens(p.server); err == nil {
			answer(listens)
			return
		}
	}
	t := &try{probe: p, answer: answer}
	t.limit.Func = func() { t.done(false) }
	p.loop.Schedule(&t.limit, p.loop.Now().Add(probeTimeout))
	t.conn = p.loop.Dial(p.server, t)
}

// try is one connect to see whether somebody listens.
type try struct {
	probe  *probe
	conn   loop.Conn
	limit  loop.Timer
	answer func(bool)
}

// Ready hears the outcome (loop.Handler).
func (t *try) Ready(ev loop.Event) {
	switch {
	case ev&loop.Connected != 0:
		t.done(true)
	case ev&loop.Hangup != 0:
		t.done(!errors.Is(t.conn.Err(), loop.ErrRefused))
	}
}

func (t *try) done(listens bool) {
	t.probe.loop.Cancel(&t.limit)
	t.conn.Close()
	t.answer(listens)
}
