package proxy

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// nativeSocket is the socket of a leg whose server is a native element (session.Socket): one SCTP association. What is written is split
// into messages, each of which is one SCTP message on stream 0; what comes are bytes for the leg. It is its mapping.Handler.
type nativeSocket struct {
	side     *elementSide
	leg      connecting
	number   uint64 // among the associations of its native
	a        mapping.Association
	requests protocol.Requests // nil: bytes go as they come
	part     retrieval.Log     // the beginning of a message whose end was not written yet
	sent     int64             // offset behind the last message that was sent
	rest     retrieval.Log     // what has come and the leg has no room for; then the association is paused

	up       bool // there is an association
	over     bool // it has ended by itself
	gone     bool // Close or Reset was called
	failed   bool // the leg was told that it is broken, or is going to be
	finished bool // CloseWrite was called
	coming   bool // handOver is posted
	unkept   bool // a warning has told of a cookie that is not kept
	down     error
	again    loop.Timer // hands over when memory was short
	quiet    loop.Timer // ends the association behind CloseWrite
}

const (
	// streamPiece is the longest message of a protocol without messages, in bytes.
	streamPiece = loop.LargeBuffer

	// nativeQuiet is how long a server must have said nothing, behind the client's end, before the association is ended where it
	// cannot be known whether it still wants to say something.
	nativeQuiet = time.Second

	// noOffset is the Context of what is no part of the client's bytes.
	noOffset = math.MaxUint64
)

func newNativeSocket(e *elementSide, leg connecting) *nativeSocket {
	s := &nativeSocket{side: e, leg: leg, requests: e.native.splitter()}
	s.again.Func, s.quiet.Func = s.handOver, s.shut
	return s
}

// Up begins with the cookie of the element that had the session before, if there is one: it must be the first message of all (RFC
// 5352 §3.8).
func (s *nativeSocket) Up() {
	if cookie := s.leg.Cookie(); cookie != nil {
		s.echo(cookie)
	}
	s.up = true
	s.leg.Connected()
}

// Drained has the leg go on writing (mapping.Handler).
func (s *nativeSocket) Drained() { s.leg.Writable() }

// Dry has the pool user go on, whose memory may be full of what was not acknowledged (mapping.DryHandler).
func (s *nativeSocket) Dry() {
	if leg, is := s.leg.(interface{ Delivered() }); is {
		leg.Delivered()
	}
}

// Down tells the leg, behind what has come before (mapping.Handler).
func (s *nativeSocket) Down(err error) {
	s.over, s.down = true, err
	switch {
	case !s.up:
		s.leg.ConnectFailed(err)
	case s.rest.Len() == 0:
		s.ended()
	}
}

func (s *nativeSocket) ended() {
	if errors.Is(s.down, io.EOF) {
		s.leg.End()
	} else {
		s.broken(s.down)
	}
}

func (s *nativeSocket) broken(err error) {
	if !s.failed {
		s.failed = true
		s.leg.Broken(err)
	}
}

// fail ends the leg for a reason that is found while it writes.
func (s *nativeSocket) fail(err error) {
	if s.failed {
		return
	}
	s.failed = true
	s.side.shard.loop.Post(func() {
		if !s.gone {
			s.leg.Broken(err)
		}
	})
}

// Write takes what the association has room for (session.Socket). An unfinished message is kept until its end comes.
func (s *nativeSocket) Write(bufs ...[]byte) (n int, err error) {
	for _, p := range bufs {
		for len(p) > 0 {
			switch {
			case s.over || s.failed || s.gone:
				err = fmt.Errorf("%w: the association has ended", loop.ErrReset)
				s.fail(err)
				return n, err
			case !s.up || s.a.Queued() >= mapping.LowWater:
				return n, loop.ErrAgain
			}
			k, err := s.write(p)
			if n += k; err != nil {
				if !errors.Is(err, mapping.ErrDown) { // which is told by Down
					s.side.shard.log.Warn("a client's message cannot be given to a native element", "pool_element", s.side.name, "error", err)
				}
				s.fail(err)
				return n, err
			}
			p = p[k:]
		}
	}
	return n, nil
}

// write takes bytes of one message, at most to its end, and sends it if it is complete.
func (s *nativeSocket) write(p []byte) (n int, err error) {
	if s.requests == nil {
		p = p[:min(len(p), streamPiece)]
		return len(p), s.send(p)
	}
	cut, _, err := s.requests.Next(p)
	if err != nil {
		return 0, err
	}
	p = p[:cut.N]
	if most := s.a.Capabilities().MaxMessage; s.part.Len()+len(p) > most {
		return 0, fmt.Errorf("%w: it has more than %d bytes", errLongMessage, most)
	}
	if cut.End && s.part.Len() == 0 {
		return cut.N, s.send(p)
	}
	s.part.Append(s.side.shard.loop.Buffers(), p)
	if !cut.End {
		return cut.N, nil
	}
	whole := s.part.Copy(make([]byte, 0, s.part.Len()), s.part.Start(), s.part.End())
	s.part.Clear()
	return cut.N, s.send(whole)
}

// send sends a message of the application. Its Context is the offset of its first byte.
func (s *nativeSocket) send(p []byte) error {
	err := s.a.Send(mapping.Message{PPID: s.side.native.ppid, Data: p, Context: uint64(s.sent)}, nil)
	s.sent += int64(len(p))
	if errors.Is(err, mapping.ErrTooLong) {
		return fmt.Errorf("%w: %w", errLongMessage, err)
	}
	return err
}

