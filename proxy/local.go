package proxy

import (
	"errors"
	"io"
	"math"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// rules is what a local connection belongs to: a session.Session or a session.Leg.
type rules interface {
	Room() int
	Held() int
	Take(buffer *loop.Buffer, n int) (kept bool)
	End()
	Broken(err error)
	Writable()
}

// local is the legacy client's connection, or the legacy server's: it reads for its rules, and is the socket that they write to
// (session.Socket).
type local struct {
	loop.Conn
	shard    *Shard
	rules    rules
	eager    bool       // a failure counts at once, also when what came before it has not been read (the client's)
	readable bool       // Read may return something
	ended    bool       // it has returned the end, or an error
	failed   bool       // the rules know that it is broken; that may come behind an end
	reading  bool       // within read
	coming   bool       // a read is posted
	again    loop.Timer // reads when memory was short
	bulk     bulk

	connected func(err error) // of a dialled connection: told once
	gate      *loop.Gate      // Conn, while it is disturbed; else nil
}

// turnBytes is how much is read from one connection before others have their turn.
const turnBytes = 256 << 10

// starved is the pause before reading is tried again when the process's memory limit is reached.
const starved = 10 * time.Millisecond

// Ready hears of the connection (loop.Handler).
func (c *local) Ready(ev loop.Event) {
	if c.gate != nil {
		c.gate.Ready(ev)
		return
	}
	c.ready(ev)
}

// ready hears what may be done now.
func (c *local) ready(ev loop.Event) {
	if c.connected != nil {
		if ev&(loop.Connected|loop.Hangup) == 0 {
			return
		}
		connected := c.connected
		c.connected = nil
		if ev&loop.Hangup != 0 {
			connected(c.Err())
			return
		}
		connected(nil)
	}
	if ev&loop.Writable != 0 {
		c.rules.Writable()
	}
	if ev&(loop.Readable|loop.Hangup) != 0 {
		c.readable = true
		c.read()
	}
	if ev&loop.Hangup != 0 && (c.eager || c.ended) { // behind an end of file nothing is read that would tell
		c.broken(c.Err())
	}
}

// ReadOn reads again in the next turn (session.Socket).
func (c *local) ReadOn() {
	if c.coming || !c.readable || c.ended {
		return
	}
	c.coming = true
	c.shard.loop.Post(func() {
		c.coming = false
		c.read()
	})
}

// starve reads again when there may be memory.
func (c *local) starve() {
	c.shard.starving()
	if !c.again.Armed() {
		c.shard.loop.Schedule(&c.again, c.shard.loop.Now().Add(starved))
	}
}

// read hands over what has come, as long as there is room for it and others do not wait too long.
func (c *local) read() {
	if c.reading {
		return
	}
	c.reading = true
	defer func() { c.reading = false }()
	for left := turnBytes; c.readable && !c.ended; {
		room := c.rules.Room()
		if room == 0 {
			return
		}
		if left <= 0 {
			c.ReadOn()
			return
		}
		if c.shard.full(c.eager) {
			room = min(room, c.shard.share()-c.rules.Held())
		}
		if room <= 0 {
			c.starve()
			return
		}
		left -= c.readOnce(room)
	}
}

func (c *local) readOnce(room int) int {
	if n, done := c.readPages(room); done {
		return n
	}
	buffer := c.shard.buffer()
	p := buffer.Bytes[:min(room, len(buffer.Bytes))]
	n, err := c.Read(p)
	if n < len(p) {
		c.readable = false
	}
	if n > 0 && c.rules.Take(buffer, n) {
		c.shard.scratch = nil
	}
	c.bulk.read(n, len(p))
	c.readEnded(err)
	return n
}

// readEnded takes the error of a read, if there is one.
func (c *local) readEnded(err error) {
	switch {
	case err == nil || errors.Is(err, loop.ErrAgain) || errors.Is(err, loop.ErrClosed):
	case errors.Is(err, io.EOF):
		c.ended = true
		c.rules.End()
		if err := c.Err(); err != nil { // it was told when this end could not be read yet
			c.broken(err)
		}
	default:
		c.broken(err)
	}
}

func (c *local) broken(err error) {
	if !c.failed {
		c.ended, c.failed = true, true
		c.rules.Broken(err)
	}
}

// Close ends the connection in order (session.Socket).
func (c *local) Close() {
	c.ended = true
	c.shard.loop.Cancel(&c.again)
	c.Conn.Close()
}

// Reset ends the connection abortively (session.Socket).
func (c *local) Reset() {
	c.ended = true
	c.shard.loop.Cancel(&c.again)
	c.Conn.Reset()
}

// buffer is what connections are read into; who keeps it sets scratch to nil.
func (s *Shard) buffer() *loop.Buffer {
	if s.scratch == nil {
		s.scratch = s.loop.Buffers().Get(loop.LargeBuffer)
	}
	return s.scratch
}

// reserve is the least part of the memory limit that is kept for servers: what a read may take beyond a limit that was not yet
// reached (the buffer read into, the one that replaces it, and the block that a log begins), and as much again to go on with.
const reserve = 8 * loop.LargeBuffer

// full reports whether a connection must wait because of the memory limit of the process. Clients wait from three quarters of
// it on, or earlier: it is what servers answer that frees memory, so the rest is theirs. A limit too small to be divided is
// taken as twice the reserve.
func (s *Shard) full(client bool) bool {
	limit := s.config.Limits.Memory
	if limit <= 0 {
		return false
	}
	limit = max(limit, 2*reserve) - s.common.slack
	if client {
		limit -= max(limit/4, reserve)
	}
	return s.loop.Buffers().Total() >= limit
}

// halfFull reports whether so much memory is used that nothing is recorded of sessions: from half of the limit on. The rest is for those who
// need it to go on.
func (s *Shard) halfFull() bool {
	limit := s.config.Limits.Memory
	return limit > 0 && s.loop.Buffers().Total() >= limit/2
}

// share is what each connection may hold also when the limit is reached, so that those who do not read never stop the others:
// its part of the limit if all sessions that are allowed were there, at least a small block.
func (s *Shard) share() int {
	sessions := int64(max(s.config.Limits.Sessions, 1))
	return int(max(s.config.Limits.Memory/(2*sessions), loop.SmallBuffer))
}

// first is what every session may be sent though its client, or at a pool_element its server, takes nothing: all together half of the limit. 0:
// there is no limit.
func (s *Shard) first() int {
	if s.config.Limits.Memory <= 0 {
		return 0
	}
	return s.share()
}

// widest is what a session that needs it may be sent more, its client or its server taking nothing: all that there are together a quarter of the limit, or not
// much more, since there were fewer when others were told; and when the limit is reached, nothing.
func (s *Shard) widest() int {
	limit := s.config.Limits.Memory
	switch {
	case limit <= 0:
		return math.MaxInt
	case s.full(false):
		return 0
	}
	return int(min(limit/(4*max(s.common.sessions()+s.common.legs.Load(), 1)), math.MaxInt32))
}

// starving says, not too often, that the limit is reached.
func (s *Shard) starving() {
	for _, u := range s.users {
		u.rules.DropScripts()
	}
	if now := s.loop.Now(); now.Sub(s.starved) > 10*time.Second {
		s.starved = now
		s.log.Warn("limits.memory is reached: connections wait", "limit", s.config.Limits.Memory, "used", s.loop.Buffers().Total())
	}
}
