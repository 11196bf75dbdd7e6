package loop

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Goroutines is the Loop of systems without epoll, and of connections that are not bare sockets (TLS): two goroutines a
// connection and one a listener wait in Go's net package and report to the loop through its mailbox. It is slower than
// Epoll and keeps 128 KiB a connection, but it says the same in the same order.
type Goroutines struct {
	core
	woken chan struct{} // holds one token when the loop is to stop waiting
	timer *time.Timer

	ctx     context.Context // ends when the loop ends: a dial is given up
	cancel  context.CancelFunc
	running sync.WaitGroup // every goroutine of the loop

	// What is open. Loop's goroutine only.
	conns     map[*goConn]struct{}
	listeners map[*goListener]struct{}
}

var _ Runner = (*Goroutines)(nil)

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 10 * time.Second, Count: 6}

// NewGoroutines makes a Goroutines. It holds nothing of the system's yet.
func NewGoroutines() *Goroutines {
	g := &Goroutines{
		woken:     make(chan struct{}, 1),
		timer:     time.NewTimer(time.Hour),
		conns:     make(map[*goConn]struct{}),
		listeners: make(map[*goListener]struct{}),
	}
	g.timer.Stop()
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.start(g.wake, g.closeAll)
	return g
}

// Run turns the loop until Stop; see Runner.
func (g *Goroutines) Run() { g.run(g.turn) }

func (g *Goroutines) turn() {
	g.wait()
	g.now = time.Now()
	g.mail.run() // before the timers: readiness comes by mail, too
	g.timers.Fire(g.now)
	g.later.run()
}

// wait returns when there is mail, when a timer is due, or when there is work left from outside a turn.
func (g *Goroutines) wait() {
	if len(g.later.next) > 0 || g.stopping.Load() {
		return
	}
	var due <-chan time.Time
	if d, ok := g.timeout(); ok {
		g.timer.Reset(d)
		due = g.timer.C
	}
	if !g.mail.sleep() {
		return
	}
	select {
	case <-g.woken:
	case <-due:
	}
	g.mail.awake()
}

func (g *Goroutines) wake() {
	select {
	case g.woken <- struct{}{}:
	default: // there is a token already
	}
}

// Adopt brings a connection into the loop, which owns it from now on. It may be any net.Conn whose Read and Write may run at the
// same time and which heeds SetWriteDeadline and Close. Readiness is told from the next turn on. A conn that cannot half-close
// (it has no CloseWrite method) sends our end when it is closed; one that cannot be reset (no SetLinger) is closed instead.
func (g *Goroutines) Adopt(nc net.Conn, h Handler) Conn {
	c := g.newConn(h, addrPort(nc.RemoteAddr()))
	if g.over {
		nc.Close()
		return c
	}
	c.attach(nc)
	g.running.Add(2)
	go c.readAll()
	go c.writeAll()
	return c
}

// Dial begins to connect; see Loop.
func (g *Goroutines) Dial(to netip.AddrPort, h Handler) Conn {
	c := g.newConn(h, to)
	if g.over {
		return c
	}
	ctx, cancel := context.WithCancel(g.ctx)
	c.giveUp = cancel
	g.running.Add(1)
	go c.dial(ctx)
	return c
}

// drainTime is how long, after Close or Stop, written bytes may take to reach the transport.
const drainTime = 5 * time.Second

// closeAll ends every conn in order, and waits for every goroutine.
func (g *Goroutines) closeAll() {
	for l := range g.listeners {
		l.Close()
	}
	for c := range g.conns {
		c.Close()
	}
	g.cancel()
	g.running.Wait()
}

// addrPort is the address of a TCP end; the zero AddrPort if it is something else.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
