package loop

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitDescriptors has this process have n descriptors more than it has now, until back is called.
func limitDescriptors(t *testing.T, n int) (back func()) {
	t.Helper()
	fd, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	to := unix.Rlimit{Cur: uint64(fd + n), Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &to); err != nil {
		t.Fatal(err)
	}
	back = func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}
	return back
}

// When descriptors run out, listeners rest, and say so; what is kept back can be dialled with; and who has waited is accepted when there are
// more again.
func TestScarce(t *testing.T) {
	back := limitDescriptors(t, leastReserve+2*20)
	defer func() { back() }()
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	told := 0
	e.OnScarce(func(int) { told++ })
	var accepted []Conn
	l, err := e.Listen(loopback, func(c Conn) Handler {
		accepted = append(accepted, c)
		return handler(func(Event) {})
	})
	if err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for range 30 { // of which each takes two descriptors: together more than there are without the reserve
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
		for until := time.Now().Add(20 * time.Millisecond); time.Now().Before(until) && len(accepted) < len(clients); {
			e.turn()
		}
	}
	if told == 0 || !e.Scarce() || len(accepted) == len(clients) {
		t.Fatalf("of %d clients %d were accepted, told %d times", len(clients), len(accepted), told)
	}
	connected := false
	out := e.Dial(l.Addr(), handler(func(ev Event) { connected = ev&Connected != 0 }))
	for until := time.Now().Add(30 * time.Second); !connected && out.Err() == nil && time.Now().Before(until); {
		e.turn()
	}
	if !connected {
		t.Errorf("a dial within the reserve: %v", out.Err())
	}
	back()
	for until := time.Now().Add(30 * time.Second); len(accepted) <= len(clients) && time.Now().Before(until); {
		e.turn()
	}
	if len(accepted) != len(clients)+1 || e.Scarce() {
		t.Errorf("with more descriptors %d of %d were accepted", len(accepted), len(clients)+1)
	}
}

// Who comes to a listener that uses the reserve is accepted while others rest, but not from the half of it that is for dials.
func TestReserve(t *testing.T) {
	back := limitDescriptors(t, leastReserve+2*10)
	defer func() { back() }()
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	listen := func() (l Listener, fill func() (accepted, waiting int)) {
		accepted := 0
		l, err := e.Listen(loopback, func(Conn) Handler {
			accepted++
			return handler(func(Event) {})
		})
		if err != nil {
			t.Fatal(err)
		}
		return l, func() (int, int) { // begins connections, of which each takes two descriptors, until one waits
			for n := accepted; ; n++ {
				for until := time.Now().Add(200 * time.Millisecond); accepted < n && time.Now().Before(until); {
					e.turn()
				}
				if accepted < n || n > 2*leastReserve {
					return accepted, n - accepted
				}
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
			}
		}
	}
	_, clients := listen()
	l, associations := listen()
	l.(Reserved).UseReserve(true)
	if n, wait := clients(); n == 0 || wait != 1 || !e.Scarce() {
		t.Fatalf("%d were accepted, %d wait", n, wait)
	}
	if n, wait := associations(); n == 0 || n > leastReserve/4 || wait != 1 || !e.scarce(true) {
		t.Errorf("from the reserve %d were accepted, %d wait", n, wait)
	}
	connected := false
	out := e.Dial(l.Addr(), handler(func(ev Event) { connected = ev&Connected != 0 }))
	for until := time.Now().Add(30 * time.Second); !connected && out.Err() == nil && time.Now().Before(until); {
		e.turn()
	}
	if !connected {
		t.Errorf("a dial within the other half: %v", out.Err())
	}
}

// Without any left, that is what a dial says, and not that the peer is to blame.
func TestScarceDial(t *testing.T) {
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	back := limitDescriptors(t, 0)
	defer back()
	hung := false
	c := e.Dial(loopback, handler(func(ev Event) { hung = ev&Hangup != 0 }))
	for until := time.Now().Add(30 * time.Second); !hung && time.Now().Before(until); {
		e.turn()
	}
	if !errors.Is(c.Err(), ErrScarce) || !errors.Is(c.Err(), unix.EMFILE) {
		t.Errorf("%v", c.Err())
	}
}