// undelivered tells how many of the bytes last written are not acknowledged by the server's kernel (open), and how many it has certainly
// not been sent (unsent): those of messages that the kernel never put on the wire, and all behind them, for messages of one stream
// come in order. What was on the wire may have been received, acknowledged or not. With final the association is ended, if it has not
// ended by itself, so that nothing more is sent. An unfinished message is not open: it is here.
func (s *nativeSocket) undelivered(final bool) (open, unsent int) {
	if final && !s.over {
		s.a.Abort()
	}
	left := s.a.Retrieve()
	never := s.sent
	for _, at := range left.Unsent {
		if at != noOffset {
			never = min(never, int64(at))
		}
	}
	first := never
	for _, at := range left.Unacknowledged {
		if at != noOffset {
			first = min(first, int64(at))
		}
	}
	return int(s.sent - first), int(s.sent-never) + s.part.Len()
}

// Receive takes a message of the server (mapping.Handler).
func (s *nativeSocket) Receive(m mapping.Message) {
	switch {
	case m.PPID == s.side.native.ppid:
		s.taken(m.Data)
	case m.PPID == asap.PPID:
		s.control(m.Data)
	default: // nothing that follows may be taken for what comes behind it
		s.over = true
		s.a.Abort()
		s.broken(fmt.Errorf("%w: a message of %d bytes with PPID %d came, those of this pool have %d (ppid)",
			mapping.ErrProtocol, len(m.Data), m.PPID, s.side.native.ppid))
	}
}

// taken takes bytes for the leg.
func (s *nativeSocket) taken(p []byte) {
	if s.quiet.Armed() {
		s.awaitQuiet()
	}
	if s.rest.Len() == 0 {
		p = p[s.give(p):]
	}
	if len(p) > 0 && !s.gone {
		s.rest.Append(s.side.shard.loop.Buffers(), p)
		s.pause(true)
	}
}

// pause stops the association from reading, or lets it go on. Over SCTP it can always be done.
func (s *nativeSocket) pause(on bool) {
	p, can := s.a.(mapping.Pauser)
	switch {
	case !can:
	case on:
		p.Pause()
	default:
		p.Resume()
	}
}

// give hands the leg as much as it has room for, and returns how much that was.
func (s *nativeSocket) give(p []byte) int {
	shard, given := s.side.shard, 0
	for given < len(p) && !s.gone {
		room := s.leg.Room()
		if room == 0 {
			break
		}
		if shard.full(false) {
			room = min(room, shard.share()-s.leg.Held())
		}
		if room <= 0 {
			s.starve()
			break
		}
		buffer := shard.buffer()
		n := copy(buffer.Bytes[:min(room, len(buffer.Bytes))], p[given:])
		if s.leg.Take(buffer, n) {
			shard.scratch = nil
		}
		given += n
	}
	return given
}

// starve hands over again when there may be memory.
func (s *nativeSocket) starve() {
	s.side.shard.starving()
	if !s.again.Armed() {
		s.side.shard.loop.Schedule(&s.again, s.side.shard.loop.Now().Add(starved))
	}
}

// ReadOn hands over again in the next turn (session.Socket).
func (s *nativeSocket) ReadOn() {
	if s.coming || s.rest.Len() == 0 {
		return
	}
	s.coming = true
	s.side.shard.loop.Post(func() {
		s.coming = false
		s.handOver()
	})
}

// handOver gives the leg what had to wait.
func (s *nativeSocket) handOver() {
	for s.rest.Len() > 0 && !s.gone {
		p, _ := s.rest.At(s.rest.Start(), loop.LargeBuffer)
		n := s.give(p)
		if s.gone {
			return
		}
		s.rest.Release(s.rest.Start() + int64(n))
		if n < len(p) {
			return
		}
	}
	switch {
	case s.gone:
	case s.over:
		s.ended()
	default:
		s.pause(false)
	}
}

// CloseWrite takes the client's end (session.Socket). SCTP has no half-close: after a SHUTDOWN the server could say no more. Where the
// pool user knows which replies are due it says the end when all have come; elsewhere the server must have been quiet for a while.
func (s *nativeSocket) CloseWrite() error {
	if s.finished {
		return nil
	}
	s.finished = true
	if n := s.part.Len(); n > 0 { // as a message of its own it would mean something else
		s.side.shard.log.Warn("a client has ended in the middle of a message: its beginning is not sent to a native element",
			"pool_element", s.side.name, "bytes", n)
	}
	if s.side.native.paired() {
		s.side.shard.loop.Post(s.shut)
	} else {
		s.awaitQuiet()
	}
	return nil
}

func (s *nativeSocket) awaitQuiet() {
	s.side.shard.loop.Schedule(&s.quiet, s.side.shard.loop.Now().Add(nativeQuiet))
}

// shut ends the association behind the client's end: what was written is still delivered.
func (s *nativeSocket) shut() {
	switch {
	case s.gone || s.over || s.failed:
	case s.rest.Len() > 0:
		s.awaitQuiet()
	default:
		s.a.Close()
		s.leg.End()
	}
}

// Close ends the association in order (session.Socket).
func (s *nativeSocket) Close() {
	s.leave()
	s.a.Close()
}

// Reset aborts the association (session.Socket).
func (s *nativeSocket) Reset() {
	s.leave()
	s.a.Abort()
}

func (s *nativeSocket) leave() {
	s.gone = true
	delete(s.side.native.sockets, s.number)
	s.side.shard.loop.Cancel(&s.again)
	s.side.shard.loop.Cancel(&s.quiet)
	s.part.Clear()
	s.rest.Clear()
}
