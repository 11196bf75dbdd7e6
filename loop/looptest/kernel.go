package looptest

import "github.com/poolproxy/poolproxy/loop"

// receive is the kernel's part for a packet that has arrived at c.
func (c *conn) receive(k packet) {
	switch {
	case k.kind == synPacket:
		c.receiveSyn()
	case k.kind == rstPacket:
		c.receiveReset()
	case c.gone:
		if k.kind != ackPacket {
			c.reject()
		}
	case k.kind == synAckPacket:
		c.connecting = false
		ev := loop.Connected
		if c.blocked {
			ev, c.blocked = ev|loop.Writable, false
		}
		c.note(ev)
		c.flush()
	case k.kind == ackPacket:
		c.receiveAck(k)
	case k.kind == bytesPacket:
		c.receiveBytes(k.bytes)
	case k.kind == finPacket:
		c.in.eof = true
		c.acknowledge(0, true)
		c.note(loop.Readable)
		c.leaveIfDone()
	}
}

// receiveSyn makes the accepting end, or refuses. The process hears of it in its next turn: a frozen one's kernel connects all
// the same.
func (c *conn) receiveSyn() {
	h := c.host
	l := h.listening(c.local)
	if l == nil {
		c.out.send(packet{kind: rstPacket})
		return
	}
	c.gone, c.listener = false, l
	h.learn(c)
	c.out.send(packet{kind: synAckPacket})
	h.ready(c)
}

func (c *conn) receiveReset() {
	switch {
	case c.gone:
	case c.connecting:
		c.fail(c.failure("connect", loop.ErrRefused))
	default:
		c.fail(c.failure("read", loop.ErrReset))
	}
}

// receiveBytes queues bytes for the process. A process that has closed the connection cannot be told: the answer is RST.
func (c *conn) receiveBytes(n int) {
	p := c.in
	p.flight -= n
	if c.closed {
		c.abort()
		return
	}
	p.received += n
	c.acknowledge(n, false)
	c.note(loop.Readable)
}

func (c *conn) receiveAck(k packet) {
	p := c.out
	p.unacked -= k.bytes
	p.window += k.read
	p.finAcked = p.finAcked || k.withFin
	if k.bytes > 0 {
		c.host.w.events.remove(&c.expiry)
	}
	c.flush()
	if c.blocked && p.room()*4 >= p.size {
		c.blocked = false
		c.note(loop.Writable)
	}
	c.leaveIfDone()
}

// acknowledge tells the peer what has arrived, and of the room that reads have made.
func (c *conn) acknowledge(n int, fin bool) {
	c.out.send(packet{kind: ackPacket, bytes: n, read: c.in.unsaid, withFin: fin})
	c.in.unsaid = 0
}

// openWindow tells the peer, after a read, of room that it may be waiting for: not for every byte, and not while it has plenty.
func (c *conn) openWindow() {
	p := c.in
	known := p.size - p.received - p.unsaid // counts what is in flight as room
	if c.gone || p.eof || known*2 > p.size {
		return
	}
	if p.unsaid*4 >= p.size || p.received == 0 {
		c.acknowledge(0, false)
	}
}

// flush sends what the peer has room for, then the FIN if it is due.
func (c *conn) flush() {
	p := c.out
	if c.connecting || c.gone {
		return
	}
	for p.unsent > 0 && p.window > 0 {
		n := min(p.unsent, p.window)
		if n > 1 && c.host.w.chance(8) {
			n = 1 + c.host.w.rand.IntN(n-1)
		}
		p.unsent -= n
		p.flight += n
		p.window -= n
		p.send(packet{kind: bytesPacket, bytes: n})
	}
	if p.fin && !p.finSent && p.unsent == 0 {
		p.finSent = true
		p.send(packet{kind: finPacket})
	}
	if p.unsent > 0 {
		c.probe() // of the window
	}
	c.watch()
}

// watch keeps the user timeout running while, and only while, bytes wait to be acknowledged.
func (c *conn) watch() {
	waiting := c.timeout > 0 && c.out.unacked > 0
	if waiting == (c.expiry.place > 0) {
		return
	}
	w := c.host.w
	if !waiting {
		w.events.remove(&c.expiry)
		return
	}
	c.expiry.owner = (*expiry)(c)
	w.events.schedule(&c.expiry, w.now+int64(c.timeout))
}

type expiry conn

func (e *expiry) fire() {
	c := (*conn)(e)
	c.fail(c.failure("write", errTimedOut))
	c.peer.probe()
}

// waitsForAck reports whether the kernel would send something again, or probe, if nothing came.
func (c *conn) waitsForAck() bool {
	return !c.gone && (c.connecting || c.out.unacked > 0 || c.out.finSent && !c.out.finAcked)
}

// probe stands for what a kernel that waits keeps repeating: where the other end has been aborted the answer is RST.
func (c *conn) probe() {
	if c.waitsForAck() && c.peer.aborted && !c.host.w.path(c.host, c.peer.host).stalled {
		c.in.send(packet{kind: rstPacket})
	}
}

// probe is called when there is hope again that the peer hears.
func (h *Host) probe(peer *Host) {
	for _, c := range h.socks {
		if c.peer.host == peer {
			c.probe()
		}
	}
}

// reject answers a packet for a connection that is not known.
func (c *conn) reject() {
	if !c.peer.gone {
		c.out.send(packet{kind: rstPacket})
	}
}

// abort ends the connection with RST, behind what is in flight.
func (c *conn) abort() {
	c.out.send(packet{kind: rstPacket})
	c.aborted = true
	c.leave()
}

// fail ends the connection from outside; the process is told why.
func (c *conn) fail(err error) {
	if c.host.w.trace != nil {
		c.host.w.tracef("%v: failed: %v", c, err)
	}
	c.err = err
	ev := loop.Hangup
	if !c.connecting {
		ev |= loop.Readable
	}
	c.aborted = true
	c.leave()
	c.note(ev)
}

// leaveIfDone lets a connection go that the process has closed and that has ended in both directions.
func (c *conn) leaveIfDone() {
	if c.closed && !c.gone && c.out.finAcked && c.in.eof {
		c.leave()
	}
}

// leave has the kernel forget the connection. What has arrived stays readable for a process that has not closed it.
func (c *conn) leave() {
	c.gone = true
	c.host.w.events.remove(&c.expiry)
	if p := c.out; p.unsent > 0 {
		if !p.broken {
			p.buf = p.buf[:len(p.buf)-p.unsent]
		}
		p.unsent = 0
	}
	c.in.abandon()
	c.forget()
}

// learn adds a connection to those the host knows.
func (h *Host) learn(c *conn) {
	h.socks = append(h.socks, c)
	c.place = len(h.socks)
}

// forget frees what is left of a connection when both kernel and process have done with it.
func (c *conn) forget() {
	if !c.gone || !c.closed || c.place == 0 {
		return
	}
	h := c.host
	i, last := c.place-1, len(h.socks)-1
	h.socks[i] = h.socks[last]
	h.socks[i].place = i + 1
	h.socks[last] = nil
	h.socks = h.socks[:last]
	c.place = 0
	c.in.release()
}
