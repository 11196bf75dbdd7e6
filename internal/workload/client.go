package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Client is one session: one connection, over which it sends what Next says and checks what comes back. Run it once.
type Client struct {
	Kind    Kind
	Address string // host:port of the pool_user, or of a server
	Session uint64 // not 0. Clients whose servers share journals need different ones; for each run other upper 40 bits

	// Next returns the request with that number, and false when there is to be none; then the client waits for what is still due, closes
	// its side and waits for the other's end. It is called by the goroutine that writes, and may wait. See Plan.
	Next func(number uint64) (Request, bool)

	Window   int                                                                  // how many requests may wait for their replies at once: a pipeline; 0 is 1, a closed loop
	Together bool                                                                 // requests are written together, as many as Window allows and 64 KiB hold; Next must not wait then
	Events   func(Event)                                                          // nil: nobody is told. It is called by two goroutines, one at a time for each
	Timeout  time.Duration                                                        // how long it waits for a byte while a reply is due; a minute if 0
	Page     *Page                                                                // nil, or with kind HTTP: this page of any server is asked for, and what Next says of requests is of no matter
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil: a net.Dialer, 10 s
}

// session is a Client at work.
type session struct {
	*Client
	conn   net.Conn
	d      dialect
	report *Report
	slots  chan struct{} // one for each request that may still be sent
	done   chan struct{} // closed when nothing more is read

	mu       sync.Mutex // of what follows
	due      []*pending // sent, and neither answered nor refused; the oldest first
	answered []Request  // some of the last that were
	said     bool       // all that is to be said is
	sent     int64
	unsafe   []uint64
	invalid  error // why a request cannot be sent
	reset    bool  // the writer was told of a reset

	// What follows is the reader's.
	closing bool      // a reply has said that the connection ends, as its protocol has it
	last    time.Time // when the last reply was complete
	skipped []Fault   // replies that came before others: reordered, if those come yet
}

// pending is a request that waits.
type pending struct {
	Request
	sent time.Time
}

// Run runs the session to its end, and says what it saw. When ctx is cancelled the session ends, abruptly, and what waits then is not lost (EndStopped);
// to end it in peace let Next say so. A deadline of ctx is the time that the whole session may take (EndTimeout).
func (c *Client) Run(ctx context.Context) *Report {
	report := &Report{Kind: c.Kind, Session: c.Session}
	s := &session{Client: c, report: report, slots: make(chan struct{}, max(c.Window, 1)), done: make(chan struct{})}
	s.run(ctx)
	s.tell(Ended, Request{}, 0)
	return report
}

func (s *session) run(ctx context.Context) {
	var err error
	if s.d, err = s.dialect(); err != nil {
		s.report.End, s.report.EndText = EndError, err.Error()
		return
	}
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if s.conn, err = dial(ctx, "tcp", s.Address); err != nil {
		s.report.End, s.report.EndText = EndRefused, err.Error()
		return
	}
	defer s.conn.Close()
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	s.last = time.Now()
	written := make(chan struct{})
	go s.write(written)
	err = s.read()
	close(s.done)
	s.conn.Close() // so that the writer ends
	<-written
	s.finish(ctx, err)
}

// dialect is the kind's, or that of a page.
func (c *Client) dialect() (dialect, error) {
	if c.Page != nil {
		return c.Page, nil
	}
	return newDialect(c.Kind)
}

func (s *session) tell(kind EventKind, r Request, gap time.Duration, text ...string) {
	if s.Events != nil {
		s.Events(Event{kind, s.Session, r, time.Now(), gap, strings.Join(text, " ")})
	}
}

func (s *session) timeout() time.Duration {
	if s.Timeout <= 0 {
		return time.Minute
	}
	return s.Timeout
}

// finish completes the report when both sides have ended. err is why the reader did.
func (s *session) finish(ctx context.Context, err error) {
	r := s.report
	r.Sent, r.Unsafe = s.sent, s.unsafe
	missing := make(map[uint64]bool)
	for _, p := range s.due {
		r.Unanswered = append(r.Unanswered, p.Number)
		missing[p.Number] = true
	}
	for _, f := range s.skipped {
		if !missing[f.Number] { // else it is lost, and that is said of it
			r.Faults = append(r.Faults, f)
		}
	}
	r.EndText = err.Error()
	var doubled *twice
	switch {
	case s.invalid != nil:
		r.End, r.EndText = EndError, s.invalid.Error()
	case errors.As(err, &doubled): // what was seen to go wrong counts, whatever has ended meanwhile
		r.End = EndFault
		r.Faults = append(r.Faults, Fault{FaultDoubled, doubled.number, doubled.text})
	case errors.Is(err, errWrong):
		r.End = EndFault
		r.Faults = append(r.Faults, Fault{FaultMixed, s.current(), err.Error()})
	case errors.Is(ctx.Err(), context.DeadlineExceeded): // nobody has stopped it: it did not come to its end in time
		r.End, r.EndText = EndTimeout, "the session's time was over"
	case ctx.Err() != nil:
		r.End = EndStopped
	case errors.Is(err, io.ErrUnexpectedEOF) && s.reset:
		r.End, r.EndText = EndReset, "connection reset by peer, as the writer was told"
	case errors.Is(err, io.ErrUnexpectedEOF):
		r.End = EndClosed
		r.Faults = append(r.Faults, Fault{FaultTruncated, s.current(), "an end of file within the reply"})
	case errors.Is(err, io.EOF) && (s.said || s.closing) && len(s.due) == 0:
		r.End, r.EndText = EndPeace, ""
	case errors.Is(err, io.EOF) && s.reset:
		r.End, r.EndText = EndReset, "connection reset by peer, as the writer was told"
	case errors.Is(err, io.EOF):
		r.End = EndClosed
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		r.End = EndReset
	case isTimeout(err):
		r.End, r.EndText = EndTimeout, fmt.Sprintf("nothing for %v", s.timeout())
	default:
		r.End = EndError
	}
}

// current is the request whose reply was being read.
func (s *session) current() uint64 {
	if len(s.due) == 0 {
		return 0
	}
	return s.due[0].Number
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
