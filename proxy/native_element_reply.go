package proxy

import (
	"errors"
	"fmt"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// nativeWindow is how many bytes of the server's may wait for the association's transport. It has to be beyond mapping.LowWater, from
// which on Drained is said.
const nativeWindow = 2 * mapping.LowWater

// Room is how many bytes of the server's are taken now. Those of a message that has begun always are: it must be whole to be sent.
// When the pool user has gone they are taken and dropped, to hear of the server's end.
func (s *nativeSession) Room() int {
	switch {
	case s.ended:
		return 0
	case s.left:
		return loop.LargeBuffer
	}
	return max(nativeWindow-s.association.Queued(), 0)
}

// Held is how many bytes of the server's wait to be sent.
func (s *nativeSession) Held() int { return s.association.Queued() }

// Take makes messages of what was read from the server.
func (s *nativeSession) Take(buffer *loop.Buffer, n int) (kept bool) {
	for p := buffer.Bytes[:n]; len(p) > 0 && !s.ended && !s.left; {
		taken, err := s.split(p)
		if err != nil {
			s.abort(fmt.Errorf("the server: %w", err))
			return false
		}
		p = p[taken:]
	}
	if s.paused {
		s.pace()
	}
	return false
}

// split takes the bytes of one message off p, and sends it when they are its last.
func (s *nativeSession) split(p []byte) (taken int, err error) {
	most := s.association.Capabilities().MaxMessage
	if s.asIs {
		taken = min(len(p), most)
		return taken, s.send(p[:taken])
	}
	req := s.oldest()
	cut, err := s.replies.Next(req, p)
	if err != nil {
		return 0, err
	}
	s.goodbye = s.goodbye || cut.Close
	if s.reply.Len()+cut.N > most {
		return 0, fmt.Errorf("a message of more than %d bytes, which is the most that goes over this association", most)
	}
	switch {
	case !cut.End:
		s.reply.Append(s.owner.element.shard.loop.Buffers(), p[:cut.N])
		return cut.N, nil
	case req != nil && !cut.Push:
		s.answered()
	}
	return cut.N, s.finish(p[:cut.N])
}

// finish sends a message of the server's, of which p is the end.
func (s *nativeSession) finish(p []byte) error {
	if s.reply.Len() == 0 {
		return s.send(p)
	}
	whole := s.reply.Copy(make([]byte, 0, s.reply.Len()+len(p)), s.reply.Start(), s.reply.End())
	s.reply.Clear()
	return s.send(append(whole, p...))
}

// send sends a message of the server's.
func (s *nativeSession) send(p []byte) error {
	s.toUser += int64(len(p))
	err := s.sendCookie(true)
	if err == nil {
		err = s.association.Send(mapping.Message{PPID: s.owner.ppid, Data: p}, nil)
	}
	if errors.Is(err, mapping.ErrDown) {
		return nil // which is told
	}
	return err
}

// Drained lets the server be read on (mapping.Handler).
func (s *nativeSession) Drained() {
	if s.ended {
		return
	}
	if err := s.sendCookie(false); err != nil {
		s.abort(err)
	} else if s.server != nil {
		s.server.ReadOn()
	}
}

// End says that the server has sent its end of file. In peace, with nothing in flight, it is passed on in order; a server that has died
// looks the same, but for nobody listening there any more.
func (s *nativeSession) End() {
	switch {
	case s.ended:
	case s.left:
		s.end(s.spill.Len() > 0)
	case s.goodbye && s.reply.Len() == 0 && s.spill.Len() == 0 && s.outstanding() <= 1: // the goodbye itself needs no answer
		s.shutDown()
	case s.inFlight():
		s.abort(errNativeInFlight)
	default:
		s.owner.element.listening(s.server, s.closed)
	}
}

// inFlight reports whether the pool user waits for something that the server has not said.
func (s *nativeSession) inFlight() bool {
	return s.reply.Len() > 0 || len(s.due) > 0 || s.spill.Len() > 0
}

// closed follows an end of file with nothing in flight.
func (s *nativeSession) closed(listens bool) {
	switch {
	case s.ended:
	case !listens:
		s.abort(errNativeServerDied)
	case s.inFlight(): // since the server closed; nobody will answer it
		s.abort(errNativeInFlight)
	default:
		s.shutDown()
	}
}

// Broken says that the server's connection has failed.
func (s *nativeSession) Broken(err error) { s.abort(fmt.Errorf("the server: %w", err)) }
