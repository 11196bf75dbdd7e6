package loop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// Connections accepted by one loop are carried by another, with what had arrived before.
func TestAdoptAccepted(t *testing.T) {
	first, second := epollWorld(t), epollWorld(t)
	var l Listener
	ends := make(chan *end, 10)
	first.do(func() {
		var err error
		l, err = first.Runner.(Adopter).ListenFor(loopback, func(a Accepted) {
			if !a.Remote().IsValid() {
				t.Error("its peer is not known")
			}
			second.Post(func() {
				second.Runner.(Adopter).Adopt(a, func(c Conn) Handler {
					e := newEnd()
					e.Conn = c
					ends <- e
					return e
				})
			})
		})
		if err != nil {
			t.Error(err)
		}
	})
	for i := range 5 {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "question %d", i)
		c.(*net.TCPConn).CloseWrite()
		e := <-ends
		second.receive(e.done, "the end")
		second.do(func() {
			if string(e.got) != fmt.Sprintf("question %d", i) {
				t.Errorf("got %q", e.got)
			}
			e.Write([]byte("answer"))
			e.Close()
		})
		if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// peeker looks at what comes and takes nothing.
type peeker struct {
	Movable
	seen chan string
}

func (p *peeker) Ready(Event) {
	buf := make([]byte, 8)
	n, err := p.Peek(buf)
	p.seen <- fmt.Sprint(string(buf[:n]), " ", err)
}

// What was only looked at comes again, also at the loop that the connection has moved to; the one that it has left hears nothing more.
func TestPeekAndLeave(t *testing.T) {
	first, second := epollWorld(t), epollWorld(t)
	peekers := make(chan *peeker, 1)
	var l Listener
	first.do(func() {
		var err error
		l, err = first.Listen(loopback, func(c Conn) Handler {
			p := &peeker{c.(Movable), make(chan string, 10)}
			peekers <- p
			return p
		})
		if err != nil {
			t.Error(err)
		}
	})
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	p := <-peekers
	want := func(text string) {
		t.Helper()
		select {
		case got := <-p.seen:
			if got != text {
				t.Errorf("saw %q, not %q", got, text)
			}
		case <-time.After(patience):
			t.Fatalf("saw nothing, not %q", text)
		}
	}
	c.Write([]byte("one"))
	want("one <nil>")
	c.Write([]byte("two"))
	want("onetwo <nil>")
	c.(*net.TCPConn).CloseWrite()
	want("onetwo EOF")
	e := newEnd()
	first.do(func() {
		a := p.Leave()
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("a read behind Leave: %v", err)
		}
		if _, err := p.Peek(make([]byte, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("a look behind Leave: %v", err)
		}
		p.Close() // harmless
		second.Post(func() {
			second.Runner.(Adopter).Adopt(a, func(c Conn) Handler { e.Conn = c; return e })
		})
	})
	second.receive(e.done, "the end")
	second.do(func() {
		if string(e.got) != "onetwo" {
			t.Errorf("got %q", e.got)
		}
		e.Close()
	})
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the end is %v", err)
	}
	select {
	case got := <-p.seen:
		t.Errorf("saw %q behind Leave", got)
	default:
	}
}

// One that is dropped, refused, or comes when the loop has ended, is closed.
func TestDropAccepted(t *testing.T) {
	for name, drop := range map[string]func(*world, Accepted){
		"dropped": func(_ *world, a Accepted) { a.Drop() },
		"refused": func(w *world, a Accepted) {
			w.Runner.(Adopter).Adopt(a, func(Conn) Handler { return nil })
		},
		"too late": func(_ *world, a Accepted) {
			over, err := NewEpoll()
			if err != nil {
				t.Fatal(err)
			}
			over.Stop()
			over.Adopt(a, func(Conn) Handler { t.Error("adopted by a loop that has ended"); return nil })
		},
	} {
		w := epollWorld(t)
		var l Listener
		w.do(func() {
			var err error
			if l, err = w.Runner.(Adopter).ListenFor(loopback, func(a Accepted) { drop(w, a) }); err != nil {
				t.Error(err)
			}
		})
		c, err := net.Dial("tcp4", l.Addr().String())
		if err == nil { // the reset may come before Dial has returned
			c.SetDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		var slow net.Error
		if err == nil || errors.As(err, &slow) && slow.Timeout() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// epollWorld is an Epoll that runs until the test ends.
func epollWorld(t *testing.T) *world {
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Runner: e, ran: make(chan struct{})}
	go func() { // ends with the loop, for which Cleanup waits
		defer close(w.ran)
		e.Run()
	}()
	t.Cleanup(func() { e.Stop(); <-w.ran })
	return w
}
