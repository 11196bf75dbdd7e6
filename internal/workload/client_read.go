package workload

import (
	"fmt"
	"io"
	"time"
)

// read takes replies until the connection ends, and says how it did; io.EOF is an end of file between two replies.
func (s *session) read() error {
	in := newInput(s.conn)
	for {
		re, err := s.d.hear(in, s)
		if err != nil {
			return err
		}
		p, err := s.whose(&re)
		if err != nil {
			return err
		}
		err = s.d.content(in, &re, &p.Request, s.progress(p, re.size))
		if err != nil {
			return err
		}
		s.complete(&re, p)
		if re.closes {
			s.closing = re.refused == ""
			return s.goodbye(in)
		}
	}
}

// oldest is the request that is to be answered next.
func (s *session) oldest() *Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.due) == 0 {
		return nil
	}
	return &s.due[0].Request
}

// mostRemembered is how many answered requests are remembered, to recognise a second reply to them where replies have no names.
const mostRemembered = 64

// find is for dialects whose replies have no names.
func (s *session) find(fits func(*Request) bool) *Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.due {
		if fits(&p.Request) {
			return &p.Request
		}
	}
	for i := range s.answered {
		if fits(&s.answered[i]) {
			return &s.answered[i]
		}
	}
	return nil
}

// whose finds the request that a reply answers. A second reply to the same request is noted, and read like the first one.
func (s *session) whose(re *reply) (*pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !re.named {
		if len(s.due) == 0 {
			if re.refused != "" {
				return nil, wrong("an error that nobody asked for: %s", re.refused)
			}
			return nil, wrong("a reply when none is due")
		}
		return s.due[0], nil
	}
	if re.session != s.Session {
		return nil, wrong("the reply to request %d of session %x", re.number, re.session)
	}
	for at, p := range s.due {
		if p.Number != re.number {
			continue
		}
		if re.size != int64(p.Size) {
			return nil, wrong("the reply to request %d has %d bytes of content, not %d", p.Number, re.size, p.Size)
		}
		for _, late := range s.due[:at] {
			s.skipped = append(s.skipped, Fault{FaultReordered, late.Number, fmt.Sprintf("its reply came behind that to request %d", re.number)})
		}
		return p, nil
	}
	if re.number > uint64(s.sent) || re.number == 0 {
		return nil, wrong("the reply to request %d, which was never sent", re.number)
	}
	return nil, &twice{re.number, "its reply came a second time"}
}

// twice: a reply has come twice, or says that its request was carried out twice.
type twice struct {
	number uint64
	text   string
}

func (d *twice) Error() string { return d.text }

// progress tells of the half, and puts off the end of patience.
func (s *session) progress(p *pending, size int64) func(int64) {
	told := s.Events == nil || size < 2
	return func(n int64) {
		s.conn.SetReadDeadline(time.Now().Add(s.timeout()))
		if !told && n >= size/2 && n < size {
			told = true
			s.tell(HalfReceived, p.Request, 0)
		}
	}
}

// complete takes p off those that wait.
func (s *session) complete(re *reply, p *pending) {
	now := time.Now()
	gap := now.Sub(p.sent)
	if since := now.Sub(s.last); since < gap {
		gap = since
	}
	s.last = now
	s.report.Gaps.Add(gap)
	if gap > s.report.Longest {
		s.report.Longest, s.report.At = gap, now
	}
	kind := Answered
	s.report.Parting = re.refused != ""
	if s.report.Parting {
		kind = Refused
		s.report.Refused = append(s.report.Refused, Refusal{p.Number, p.Unsafe, re.undone, re.refused})
	} else {
		s.report.Answered++
		s.report.Bytes += re.size
	}
	s.tell(kind, p.Request, gap, re.refused)
	s.release(p, re.closes)
}

// goodbye reads to the end behind a reply that said that the connection ends: nothing may come any more.
func (s *session) goodbye(in *input) error {
	s.conn.SetReadDeadline(time.Now().Add(s.timeout()))
	switch n, err := io.Copy(io.Discard, in); {
	case n > 0:
		return wrong("%d bytes behind a reply that said that the connection ends", n)
	case err != nil:
		return err
	}
	return io.EOF
}

// release makes room for another request, unless the connection ends.
func (s *session) release(p *pending, closes bool) {
	s.mu.Lock()
	for at := range s.due {
		if s.due[at] == p {
			s.due = append(s.due[:at], s.due[at+1:]...)
			if len(s.answered) < mostRemembered {
				s.answered = append(s.answered, p.Request)
			} else {
				s.answered[p.Number%mostRemembered] = p.Request
			}
			break
		}
	}
	over := s.said && len(s.due) == 0
	if len(s.due) == 0 {
		s.conn.SetReadDeadline(time.Time{})
	} else {
		s.conn.SetReadDeadline(time.Now().Add(s.timeout()))
	}
	s.mu.Unlock()
	if closes {
		return
	}
	<-s.slots
	if over {
		s.farewell()
	}
}
