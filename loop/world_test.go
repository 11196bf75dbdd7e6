package loop

import (
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// patience bounds every wait of these tests; none of them waits that long unless it fails.
const patience = 30 * time.Second

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// world is one running loop under test.
type world struct {
	*testing.T
	Runner
	ran chan struct{} // closed when Run has returned
}

// onEveryLoop runs a test over each real loop, and checks that it leaves no goroutine behind.
func onEveryLoop(t *testing.T, test func(w *world)) {
	for name, open := range everyLoop {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			r, err := open()
			if err != nil {
				t.Fatal(err)
			}
			w := &world{T: t, Runner: r, ran: make(chan struct{})}
			go func() {
				defer close(w.ran)
				r.Run()
			}()
			defer func() {
				r.Stop()
				<-w.ran
				waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
			}()
			test(w)
		})
	}
}

// waitFor polls for what only the system knows.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("waited in vain for %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// do runs f on the loop and waits for it.
func (w *world) do(f func()) {
	w.Helper()
	done := make(chan struct{})
	if !w.Post(func() { defer close(done); f() }) {
		w.Fatal("Post: the loop has stopped")
	}
	w.receive(done, "a posted function")
}

func (w *world) receive(c <-chan struct{}, what string) {
	w.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		w.Fatalf("waited in vain for %s\n%s", what, buf[:runtime.Stack(buf, true)])
	}
}

// listen returns the address of a listener in the loop.
func (w *world) listen(accept func(Conn) Handler) netip.AddrPort {
	w.Helper()
	var addr netip.AddrPort
	w.do(func() {
		l, err := w.Listen(loopback, accept)
		if err != nil {
			w.Error(err)
			return
		}
		addr = l.Addr()
	})
	return addr
}

// handler makes a function a Handler.
type handler func(ev Event)

func (h handler) Ready(ev Event) { h(ev) }

// end is one end of a connection that collects what it reads and hears.
type end struct {
	Conn
	heard   Event
	got     []byte
	readErr error
	done    chan struct{} // closed when reading is over
	onReady func(ev Event)
}

func newEnd() *end { return &end{done: make(chan struct{})} }

func (e *end) Ready(ev Event) {
	e.heard |= ev
	if ev&(Readable|Hangup) != 0 {
		e.read()
	}
	if e.onReady != nil {
		e.onReady(ev)
	}
}

// read takes everything, and trusts a short count.
func (e *end) read() {
	var p [1000]byte
	for e.readErr == nil {
		n, err := e.Read(p[:])
		e.got = append(e.got, p[:n]...)
		if err == ErrAgain || err == nil && n < len(p) {
			return
		}
		if err != nil {
			e.readErr = err
			close(e.done)
		}
	}
}

// pair connects two ends through TCP: what Dial made, and what the listener accepted.
func (w *world) pair() (dialed, accepted *end) {
	w.Helper()
	dialed, accepted = newEnd(), newEnd()
	ready := make(chan struct{}, 2)
	addr := w.listen(func(c Conn) Handler {
		accepted.Conn = c
		ready <- struct{}{}
		return accepted
	})
	w.do(func() {
		dialed.onReady = func(ev Event) {
			if ev&Connected != 0 {
				ready <- struct{}{}
			}
		}
		dialed.Conn = w.Dial(addr, dialed)
	})
	w.receive(ready, "one end to connect")
	w.receive(ready, "the other end to connect")
	return dialed, accepted
}
