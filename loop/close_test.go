package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

func TestHalfClose(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		dialed, accepted := w.pair()
		w.do(func() {
			dialed.Write([]byte("question"))
			if err := dialed.CloseWrite(); err != nil {
				w.Error(err)
			}
			if _, err := dialed.Write([]byte("more")); !errors.Is(err, ErrClosed) {
				w.Errorf("write after the end: %v", err)
			}
		})
		w.receive(accepted.done, "the end of the question")
		w.do(func() {
			accepted.Write([]byte("ans"), []byte("wer"))
			accepted.CloseWrite()
		})
		w.receive(dialed.done, "the end of the answer")
		w.do(func() {
			if string(accepted.got) != "question" || accepted.readErr != io.EOF || string(dialed.got) != "answer" || dialed.readErr != io.EOF {
				w.Errorf("%q then %v, %q then %v", accepted.got, accepted.readErr, dialed.got, dialed.readErr)
			}
			if dialed.Err() != nil || accepted.Err() != nil {
				w.Errorf("errors %v and %v", dialed.Err(), accepted.Err())
			}
		})
	})
}

func TestReset(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		dialed, accepted := w.pair()
		w.do(func() { accepted.Reset(); accepted.Reset() })
		w.receive(dialed.done, "the reset")
		heard := make(chan struct{}, 1)
		w.do(func() {
			dialed.onReady = func(Event) { heard <- struct{}{} }
			if dialed.heard&Hangup != 0 {
				heard <- struct{}{}
			}
		})
		w.receive(heard, "Hangup")
		w.do(func() {
			if !errors.Is(dialed.readErr, ErrReset) || !errors.Is(dialed.Err(), ErrReset) || dialed.heard&Hangup == 0 {
				w.Errorf("read %v, error %v, heard %b", dialed.readErr, dialed.Err(), dialed.heard)
			}
			if _, err := dialed.Write([]byte("x")); !errors.Is(err, ErrReset) {
				w.Errorf("write: %v", err)
			}
			if _, err := accepted.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
				w.Errorf("read after our own Reset: %v", err)
			}
		})
	})
}

func TestNilHandlerResets(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		addr := w.listen(func(Conn) Handler { return nil })
		c, err := net.Dial("tcp", addr.String())
		if err == nil { // else the reset was faster than net.Dial
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 1))
		}
		if !isOneOf(err, syscall.ECONNRESET, wsaConnReset) {
			w.Errorf("dial or read: %v", err)
		}
	})
}

func TestCloseSendsWhatWasWritten(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		data := bytes.Repeat([]byte("0123456789"), 5000)
		dialed, accepted := w.pair()
		w.do(func() {
			n, _ := dialed.Write(data)
			data = data[:n]
			dialed.Close()
			dialed.Close()
		})
		w.receive(accepted.done, "the end")
		w.do(func() {
			if !bytes.Equal(accepted.got, data) || accepted.readErr != io.EOF {
				w.Errorf("%d of %d bytes, then %v", len(accepted.got), len(data), accepted.readErr)
			}
		})
	})
}

func TestCloseAnotherInTheSameBatch(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		for range 20 {
			var conns []Conn
			accepted := make(chan struct{}, 2)
			heard := make(chan int, 10)
			var addr netip.AddrPort
			addr = w.listen(func(c Conn) Handler {
				me := len(conns)
				conns = append(conns, c)
				accepted <- struct{}{}
				return handler(func(Event) {
					heard <- me
					conns[1-me].Close()
					w.Dial(addr, handler(func(Event) {})) // refused below: there are two already
				})
			})
			var clients [2]net.Conn
			for i := range clients {
				var err error
				if clients[i], err = net.Dial("tcp", addr.String()); err != nil {
					w.Fatal(err)
				}
				defer clients[i].Close()
				w.receive(accepted, "a client")
			}
			w.do(func() { // while this runs, the loop cannot look
				clients[0].Write([]byte("x"))
				clients[1].Write([]byte("x"))
			})
			first := <-heard
			w.do(func() {})
			w.do(func() {
				for len(heard) > 0 {
					if other := <-heard; other != first {
						w.Errorf("conn %d was told of something after it was closed", other)
					}
				}
				conns[first].Close()
			})
		}
	})
}

func TestCloseWithinCallbacks(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		done := make(chan struct{}, 4)
		var l Listener
		w.do(func() {
			var err error
			l, err = w.Listen(loopback, func(c Conn) Handler {
				l.Close()
				l.Close()
				c.Close()
				done <- struct{}{}
				return handler(func(Event) { w.Error("a conn closed while it was accepted was told of something") })
			})
			if err != nil {
				w.Error(err)
				return
			}
			e := newEnd()
			e.onReady = func(ev Event) {
				if e.readErr != nil {
					e.Close()
					done <- struct{}{}
				}
			}
			e.Conn = w.Dial(l.Addr(), e)
		})
		w.receive(done, "the accept")
		w.receive(done, "the end")
		w.do(func() {
			gone := newEnd()
			gone.Conn = w.Dial(l.Addr(), gone)
			gone.Close()
			if _, err := gone.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
				w.Errorf("read of a conn closed while dialing: %v", err)
			}
		})
	})
}
