package loop

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestConnect(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		dialed, accepted := w.pair()
		w.do(func() {
			if dialed.Local() != accepted.Remote() || dialed.Remote() != accepted.Local() {
				w.Errorf("addresses: %v -> %v and %v -> %v", dialed.Local(), dialed.Remote(), accepted.Remote(), accepted.Local())
			}
			if dialed.Err() != nil || dialed.heard&Hangup != 0 {
				w.Errorf("error %v, heard %b", dialed.Err(), dialed.heard)
			}
		})
	})
}

func TestRefused(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().(*net.TCPAddr).AddrPort()
	closed.Close()
	onEveryLoop(t, func(w *world) {
		e := newEnd()
		w.do(func() { e.Conn = w.Dial(addr, e) })
		w.receive(e.done, "the refusal")
		w.do(func() {
			if !errors.Is(e.Err(), ErrRefused) || e.heard&Hangup == 0 || e.heard&Connected != 0 {
				w.Errorf("error %v, heard %b", e.Err(), e.heard)
			}
			if !strings.Contains(e.Err().Error(), addr.String()) {
				w.Errorf("%q does not name the address %v", e.Err(), addr)
			}
		})
	})
}

func TestDialNowhere(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		e := newEnd()
		w.do(func() { e.Conn = w.Dial(netip.AddrPort{}, e) })
		w.receive(e.done, "the failure")
		w.do(func() {
			if e.Err() == nil || e.heard != Hangup {
				w.Errorf("error %v, heard %b", e.Err(), e.heard)
			}
		})
	})
}

func TestListenTwice(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		addr := w.listen(func(Conn) Handler { return nil })
		w.do(func() {
			_, err := w.Listen(addr, func(Conn) Handler { return nil })
			if err == nil || !strings.Contains(err.Error(), addr.String()) {
				w.Errorf("a second listener at %v: %v", addr, err)
			}
		})
	})
}

func TestIPv6(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		probe, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			w.Skip("no IPv6 here: ", err)
		}
		probe.Close()
		connected := make(chan struct{}, 2)
		w.do(func() {
			l, err := w.Listen(netip.MustParseAddrPort("[::]:0"), func(Conn) Handler { return handler(func(Event) {}) })
			if err != nil {
				w.Error(err)
				connected <- struct{}{}
				connected <- struct{}{}
				return
			}
			for _, ip := range []string{"127.0.0.1", "::1"} {
				to := netip.AddrPortFrom(netip.MustParseAddr(ip), l.Addr().Port())
				w.Dial(to, handler(func(ev Event) {
					if ev&Connected != 0 {
						connected <- struct{}{}
					}
				}))
			}
		})
		w.receive(connected, "a connection to the wildcard")
		w.receive(connected, "the other connection to the wildcard")
	})
}
