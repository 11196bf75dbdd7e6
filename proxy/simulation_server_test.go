package proxy

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/session"
	"github.com/poolproxy/poolproxy/whence"
)

// server is one process of a server: it answers requests one after another, in its own time, and always the same to the same.
type server struct {
	sim     *simulation
	element *element
	variant int
	conns   []*serverConn
}

func newServer(m *simulation, e *element) *server {
	s := &server{sim: m, element: e}
	if m.differs && e.index > 0 {
		s.variant = 1
	}
	return s
}

// serverConn is one connection that a server has accepted.
type serverConn struct {
	server   *server
	conn     loop.Conn
	client   int    // whose requests it carries; -1: not known yet
	last     int    // the number of the last request
	in       []byte // what is not a complete request yet
	looked   int    // so much of in has no end in it
	out      []byte
	eof      bool
	over     bool
	total    int // bytes read
	marks    []mark
	busy     time.Time // when it last took a request
	unseen   bool      // since then it has not looked at what comes
	accepted int       // counts connections
	told     told
	unhidden bool         // the header has come, or there is none
	ends     whence.Ends  // what it said
	called   int          // callbacks that have spoken
	worked   bool         // it has carried out a request of the client's own
	note     note         // in its session's cookie
	leg      *session.Leg // whose cookie could be asked for; nil: that of nobody
	think    loop.Timer   // while a request is being worked on
	answer   []byte       // to that
}

func (s *server) accept(conn loop.Conn) loop.Handler {
	s.sim.accepts++
	c := &serverConn{server: s, conn: conn, client: -1, last: -1, accepted: s.sim.accepts}
	c.think.Func = c.answered
	c.taste()
	if d, ok := s.sim.dialect.(*talks); ok {
		c.out = []byte(d.greeting())
	}
	s.conns = append(s.conns, c)
	c.write()
	return c
}

// Ready hears of the connection (loop.Handler).
func (c *serverConn) Ready(ev loop.Event) {
	if ev&loop.Writable != 0 {
		c.write()
	}
	c.read() // also what was left while there was too much to write
}

func (c *serverConn) read() {
	var p [4096]byte
	for !c.over && !c.eof && !c.full() && !(c.server.sim.lazy && c.think.Armed()) {
		n, err := c.conn.Read(p[:])
		c.in = append(c.in, p[:n]...)
		c.came(n)
		switch {
		case err == nil:
		case errors.Is(err, loop.ErrAgain):
			c.work()
			return
		case errors.Is(err, io.EOF):
			c.eof = true
		default:
			c.work() // what had come before was read
			c.end((loop.Conn).Close)
			return
		}
	}
	c.work()
}

// full reports whether the server has enough to do.
func (c *serverConn) full() bool { return len(c.out) > 64<<10 || len(c.in) > 16<<20 }

// work takes the next request, if there is none under way.
func (c *serverConn) work() {
	if c.over || c.think.Armed() {
		return
	}
	if !c.unhide() {
		c.finish()
		return
	}
	d := c.server.sim.dialect
	n := d.frame(c.in, c.looked)
	if n == 0 {
		c.looked = len(c.in)
		c.finish()
		return
	}
	raw := c.in[:n]
	r, err := d.decode(raw)
	if err == nil {
		err = c.check(&r, raw)
	}
	if err != nil {
		c.server.sim.violated("%v: %v", c.conn.Remote(), err)
		return
	}
	if r.kind != 'O' && r.kind != 'G' {
		c.answer = d.answer(c.server.variant, &r, raw, c.server.sim.rand)
	}
	c.in = append([]byte(nil), c.in[n:]...)
	c.looked = 0
	m := c.server.sim
	c.busy = m.world.Now()
	at := c.server.element.server.Now()
	if m.think > 0 {
		at = at.Add(m.between(0, m.think))
	}
	c.server.element.server.Schedule(&c.think, at)
}

// check compares a request with what its client has sent, and notes that it was executed.
func (c *serverConn) check(r *request, raw []byte) error {
	m := c.server.sim
	if r.kind == 'K' {
		return c.call(r)
	}
	if r.client < 0 || r.client >= len(m.clients) || r.number < 0 || r.number >= len(m.clients[r.client].requests) {
		return errors.New("a request that no client has")
	}
	if err := c.checkEnds(m.clients[r.client]); err != nil {
		return err
	}
	if r.kind == 'G' {
		return c.goOn(r, raw)
	}
	mine := m.clients[r.client].requests[r.number]
	switch {
	case !sameRequest(mine.bytes, raw):
		return errors.New("a request that was changed on its way")
	case mine.sent.IsZero():
		return errors.New("a request that was not sent")
	case c.client >= 0 && c.client != r.client:
		return errors.New("requests of two clients on one connection")
	case r.number <= c.last:
		return errors.New("requests not in order")
	}
	if err := c.checkOrder(mine); err != nil {
		return err
	}
	if c.client < 0 {
		if err := c.checkNote(r.client); err != nil {
			return err
		}
	}
	c.client, c.last = r.client, r.number
	if err := c.checkFence(mine, c.since(c.total-len(c.in)+len(raw))); err != nil && mine.kind == 'U' {
		return err
	}
	mine.by = append(mine.by, execution{c, m.world.Now()})
	mine.executed++
	m.tracef("server%d executes %c %d %d", c.server.element.index, r.kind, r.client, r.number)
	if mine.never {
		return errors.New("a request was executed behind an error which says that it was not")
	}
	if r.kind == 'U' && mine.executed > 1 && m.mayNotRepeat() {
		return errors.New("an unsafe request was executed twice")
	}
	return nil
}

