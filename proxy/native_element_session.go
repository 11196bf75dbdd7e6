package proxy

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// nativeSession is one session with a pool user that is an RSerPool application: its association, whose messages become bytes for the
// server, and the connection to the server, whose bytes become messages. It is the association's mapping.Handler and the rules of
// the connection.
type nativeSession struct {
	owner       *nativeElement
	number      uint64
	association nativeAssociation
	server      *serverSocket // nil: not connected to yet
	since       time.Time

	spill     retrieval.Log // for the server, which has not taken it yet
	requests  protocol.Requests
	due       []nativeDue // not answered in full, the oldest first
	replies   protocol.Replies
	reply     retrieval.Log // the beginning of a message of the server's
	asIs      bool          // what the server says goes on as it comes
	cookie    []byte        // nil: none
	goodbye   bool          // by the protocol, the server closes the connection now
	connected bool
	echoed    bool // the pool user has brought a cookie
	owed      bool // the pool user has not been sent the newest cookie
	spoken    bool // the pool user has said something other than ASAP's messages
	up        bool
	paused    bool // the association is not read, since the server does not take what came
	left      bool // the pool user has gone in order; the server is still given what it said
	ended     bool
	limit     loop.Timer // how long the server has for that

	toServer, toUser int64 // bytes
}

// nativeDue is a request that is in flight, or several of which nothing but their number is known: a message may hold half a million.
type nativeDue struct {
	request *protocol.Request
	count   int
}

// Bounds of one session.
const (
	// requestCost is what a request in flight counts against the memory of its session, as in retrieval; bytes.
	requestCost = 128

	// unpaused bounds what an association may still deliver after Pause: what its kernel has. Bytes.
	unpaused = 8 << 20

	// nativeLinger is how long the server has to take what a pool user said before it left, and to close the connection.
	nativeLinger = 5 * time.Second
)

// Why a session has ended.
var (
	errNativeServerDied = errors.New("the server has died")
	errNativeInFlight   = errors.New("the server closed the connection with a request in flight")
	errNativeFlood      = errors.New("the association delivers without end, though it was paused")
)

func newNativeSession(n *nativeElement, a nativeAssociation) *nativeSession {
	p := n.protocol
	s := &nativeSession{owner: n, number: n.element.shard.nextNumber(), association: a, since: n.element.shard.loop.Now(),
		requests: p.Requests(), replies: p.Replies(), asIs: p.Opaque()}
	s.limit.Func = s.late
	n.log.Debug("session begun", "session", s.number, "pool_user", a.Remote())
	return s
}

// Up connects to a server that speaks first. For others there is time until the pool user has said something: if that is a cookie, it is
// known before the server sees the connection (mapping.Handler).
func (s *nativeSession) Up() {
	s.up = true
	if g, ok := s.owner.protocol.(protocol.Greeter); ok {
		if greeting := g.Greeting(); greeting != nil {
			s.expect(greeting)
			s.connect()
		}
	}
}

// Receive takes a message of the pool user (mapping.Handler).
func (s *nativeSession) Receive(m mapping.Message) {
	switch {
	case s.ended:
	case m.PPID == mapping.PPIDASAP:
		s.control(m.Data)
	case m.PPID == s.owner.ppid:
		s.spoken = true
		s.connect()
		s.put(m.Data)
	default: // it waits for an answer
		s.abort(fmt.Errorf("the pool user: a message of %d bytes with PPID %d came, those of this pool_element have %d (ppid)",
			len(m.Data), m.PPID, s.owner.ppid))
	}
}

// connect begins to connect to the server, once.
func (s *nativeSession) connect() {
	if s.server == nil && !s.ended {
		s.server = s.owner.element.dial(s, nil, s.ends())
	}
}

// Connected says that the server has accepted the connection.
func (s *nativeSession) Connected() {
	s.connected = true
	s.Writable()
}

// ConnectFailed says that the server could not be connected to.
func (s *nativeSession) ConnectFailed(err error) { s.abort(fmt.Errorf("the server: %w", err)) }

// put passes what the pool user said on to the server.
func (s *nativeSession) put(p []byte) {
	if err := s.look(p); err != nil {
		s.abort(err)
		return
	}
	s.toServer += int64(len(p))
	if s.connected && s.spill.Len() == 0 {
		n, err := s.server.Write(p)
		if p = p[n:]; err != nil && !errors.Is(err, loop.ErrAgain) {
			return // the reading side will say what has happened
		}
	}
	s.spill.Append(s.owner.element.shard.loop.Buffers(), p)
	if s.spill.Len() > s.owner.memory+unpaused {
		s.abort(errNativeFlood)
		return
	}
	s.pace()
}

