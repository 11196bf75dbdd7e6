package proxy

import (
	"errors"
	"io"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/whence"
)

// ending is how a client leaves.
type ending uint8

const (
	halfCloseEarly ending = iota // right behind its last request; then it reads to the end
	halfCloseLate                // when it has all replies; then it reads to the end
	closeLate                    // when it has all replies
	closeMidway                  // at some time
	resetMidway                  // at some time
	endings
)

// client is one unmodified client. It sends requests that it has numbered, and checks what comes back.
type client struct {
	ends whence.Ends // what servers are to be told of it

	sim      *simulation
	index    int
	conn     loop.Conn
	requests []*request
	reader   reader
	ending   ending
	window   int           // requests that may be without a reply
	pause    time.Duration // between requests, at most
	slow     int           // bytes that it reads at a time; 0: all

	sent    int    // requests begun
	out     []byte // what is not written yet of the last one
	timer   loop.Timer
	reading loop.Timer
	seen    []sighting // by servers
	closed  bool       // it has finished sending
	outcome string     // "": it is not done
	clean   bool       // it saw an end of file
	at      time.Time
}

func newClient(m *simulation, index int) *client {
	r := m.rand
	c := &client{sim: m, index: index, ending: ending(pick(r, 0, 0, 1, 1, 1, 2, 2, 3, 4)), window: pick(r, 1, 1, 3, 100),
		pause: time.Duration(pick(r, 0, 0, 20, 200)) * time.Millisecond}
	if m.class == partitions {
		c.pause, c.window = time.Duration(pick(r, 20, 50, 100))*time.Millisecond, pick(r, 3, 100)
	}
	if r.IntN(5) == 0 {
		c.slow = 500 + r.IntN(m.large)
	}
	kinds := m.dialect.kinds()
	for number := range 1 + r.IntN(m.requests) {
		q := &request{client: index, number: number, kind: 'S', reply: c.size()}
		if r.IntN(4) == 0 || m.class == partitions || m.class == pathOnly || m.dialect.opaque() {
			q.kind = kinds[r.IntN(len(kinds))]
		}
		if d, ok := m.dialect.(*talks); ok {
			var last *request
			if number > 0 {
				last = c.requests[number-1]
			}
			q.kind, q.unit = d.choose(r, q.kind, last)
		}
		size := c.size()
		if group(q) > 0 || q.refused() {
			size %= 2000 // a state that is longer than 64 KiB cannot be restored
		}
		m.dialect.encode(q, size)
		c.requests = append(c.requests, q)
	}
	c.reader = m.dialect.reader(m.scenario, c.requests)
	c.timer.Func, c.reading.Func = c.next, c.read
	m.world.After(m.between(0, faultTime/4), c.dial)
	return c
}

// size draws a size: mostly small, sometimes as large as the schedule allows.
func (c *client) size() int {
	r := c.sim.rand
	if r.IntN(6) == 0 {
		return r.IntN(c.sim.large)
	}
	return r.IntN(200)
}

func (c *client) dial() {
	c.conn = c.sim.home.Dial(c.sim.user.Addr(clientPort), c)
	if c.ending == closeMidway || c.ending == resetMidway {
		c.sim.world.After(c.sim.between(0, faultTime), c.leave)
	}
}

// leave ends the connection at a bad time.
func (c *client) leave() {
	if c.outcome != "" {
		return
	}
	if c.ending == resetMidway {
		c.conn.Reset()
	} else {
		c.conn.Close()
	}
	c.done("left")
}

// done says how it ended.
func (c *client) done(outcome string) {
	if c.outcome != "" {
		return
	}
	c.outcome, c.at = outcome, c.sim.world.Now()
	c.sim.home.Cancel(&c.timer)
	c.sim.home.Cancel(&c.reading)
	c.conn.Close()
	c.sim.tracef("client %d: %s; %d replies", c.index, outcome, c.reader.replies())
	c.sim.checkClient(c)
}

// Ready hears of the connection (loop.Handler).
func (c *client) Ready(ev loop.Event) {
	if ev&loop.Connected != 0 {
		c.introduce()
		c.next()
	}
	if ev&loop.Writable != 0 && c.outcome == "" {
		c.write()
		c.next()
	}
	if ev&(loop.Readable|loop.Hangup) != 0 && c.outcome == "" && !c.reading.Armed() {
		c.read()
	}
}

// next sends what may be sent now.
func (c *client) next() {
	for c.outcome == "" && len(c.out) == 0 && c.sent < len(c.requests) && !c.timer.Armed() && c.mayHaveMore() {
		c.out = c.requests[c.sent].bytes
		c.sent++
		c.write()
		if c.pause > 0 && c.outcome == "" {
			c.sim.home.Schedule(&c.timer, c.sim.world.Now().Add(c.sim.between(0, c.pause)))
		}
	}
	c.maybeFinish()
}

// mayHaveMore reports whether the window has room.
func (c *client) mayHaveMore() bool {
	if g, ok := c.reader.(interface{ greeted() bool }); ok && !g.greeted() {
		return false
	}
	return c.dueOf(c.sent)-c.reader.replies() < c.window
}

// dueOf counts the first n requests that get replies.
func (c *client) dueOf(n int) (due int) {
	for _, r := range c.requests[:n] {
		if r.kind != 'O' {
			due++
		}
	}
	return due
}

// due is the request that gets reply n.
func (c *client) due(n int) *request {
	for _, r := range c.requests {
		if r.kind == 'O' {
			continue
		}
		if n == 0 {
			return r
		}
		n--
	}
	return nil
}

func (c *client) write() {
	for len(c.out) > 0 {
		n, err := c.conn.Write(c.out)
		c.out = c.out[n:]
		if len(c.out) == 0 {
			c.requests[c.sent-1].sent = c.sim.world.Now()
		}
		if err != nil && !errors.Is(err, loop.ErrAgain) || n == 0 {
			return // Hangup says the rest
		}
	}
}

// maybeFinish finishes sending where it is time to.
func (c *client) maybeFinish() {
	if c.closed || c.outcome != "" || c.sent < len(c.requests) || len(c.out) > 0 {
		return
	}
	all := c.reader.replies() == c.dueOf(len(c.requests))
	switch {
	case c.ending == halfCloseEarly, c.ending == halfCloseLate && all:
		c.closed = true
		_ = c.conn.CloseWrite() // Hangup says why not
	case c.ending == closeLate && all:
		c.closed = true
		c.done("all replies, closed")
	}
}

func (c *client) read() {
	p := make([]byte, 8192)
	if c.slow > 0 {
		p = p[:min(c.slow, len(p))]
	}
	for c.outcome == "" {
		n, err := c.conn.Read(p)
		if n > 0 {
			if err := c.reader.feed(p[:n]); err != nil {
				c.sim.violated("client %d: %v", c.index, err)
				return
			}
			c.next()
		}
		switch {
		case err == nil:
		case errors.Is(err, loop.ErrAgain):
			return
		case errors.Is(err, io.EOF):
			c.clean = true
			c.done("end of file")
		default:
			c.done("reset: " + err.Error())
		}
		if c.slow > 0 && c.outcome == "" && n > 0 {
			c.sim.home.Schedule(&c.reading, c.sim.world.Now().Add(5*time.Millisecond))
			return
		}
	}
}
