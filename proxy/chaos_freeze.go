package proxy

import (
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// frost is what comes to a pool_element that is frozen: what the kernel would have accepted for a process that is stopped.
type frost struct {
	strike   *strike
	accepted []loop.Accepted // where there are several shards
	callers  []*frozenCaller // where there is one
}

// mostFrozen is how many may come meanwhile; others are refused.
const mostFrozen = mostNewcomers

// frozenCaller is a connection that nobody has taken up. Then it passes on what it hears.
type frozenCaller struct {
	conn    loop.Conn
	handler loop.Handler // nil: nobody yet
	missed  loop.Event
}

// Ready hears of the connection (loop.Handler).
func (c *frozenCaller) Ready(ev loop.Event) {
	if c.handler == nil {
		c.missed |= ev
		return
	}
	c.handler.Ready(ev)
}

// freeze has the pool_element do nothing any more; false: there is none, or it is frozen already.
func (k *strike) freeze() bool {
	for _, e := range k.shard.elements {
		if e.name == k.attack.Name && !e.leaving && e.frost == nil {
			k.frozen, e.frost = e, &frost{strike: k}
			return true
		}
	}
	return false
}

// accept shuts an association that comes out of a handshake meanwhile.
func (f *frost) accept(a mapping.Association) {
	if gated, can := a.(mapping.Gated); can {
		f.strike.close(target{key: a, gate: gated})
	}
}

// called keeps a connection for later.
func (f *frost) called(conn loop.Conn) loop.Handler {
	if len(f.callers) >= mostFrozen {
		return nil
	}
	c := &frozenCaller{conn: conn}
	f.callers = append(f.callers, c)
	return c
}

// calledBy keeps a connection for later.
func (f *frost) calledBy(a loop.Accepted) {
	if len(f.accepted) >= mostFrozen {
		a.Drop()
		return
	}
	f.accepted = append(f.accepted, a)
}

// unfreeze has it go on: it takes up who has come meanwhile.
func (e *elementSide) unfreeze() {
	f := e.frost
	e.frost = nil
	closed := e.shard.closed || e.leaving
	for _, a := range f.accepted {
		if closed {
			a.Drop()
		} else {
			e.calledBy(a)
		}
	}
	for _, c := range f.callers {
		if !closed {
			c.handler = e.called(c.conn)
		}
		if c.handler == nil {
			c.conn.Reset()
			continue
		}
		c.handler.Ready(loop.Readable | c.missed)
	}
}
