package mappingtest

import (
	"errors"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// networkPair returns both ends of an association over a network with these heartbeats.
func networkPair(t *testing.T, c mapping.Config) (n *Network, x *fixture, user, element *Recorder) {
	x = &fixture{T: t, Env: Virtual(7)(t)}
	t.Cleanup(x.stop)
	user, element = x.pair(c)
	return x.Dialer.(*Network), x, user, element
}

func host(s *Side) *looptest.Host { return s.Loop.(*looptest.Host) }

// TestStall: a stalled path is found out on both sides within the bound, in either direction, and not before.
func TestStall(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		n, x, user, element := networkPair(t, quick)
		began := n.Now()
		if oneWay {
			n.StallOneWay(host(x.Element), host(x.User))
		} else {
			n.Stall(host(x.User), host(x.Element))
		}
		n.RunFor(time.Second)
		if took := user.DownAt.Sub(began); !errors.Is(user.Err, mapping.ErrSilent) || took > bound+5*time.Millisecond || took < bound/2 {
			t.Errorf("one way %v: the user's Down(%v) after %v", oneWay, user.Err, took)
		}
		if !oneWay && !errors.Is(element.Err, mapping.ErrSilent) {
			t.Errorf("the element's Down(%v)", element.Err)
		}
	}
}

// TestHeal: a path healed before the bound costs nothing but time.
func TestHeal(t *testing.T) {
	n, x, user, element := networkPair(t, quick)
	n.Stall(host(x.User), host(x.Element))
	for i := range 20 {
		x.send(user, mapping.Message{Data: pattern(1000, i)})
	}
	n.RunFor(bound * 2 / 3)
	n.Heal(host(x.User), host(x.Element))
	n.RunFor(time.Second)
	if user.down() || element.down() || len(element.Messages) != 20 || len(left(user)) != 0 {
		t.Errorf("%d of 20 messages; Down(%v), Down(%v)", len(element.Messages), user.Err, element.Err)
	}
}

// TestCloseBounded: a peer that never reads cannot keep a closed association alive.
func TestCloseBounded(t *testing.T) {
	n, x, user, _ := networkPair(t, beats)
	x.Freeze()
	for i := range 20 {
		x.send(user, mapping.Message{Data: pattern(50_000, i)})
	}
	n.RunFor(time.Millisecond)
	user.Close()
	n.RunFor(4 * time.Second)
	if open := host(x.User).Conns(); open != 1 {
		t.Errorf("%d connections while the end is waited for", open)
	}
	n.RunFor(2 * time.Second)
	if h := host(x.User); h.Conns() != 0 || h.Timers() != 0 || n.Leaks() != 0 {
		t.Errorf("%d connections, %d timers, %d bytes left", h.Conns(), h.Timers(), n.Leaks())
	}
	x.Thaw()
}

// TestVanished: a host that is not there is given up after DialTimeout.
func TestVanished(t *testing.T) {
	x := &fixture{T: t, Env: Virtual(7)(t)}
	host(x.Element).Vanish()
	user := x.dial(x.At, mapping.Config{DialTimeout: time.Second})
	x.await(x.User, "Down", user.down)
	if !errors.Is(user.Err, mapping.ErrSilent) {
		t.Errorf("Down(%v)", user.Err)
	}
}

// TestIdle: an idle association holds no memory of the pool, and wakes only for heartbeats.
func TestIdle(t *testing.T) {
	n, x, user, element := networkPair(t, beats)
	for i := range 100 {
		x.send(user, mapping.Message{Data: pattern(600*i, i)})
	}
	n.RunFor(time.Second)
	if n.Leaks() != 0 || len(element.Messages) != 100 {
		t.Errorf("%d bytes held, %d messages", n.Leaks(), len(element.Messages))
	}
	if timers := host(x.User).Timers() + host(x.Element).Timers(); timers != 2 {
		t.Errorf("%d timers armed, want one a side", timers)
	}
}