// look finds the requests in what the pool user said: what is in flight decides what the server's end means, and some replies cannot be
// split without their requests.
func (s *nativeSession) look(p []byte) error {
	for len(p) > 0 && !s.asIs {
		cut, req, err := s.requests.Next(p)
		if err != nil {
			return fmt.Errorf("the pool user: %w", err)
		}
		s.goodbye = s.goodbye || cut.Close
		if p = p[cut.N:]; !cut.End {
			continue
		}
		if req.Expect == protocol.ExpectOne {
			s.expect(req)
		}
	}
	return nil
}

// expect notes that the server has to answer a request.
func (s *nativeSession) expect(req *protocol.Request) {
	if last := len(s.due) - 1; last >= 0 && req.Detail == nil && s.due[last].request.Detail == nil {
		s.due[last].count++
		return
	}
	s.due = append(s.due, nativeDue{req, 1})
}

// answered takes the oldest request from those in flight.
func (s *nativeSession) answered() {
	if s.due[0].count--; s.due[0].count == 0 {
		s.due = s.due[1:]
	}
}

// outstanding is how many requests are in flight.
func (s *nativeSession) outstanding() (n int) {
	for _, d := range s.due {
		n += d.count
	}
	return n
}

// oldest is the request that the server answers next; nil if it speaks unasked.
func (s *nativeSession) oldest() *protocol.Request {
	if len(s.due) == 0 {
		return nil
	}
	return s.due[0].request
}

// pace stops reading the association while the server takes too little, and reads on when it has taken all. So the pool user is slowed
// down by the windows of SCTP.
func (s *nativeSession) pace() {
	shard, waiting := s.owner.element.shard, s.spill.Len()
	full := waiting > s.owner.memory || waiting > shard.share() && shard.full(true)
	many := len(s.due)*requestCost > s.owner.memory
	switch {
	case s.ended || s.left:
	case !s.paused && (full || many):
		s.paused = true
		s.association.Pause()
	case s.paused && !many && waiting == 0:
		s.paused = false
		s.association.Resume()
	}
}

// Writable gives the server what it did not take before.
func (s *nativeSession) Writable() {
	for s.connected && !s.ended && s.spill.Len() > 0 {
		p, _ := s.spill.At(s.spill.Start(), loop.LargeBuffer)
		n, err := s.server.Write(p)
		s.spill.Release(s.spill.Start() + int64(n))
		if err != nil {
			return // it will be writable again; or the reading side will say what has happened
		}
	}
	switch {
	case s.ended || !s.connected:
	case s.left:
		_ = s.server.CloseWrite() // when it fails, the reading side will say what has happened
	default:
		s.pace()
	}
}

// Down says that the association has ended. A pool user that has gone in order has its last words delivered: the server is sent an end of
// file behind them, and what it still says is read and dropped, until it closes, too. If it were not read, the kernel would reset
// the connection, and could take with it what the server has not read (mapping.Handler).
func (s *nativeSession) Down(err error) {
	s.left = true
	inOrder := errors.Is(err, io.EOF)
	s.owner.log.Debug("session ended by the pool user", "session", s.number, "pool_user", s.association.Remote(), "reason", err)
	if !inOrder || s.server == nil {
		s.end(true)
		return
	}
	l := s.owner.element.shard.loop
	l.Schedule(&s.limit, l.Now().Add(nativeLinger))
	s.Writable()
	s.server.ReadOn()
}

// late runs when the server has not closed in time the connection of a pool user that has gone.
func (s *nativeSession) late() {
	s.owner.log.Debug("connection reset: its pool user has gone, and the server does not close it", "session", s.number,
		"not_taken", s.spill.Len())
	s.end(true)
}

// end lets go of everything but the association, which has ended or is ending.
func (s *nativeSession) end(reset bool) {
	s.ended = true
	s.owner.element.shard.loop.Cancel(&s.limit)
	delete(s.owner.sessions, s.number)
	s.spill.Clear()
	s.reply.Clear()
	s.keep(nil)
	s.due = nil
	switch {
	case s.server == nil:
	case reset:
		s.server.Reset()
	default:
		s.server.Close()
	}
}

// abort ends the session so that its pool user goes to another element at once.
func (s *nativeSession) abort(why error) {
	switch {
	case s.ended:
		return
	case s.left:
		s.end(true)
		return
	}
	level := hclog.Info
	if !s.connected { // pool users come again, often
		level = hclog.Debug
	}
	s.owner.log.Log(level, "session ended: the pool user has to go elsewhere", "session", s.number, "pool_user", s.association.Remote(),
		"reason", why)
	s.end(true)
	s.association.Abort()
}

// shutDown ends the session as the server did: in order.
func (s *nativeSession) shutDown() {
	s.owner.log.Debug("session ended by the server", "session", s.number, "pool_user", s.association.Remote())
	s.end(false)
	s.association.Close()
}
