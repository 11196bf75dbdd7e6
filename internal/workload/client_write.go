package workload

import (
	"errors"
	"syscall"
	"time"
)

// mostTogether is how many bytes of requests are written at once at most, when more may be sent.
const mostTogether = 64 << 10

// batch is requests that are written together.
type batch struct {
	bytes    []byte
	requests []Request
}

// write is the goroutine that sends; it ends when all is said, or the connection is gone. run waits for it.
func (s *session) write(ended chan<- struct{}) {
	defer close(ended)
	var b batch
	for number := uint64(1); ; number++ {
		if !s.slot(&b) {
			return
		}
		r, more := s.Next(number)
		if !more {
			break
		}
		r.Session, r.Number = s.Session, number
		if !s.send(&b, r) {
			return
		}
	}
	if !s.flush(&b) {
		return
	}
	s.mu.Lock()
	s.said = true
	quiet := len(s.due) == 0
	s.mu.Unlock()
	if quiet {
		s.farewell()
	}
}

// slot waits until another request may be sent; what is to be written is, before it waits.
func (s *session) slot(b *batch) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	if !s.flush(b) {
		return false
	}
	select {
	case s.slots <- struct{}{}:
		return true
	case <-s.done:
		return false
	}
}

// send has r written, together with others where there is more to send.
func (s *session) send(b *batch, r Request) bool {
	if err := r.check(); err != nil {
		s.mu.Lock()
		s.invalid = err
		s.mu.Unlock()
		s.conn.Close() // so that nobody waits for what is not sent
		return false
	}
	if r.Split && !s.flush(b) {
		return false
	}
	s.tell(Sending, r, 0)
	before := len(b.bytes)
	b.bytes = s.d.ask(b.bytes, &r)
	b.requests = append(b.requests, r)
	s.note(r)
	if r.Split {
		half := before + (len(b.bytes)-before)/2
		if _, err := s.conn.Write(b.bytes[:half]); err != nil {
			return s.cut(err)
		}
		s.tell(HalfSent, r, 0)
		b.bytes = b.bytes[half:]
	}
	return s.Together && !r.Split && len(b.bytes) < mostTogether || s.flush(b)
}

// note puts r among those that wait.
func (s *session) note(r Request) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	if r.Unsafe {
		s.unsafe = append(s.unsafe, r.Number)
	}
	s.due = append(s.due, &pending{r, now})
	if len(s.due) == 1 {
		s.conn.SetReadDeadline(now.Add(s.timeout()))
	}
}

func (s *session) flush(b *batch) bool {
	if len(b.bytes) > 0 {
		if _, err := s.conn.Write(b.bytes); err != nil {
			return s.cut(err)
		}
	}
	for _, r := range b.requests {
		s.tell(Sent, r, 0)
	}
	b.bytes, b.requests = b.bytes[:0], b.requests[:0]
	return true
}

// farewell closes the client's side, once everything is said and answered: the server's end must follow.
func (s *session) farewell() {
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // if that fails, reading says why
	}
	s.conn.SetReadDeadline(time.Now().Add(s.timeout()))
}

// cut ends the writing side. The reader sees how the connection ended, but for a reset, which the kernel tells only the first who asks: then
// reading is at an end of file. (After an end of file it would have been EPIPE.)
func (s *session) cut(err error) bool {
	if errors.Is(err, syscall.ECONNRESET) {
		s.mu.Lock()
		s.reset = true
		s.mu.Unlock()
	}
	return false
}