// call takes a request of a callback's: it comes before all of the client's own, but for those that set its state.
func (c *serverConn) call(r *request) error {
	if c.called++; c.called > c.server.sim.callbacks {
		return errors.New("more callbacks than there are")
	}
	if c.worked {
		return errors.New("a callback behind a request")
	}
	c.server.sim.tracef("server%d hears callback %d", c.server.element.index, r.number)
	return nil
}

// checkOrder judges whether a request may come here and now.
func (c *serverConn) checkOrder(r *request) error {
	restored := group(r) > 0 && c.called < c.server.sim.callbacks
	switch {
	case c.called < c.server.sim.callbacks && !restored:
		return errors.New("a request came before the callbacks were done")
	case r.unit > 0 && r.kind != 'B' && r.number != c.last+1:
		return errors.New("a part of a transaction without what was before it")
	}
	c.worked = c.worked || !restored
	if m := c.server.sim; group(r) == 0 && !r.refused() {
		m.clients[r.client].seen = append(m.clients[r.client].seen, sighting{r.number, c.told})
	}
	c.told.note(r)
	return nil
}

// noteRead notes what a process that ends has read and not carried out.
func (c *serverConn) noteRead() {
	m := c.server.sim
	if !c.unhide() {
		return
	}
	for in := c.in; len(in) > 0; {
		n := m.dialect.frame(in, 0)
		if n == 0 {
			return
		}
		if r, err := m.dialect.decode(in[:n]); err == nil && r.kind != 'K' && r.client < len(m.clients) && r.number < len(m.clients[r.client].requests) {
			m.clients[r.client].requests[r.number].read = true
		}
		in = in[n:]
	}
}

// answered is when the request under way is done.
func (c *serverConn) answered() {
	c.bake()
	c.out = append(c.out, c.answer...)
	c.answer = nil
	c.write()
	if !c.over {
		c.unseen = c.server.sim.lazy
		c.read()
		c.unseen = false
	}
}

func (c *serverConn) write() {
	for len(c.out) > 0 {
		n, err := c.conn.Write(c.out)
		c.out = c.out[n:]
		if errors.Is(err, loop.ErrAgain) {
			return
		}
		if err != nil {
			c.end((loop.Conn).Close)
			return
		}
	}
	c.finish()
}

// finish closes a connection whose client has finished and has all its answers.
func (c *serverConn) finish() {
	if c.over || !c.eof || len(c.out) > 0 || c.think.Armed() || c.server.sim.dialect.frame(c.in, c.looked) > 0 {
		return
	}
	c.end((loop.Conn).Close)
}

// end ends the connection in the given way.
func (c *serverConn) end(how func(loop.Conn)) {
	if c.over {
		return
	}
	c.over = true
	c.server.element.server.Cancel(&c.think)
	how(c.conn)
	c.noteRead()
	c.partial()
}

// partial checks the beginning of a request whose end has not come.
func (c *serverConn) partial() {
	if !c.unhide() || len(c.in) == 0 || c.server.sim.dialect.frame(c.in, c.looked) > 0 {
		return
	}
	for _, x := range c.server.sim.clients {
		if x.hasSent(c.in) {
			return
		}
	}
	for _, p := range c.server.sim.said {
		if bytes.HasPrefix(p, c.in) {
			return
		}
	}
	c.server.sim.violated("%v: the beginning of no request: %.60q", c.conn.Remote(), c.in)
}

// hasSent reports whether p may be what came of the client's bytes: of a stream a part, else the beginning of a request. The fields
// that ask for the rest of a reply (protocol http) stand behind all others.
func (c *client) hasSent(p []byte) bool {
	if c.sim.dialect.opaque() {
		return bytes.Contains(c.all(), p)
	}
	for _, r := range c.requests {
		if bytes.HasPrefix(r.bytes, p) {
			return true
		}
		if at := bytes.Index(p, []byte("\r\nR")); at > 0 && bytes.HasPrefix(r.bytes, p[:at]) && len(r.bytes) == at+4 {
			return true
		}
	}
	return false
}

// all is everything that the client sends.
func (c *client) all() (p []byte) {
	for _, r := range c.requests {
		p = append(p, r.bytes...)
	}
	return p
}

// sameRequest compares a request with what came of it. Where a reply goes on, the fields that say so are added (protocol http).
func sameRequest(sent, came []byte) bool {
	if bytes.Equal(sent, came) {
		return true
	}
	at := bytes.Index(came, []byte("Range: "))
	return at > 0 && bytes.HasPrefix(sent, came[:at]) && len(sent) == at+2
}
