// Package mappingtest holds the tests that every mapping must pass, and an in-memory mapping for the tests of others.
package mappingtest

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// Network is the TCP mapping over an in-memory network under virtual time, which can be cut, stalled, delayed and healed: the
// hosts of the World are the loops to dial and listen on.
type Network struct {
	*looptest.World
	mapping.TCPMapping
}

// NewNetwork returns a network without hosts; all its chances follow from the seed.
func NewNetwork(seed uint64) *Network { return &Network{World: looptest.NewWorld(seed)} }

// Env is what one conformance test runs on.
type Env struct {
	Dialer        mapping.Dialer
	Acceptor      mapping.Acceptor
	User, Element *Side          // who dials, who listens; they may share a loop
	At            netip.AddrPort // where to listen
	Nobody        netip.AddrPort // where nobody listens

	// Bytes says that associations run over a loop.Conn, so that a peer may be a stranger who writes any bytes.
	Bytes bool

	// Overtaking says that messages on different streams may overtake each other; KernelAcks, that a message is acknowledged when the
	// peer's kernel has it, whether or not its process has seen it.
	Overtaking, KernelAcks bool

	// Freeze stops the element's process as SIGSTOP does, Thaw has it go on; nil where that cannot be.
	Freeze, Thaw func()

	// Cut resets every connection; nil where that cannot be.
	Cut func()

	// Beat is the least interval of heartbeats that a machine keeps which stands still now and then, as emulated ones do; 0: any.
	Beat time.Duration

	// Slack is how much later than in theory a timed thing may be seen: 0 under virtual time.
	Slack time.Duration
}

// Side is one loop and how a test gets onto its goroutine.
type Side struct {
	Loop loop.Loop

	// Do runs f on the loop's goroutine and returns when it has.
	Do func(f func())

	// Await returns true once done, which is called on the loop's goroutine, reports true; false when limit has passed before.
	Await func(done func() bool, limit time.Duration) bool
}

// Factory makes a fresh Env, and cleans it up with t.Cleanup.
type Factory func(t *testing.T) *Env

// Virtual is the TCP mapping between two hosts of a Network.
func Virtual(seed uint64) Factory {
	return func(t *testing.T) *Env {
		n := NewNetwork(seed)
		user, element := n.Host("user"), n.Host("element")
		side := func(h *looptest.Host) *Side {
			return &Side{Loop: h, Do: func(f func()) { f() }, Await: n.RunUntil}
		}
		t.Cleanup(func() {
			n.RunFor(time.Minute)
			if left := n.Leaks(); left != 0 && !t.Failed() {
				t.Errorf("%d bytes of memory leaked", left)
			}
		})
		return &Env{
			Dialer: n, Acceptor: n, User: side(user), Element: side(element), Bytes: true,
			At: element.Addr(7001), Nobody: element.Addr(7002),
			Freeze: element.Freeze, Thaw: element.Thaw,
			Cut: func() { n.Cut(user, element) },
		}
	}
}

// Direct is mapping.Direct on one host of a Network.
func Direct(seed uint64) Factory {
	return func(t *testing.T) *Env {
		e := Virtual(seed)(t)
		d := mapping.NewDirect()
		e.Dialer, e.Acceptor, e.Element = d, d, e.User
		e.Bytes, e.Freeze, e.Thaw, e.Cut = false, nil, nil, nil
		return e
	}
}

// Real is a mapping over TCP on 127.0.0.1 between two real loops.
func Real(d mapping.Dialer, a mapping.Acceptor) Factory {
	return func(t *testing.T) *Env {
		user, element := runLoop(t), runLoop(t)
		var thaw chan struct{}
		return &Env{
			Dialer: d, Acceptor: a, User: user, Element: element, Bytes: true,
			At: netip.MustParseAddrPort("127.0.0.1:0"), Nobody: netip.MustParseAddrPort("127.0.0.1:1"),
			Freeze: func() {
				thaw = make(chan struct{})
				frozen, hold := make(chan struct{}), thaw
				element.Loop.Post(func() { close(frozen); <-hold })
				<-frozen
			},
			Thaw:  func() { close(thaw) },
			Slack: 15 * time.Second, // of a machine that others load
		}
	}
}

// poll is how often Await looks again. It waits for an event that has no channel, up to a deadline.
const poll = time.Millisecond

func runLoop(t *testing.T) *Side {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(l.Run)
	t.Cleanup(func() {
		l.Stop()
		running.Wait()
	})
	do := func(f func()) {
		done := make(chan struct{})
		if l.Post(func() { f(); close(done) }) {
			<-done
		}
	}
	return &Side{Loop: l, Do: do, Await: func(done func() bool, limit time.Duration) bool {
		deadline := time.After(limit)
		again := time.NewTicker(poll)
		defer again.Stop()
		for {
			var ok bool
			do(func() { ok = done() })
			if ok {
				return true
			}
			select {
			case <-again.C:
			case <-deadline:
				return false
			}
		}
	}}
}
