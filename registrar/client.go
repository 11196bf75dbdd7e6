package registrar

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// client runs the rules on a loop, over associations. It belongs to the loop's goroutine.
type client struct {
	loop     loop.Loop
	c        Config
	rules    *rules
	timer    loop.Timer
	listener loop.Listener // nil: registrars cannot begin associations
}

func newClient(l loop.Loop, c Config) *client {
	cl := &client{loop: l, c: c}
	cl.rules = newRules(c, cl.dial, cl.listen)
	cl.timer.Func = func() { cl.do(cl.rules.due) }
	return cl
}

// do hands the rules an event.
func (c *client) do(event func(now time.Time)) {
	event(c.loop.Now())
	if at := c.rules.next(); at.IsZero() {
		c.loop.Cancel(&c.timer)
	} else {
		c.loop.Schedule(&c.timer, at)
	}
}

// stop ends everything.
func (c *client) stop() {
	c.rules.stop()
	c.loop.Cancel(&c.timer)
	if c.listener != nil {
		c.listener.Close()
		c.listener = nil
	}
}

// association is how registrars' associations are watched.
func (c *client) association() mapping.Config {
	return mapping.Config{Heartbeat: c.c.Heartbeat, DialTimeout: max(c.c.Times.Most, c.c.Times.T5)}
}

func (c *client) dial(l *link) wire {
	var from netip.AddrPort
	if c.listener != nil {
		from = netip.AddrPortFrom(c.c.Listen.Addr(), c.listener.Addr().Port())
		if !from.Addr().IsValid() {
			from = netip.AddrPortFrom(anyAddress(l.remote), from.Port())
		}
	}
	t := &talk{client: c, link: l}
	t.association = c.c.Transport.Dial(c.loop, l.remote, from, c.association(), t)
	return t
}

// anyAddress is the wildcard for those who reach a peer.
func anyAddress(peer netip.AddrPort) netip.Addr {
	if peer.Addr().Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// listen begins to listen, if it does not yet. fresh: it has just begun.
func (c *client) listen() (fresh bool, err error) {
	if c.listener != nil {
		return false, nil
	}
	at := c.c.Listen
	if !at.Addr().IsValid() {
		at = netip.AddrPortFrom(anyAddress(c.c.Registrars[0]), at.Port())
		for _, to := range c.c.Registrars {
			if to.Addr().Is6() {
				at = netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())
			}
		}
	}
	c.listener, err = c.c.Transport.Listen(c.loop, at, c.association(), c.accept)
	if err != nil {
		c.listener = nil
		return false, fmt.Errorf("registrar: elements cannot be registered: %w", err)
	}
	return true, nil
}

func (c *client) accept(a mapping.Association) mapping.Handler {
	t := &talk{client: c, association: a, begunThere: true}
	t.link = &link{wire: t, remote: a.Remote()}
	return t
}

// talk is one association (wire, mapping.Handler).
type talk struct {
	client      *client
	link        *link
	association mapping.Association
	begunThere  bool
}

// mostQueued is how much may wait for a registrar that does not read, in bytes.
const mostQueued = 1 << 20

func (t *talk) send(m asap.Message) {
	p, err := t.client.c.Dialect.Append(nil, m)
	if err == nil && t.association.Queued() < mostQueued {
		err = t.association.Send(mapping.Message{PPID: asap.PPID, Data: p}, nil)
	} else if err == nil {
		err = fmt.Errorf("%d bytes wait for it to read them", t.association.Queued())
	}
	if err != nil {
		t.association.Abort()
		t.client.loop.Post(func() { t.Down(err) })
	}
}

func (t *talk) close() { t.association.Close() }
func (t *talk) abort() { t.association.Abort() }

// Up says that messages flow (mapping.Handler).
func (t *talk) Up() {
	t.client.do(func(now time.Time) {
		if t.begunThere && !t.client.rules.accepts(now, t.link, t.addresses()) {
			t.association.Abort()
			return
		}
		t.client.rules.reachable(now, t.link)
	})
}

// addresses are those of the peer.
func (t *talk) addresses() []netip.Addr {
	all := []netip.Addr{t.association.Remote().Addr().Unmap()}
	if p, can := t.association.(mapping.Pather); can {
		for _, path := range p.Paths() {
			all = append(all, path.Address.Addr().Unmap())
		}
	}
	return all
}

// Receive takes a message (mapping.Handler). One with an error is answered as the RFC wants it, and otherwise ignored.
func (t *talk) Receive(in mapping.Message) {
	if in.PPID != asap.PPID {
		return
	}
	m, report, err := t.client.c.Dialect.Parse(in.Data)
	if report != nil {
		t.send(asap.ErrorMessage{Errors: report})
	}
	if err == nil {
		t.client.do(func(now time.Time) { t.client.rules.received(now, t.link, m) })
	}
}

// Drained has nothing to do (mapping.Handler).
func (t *talk) Drained() {}

// Down says that the association has ended (mapping.Handler).
func (t *talk) Down(err error) {
	t.client.do(func(now time.Time) { t.client.rules.ended(now, t.link, err) })
}
