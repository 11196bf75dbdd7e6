package secure

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// Rules are how one side does TLS.
type Rules struct {
	Credentials *Credentials
	Allow       Allow // who may be the peer
	Refused     Refused

	// At says who may be the peer at an address that is dialled; ok is false if that is whom Allow says. nil: it always is.
	At func(to netip.AddrPort) (a Allow, ok bool)
}

// Mapping is mapping.TCPMapping in TLS. What a bare one lacks an association has: its Identity is the peer's.
type Mapping struct{ Rules }

var (
	_ mapping.Dialer   = Mapping{}
	_ mapping.Acceptor = Mapping{}
)

// Dial begins an association; see mapping.Dialer. Its DialTimeout is for the handshake, too.
func (m Mapping) Dial(l loop.Loop, to netip.AddrPort, c mapping.Config, h mapping.Handler) mapping.Association {
	return mapping.TCPMapping{}.Dial(&over{Loop: l, rules: &m.Rules}, to, c, h)
}

// Listen accepts associations; see mapping.Acceptor. The handshake may take as long as coming up, and accept is called behind it: who is not
// allowed is not seen.
func (m Mapping) Listen(l loop.Loop, at netip.AddrPort, c mapping.Config, accept func(mapping.Association) mapping.Handler) (loop.Listener, error) {
	return Listen(l, at, m.Rules, c.DialTimeout, func(conn *Conn) loop.Handler {
		return mapping.TCPMapping{}.Accepted(l, conn, c, accept)
	})
}

// over is a loop whose connections are in TLS.
type over struct {
	loop.Loop
	rules *Rules
}

// Dial connects, and shakes hands; see loop.Loop.
func (o *over) Dial(to netip.AddrPort, h loop.Handler) loop.Conn {
	allow := o.rules.Allow
	if o.rules.At != nil {
		if own, ok := o.rules.At(to); ok {
			allow = own
		}
	}
	return dial(o.Loop, to, h, &Conn{refused: o.rules.Refused}, func(c *Conn) *tls.Config { return c.config(o.rules, allow, true) })
}

// dial connects c, and shakes hands.
func dial(l loop.Loop, to netip.AddrPort, h loop.Handler, c *Conn, config func(*Conn) *tls.Config) *Conn {
	c.loop, c.wire, c.handler = l, &wire{}, h
	c.opened = c.dialled
	c.failed = func() { c.handler.Ready(loop.Hangup) }
	c.tls = tls.Client(c.wire, config(c))
	c.raw = l.Dial(to, c)
	c.wire.raw = c.raw
	return c
}

// mostShaking bounds the handshakes under way at one listener: each takes some 50 KiB. With more, who has been at it for the longest makes place:
// those who call and do not come through would keep all others out.
const mostShaking = 1024

// meeting shakes hands with those who call.
type meeting struct {
	loop    loop.Loop
	shaking *list.List // of *guest, in the order in which they came
	refused Refused
	timeout time.Duration // of a handshake; 0: none
	config  func(*Conn) *tls.Config
	ends    bool // those who call are no sidecars; see Conn.end
}

// guest is one who calls.
type guest struct {
	conn   *Conn
	gone   func() // he is on the list no more
	failed func() // it has come to nothing
}

// end gives up his handshake, or what is left of one that was refused.
func (g *guest) end(why *Refusal) {
	if g.conn.parting { // its refusal was told
		g.conn.depart(g.conn.raw.Reset)
		return
	}
	if g.conn.refused != nil {
		g.conn.refused(g.conn.raw.Remote(), why)
	}
	g.gone()
	g.failed()
	g.conn.Reset()
}

// Gate shakes hands with those who call, wherever they were accepted. It belongs to the loop's goroutine.
type Gate struct {
	meeting
	accept func(*Conn) loop.Handler
}

// listener is a Gate with an address of its own.
type listener struct {
	loop.Listener
	gate *Gate
}

var (
	errTooMany = errors.New("it has not shaken hands, and too many others would")
	errLate    = errors.New("it has not shaken hands in time")
)

// NewGate returns one whose accept is called behind each handshake; a nil Handler refuses the connection. A handshake may take as long as
// timeout; 0: for ever.
func NewGate(l loop.Loop, r Rules, timeout time.Duration, accept func(*Conn) loop.Handler) *Gate {
	return &Gate{accept: accept, meeting: meeting{loop: l, shaking: list.New(), refused: r.Refused, timeout: timeout,
		config: func(c *Conn) *tls.Config { return c.config(&r, r.Allow, false) }}}
}

// Take takes up a connection that was accepted; what it returns is its Handler, as of loop.Loop's Listen.
func (g *Gate) Take(raw loop.Conn) loop.Handler { return g.meet(raw, g.accept, func() {}) }

// Shaking is how many are shaking hands.
func (g *Gate) Shaking() int { return g.shaking.Len() }

// Close resets those who are shaking hands. Twice is harmless.
func (g *Gate) Close() { g.close() }

// Listen accepts connections in TLS. For timeout and accept see NewGate.
func Listen(l loop.Loop, at netip.AddrPort, r Rules, timeout time.Duration, accept func(*Conn) loop.Handler) (loop.Listener, error) {
	s := &listener{gate: NewGate(l, r, timeout, accept)}
	var err error
	s.Listener, err = l.Listen(at, s.gate.Take)
	return s, err
}

// meet shakes hands with one. failed is called once if that comes to nothing.
func (s *meeting) meet(raw loop.Conn, accept func(*Conn) loop.Handler, failed func()) loop.Handler {
	for s.shaking.Len() >= mostShaking {
		s.shaking.Front().Value.(*guest).end(&Refusal{Overload, errTooMany})
	}
	c := &Conn{loop: s.loop, raw: raw, wire: &wire{raw: raw}, refused: s.refused, bare: s.ends}
	g := &guest{conn: c, failed: failed}
	at := s.shaking.PushBack(g)
	g.gone = func() {
		s.shaking.Remove(at)
		s.loop.Cancel(&c.limit)
	}
	c.opened = func() {
		g.gone()
		if c.handler = accept(c); c.handler == nil {
			c.Reset()
		} else if !c.closed {
			c.handler.Ready(loop.Readable)
		}
	}
	c.failed = func() {
		s.loop.Cancel(&c.limit)
		failed()
		c.dismiss(g.gone)
	}
	c.tls = tls.Server(c.wire, s.config(c))
	if s.timeout > 0 {
		c.limit.Func = func() { g.end(&Refusal{Late, errLate}) }
		s.loop.Schedule(&c.limit, s.loop.Now().Add(s.timeout))
	}
	s.loop.Post(func() { // a Handler that has not been returned yet must not be called
		if !c.closed && c.shake == nil && !c.up && c.broken == nil {
			c.begin()
		}
	})
	return c
}

// Close stops accepting. Those who are shaking hands are reset, as those are whom the kernel has accepted and nobody else.
func (s *listener) Close() {
	s.Listener.Close()
	s.gate.Close()
}

func (s *meeting) close() {
	for s.shaking.Len() > 0 {
		c := s.shaking.Remove(s.shaking.Front()).(*guest).conn
		c.closed = false // a refused one is, towards others
		c.Reset()
	}
}
