package workload

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Server answers a workload's requests, on any number of connections. One that is to die is a process of its own. It says what the
// reply is to be, as the request has it, checks what requests carry, and writes down what it carries out.
type Server struct {
	Kind    Kind
	Journal *Journal // nil: it keeps none
	Holds   Holds

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
	wait   sync.WaitGroup
}

// Serve accepts connections until the listener or the server is closed, which is no error. A process without descriptors goes on when it
// has some.
func (s *Server) Serve(l net.Listener) error {
	if _, err := newDialect(s.Kind); err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			var temporary interface{ Temporary() bool }
			if !errors.As(err, &temporary) || !temporary.Temporary() {
				return fmt.Errorf("workload: accept: %w", err)
			}
			time.Sleep(5 * time.Millisecond) // no descriptors: until others end
			continue
		}
		if !s.enter(conn) {
			conn.Close()
			continue
		}
		go s.handle(conn)
	}
}

// enter notes a connection; not when the server is closed.
func (s *Server) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[net.Conn]bool)
	}
	s.conns[conn] = true
	s.wait.Add(1)
	return true
}

// Close closes all connections, and waits until nobody works on them. It does not close the listener.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

// handle is the goroutine of a connection; it ends with it, and Close waits for it.
func (s *Server) handle(conn net.Conn) {
	defer s.wait.Done()
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	d, err := newDialect(s.Kind)
	if err != nil {
		return // Serve has asked
	}
	out := bufio.NewWriterSize(conn, 4<<10)
	in := newInput(flushing{conn, out})
	for {
		r, err := d.read(in)
		if err == nil {
			err = s.serve(d, out, &r)
		}
		if err != nil {
			s.end(conn, d, out, err)
			return
		}
	}
}

// flushing reads a connection, and before that writes what is to be said: nothing is held back while more is waited for.
type flushing struct {
	conn net.Conn
	out  *bufio.Writer
}

func (f flushing) Read(p []byte) (int, error) {
	if err := f.out.Flush(); err != nil {
		return 0, err
	}
	return f.conn.Read(p)
}

// errRefused: a request was answered by an error, and the connection ends behind it.
var errRefused = errors.New("workload: refused")

// serve carries one request out, and answers it.
func (s *Server) serve(d dialect, out *bufio.Writer, r *Request) error {
	hold := r.Hold.Where != HoldNowhere
	if hold { // what was answered before is not held up
		if err := out.Flush(); err != nil {
			return err
		}
		hold = s.Holds.begin(r)
	}
	if hold && r.Hold.Where == HoldBeforeDoing {
		time.Sleep(r.Hold.For)
	}
	if r.Unsafe && s.Journal != nil {
		if err := s.Journal.did(r); err != nil {
			d.fail(out, err.Error()) // not carried out, and it says so
			return errors.Join(errRefused, out.Flush())
		}
	}
	if hold && r.Hold.Where == HoldBeforeAnswer {
		time.Sleep(r.Hold.For)
	}
	half := func() error { return nil }
	if hold && r.Hold.Where == HoldHalfAnswered {
		half = func() error {
			err := out.Flush()
			time.Sleep(r.Hold.For)
			return err
		}
	}
	return d.write(out, r, half)
}

// end ends a connection as is due: behind an end of file in peace, else by a reset. Bytes that no client of this workload says are told
// the client and the journal.
func (s *Server) end(conn net.Conn, d dialect, out *bufio.Writer, err error) {
	if errors.Is(err, errWrong) {
		if s.Journal != nil {
			s.Journal.bad(err.Error()) // if it cannot be written the client is told all the same
		}
		d.fail(out, err.Error())
		err = errRefused
	}
	if errors.Is(err, io.EOF) || errors.Is(err, errRefused) {
		out.Flush()
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}
