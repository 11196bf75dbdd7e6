package proxy

import (
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// A server that ends the association in order has died if nobody listens any more, else it has closed. The client's own end waits for
// the replies that are due, or, where they cannot be known, for a second without a word.
func TestNativeEnds(t *testing.T) {
	lines := func(t *testing.T) protocol.Protocol { return nativeLines(t, protocol.LineConfig{Safe: anyLine}) }
	t.Run("server closes", func(t *testing.T) {
		r := newNativeRig(t, lines(t), session.Failover{})
		c := r.client()
		c.write("one\n")
		r.last().say("1\n")
		r.do(func() { r.last().fail(io.EOF) })
		r.run(time.Second)
		if c.has("1\n"); !c.closed || len(r.wires) != 1 {
			t.Errorf("closed %t, %d associations", c.closed, len(r.wires))
		}
	})
	t.Run("server dies idle", func(t *testing.T) {
		r := newNativeRig(t, lines(t), session.Failover{})
		c := r.client()
		c.write("one\n")
		r.last().say("1\n")
		r.last().die(io.EOF)
		if c.has("1\n"); c.closed || len(r.wires) != 2 {
			t.Errorf("closed %t, %d associations", c.closed, len(r.wires))
		}
	})
	t.Run("client, replies are known", func(t *testing.T) {
		r := newNativeRig(t, lines(t), session.Failover{})
		c := r.client()
		c.write("one\ntwo\n")
		c.finish()
		w := r.last()
		r.run(5 * time.Second)
		w.say("1\n")
		if w.ended != "" {
			t.Fatalf("the association is %s, and a reply is due", w.ended)
		}
		w.say("2\n")
		r.run(10 * time.Millisecond)
		if c.has("1\n2\n"); !c.closed || w.ended != "closed" {
			t.Errorf("closed %t, the association is %q", c.closed, w.ended)
		}
	})
	t.Run("client, replies are not known", func(t *testing.T) {
		r := newNativeRig(t, protocol.NewStream(protocol.StreamConfig{}), session.Failover{})
		c := r.client()
		c.write("one\ntwo\n")
		c.finish()
		w := r.last()
		for range 5 {
			r.run(900 * time.Millisecond)
			w.say("x")
		}
		if w.ended != "" {
			t.Fatalf("the association is %s, and the server speaks", w.ended)
		}
		r.run(1100 * time.Millisecond)
		if c.has("xxxxx"); !c.closed || w.ended != "closed" {
			t.Errorf("closed %t, the association is %q", c.closed, w.ended)
		}
	})
	t.Run("client resets", func(t *testing.T) {
		r := newNativeRig(t, lines(t), session.Failover{})
		c := r.client()
		c.write("one\n")
		r.home.Post(func() { c.conn.Reset() })
		r.run(time.Second)
		if w := r.last(); w.ended != "aborted" {
			t.Errorf("the association is %q", w.ended)
		}
	})
}

// A request that was never on the wire was not carried out, and is sent to another element though it is not safe. One that was on it is
// in doubt, and the client is told.
func TestNativeUnsent(t *testing.T) {
	for _, c := range []struct {
		name  string
		fate  func(w *wire)
		again []string
		told  string
	}{
		{"all unsent", func(w *wire) { w.left.Unsent = []uint64{2, 4} }, []string{"b\n", "c\n"}, ""},
		{"one on the wire", func(w *wire) { w.left = mapping.Retrieved{Unacknowledged: []uint64{2}, Unsent: []uint64{4}} }, []string{"c\n"}, "lost\n"},
		{"acknowledged, but who knows", func(w *wire) {}, nil, "lost\nlost\n"},
		{"both on the wire", func(w *wire) { w.left.Unacknowledged = []uint64{2, 4} }, nil, "lost\nlost\n"},
	} {
		for _, err := range []error{io.EOF, loop.ErrReset} {
			t.Run(fmt.Sprint(c.name, " ", err), func(t *testing.T) {
				r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Lost: []byte("lost\n")}), session.Failover{})
				client := r.client()
				client.write("a\n")
				first := r.last()
				first.say("1\n")
				r.run(time.Second) // it is acknowledged
				client.write("b\nc\n")
				c.fate(first)
				first.heard("a\n", "b\n", "c\n")
				client.has("1\n")
				r.run(time.Second)
				first.die(err)
				r.last().heard(c.again...)
				client.has(c.told)
			})
		}
	}
}

// A server that is given up because it is silent gets nothing more: what was still in our hands is certain not to reach it.
func TestNativeSilent(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Lost: []byte("lost\n")}), session.Failover{ReplyTimeout: time.Second})
	c := r.client()
	c.write("a\nb\n")
	first := r.last()
	first.left = mapping.Retrieved{Unacknowledged: []uint64{0}, Unsent: []uint64{2}}
	r.run(1100 * time.Millisecond)
	if first.ended != "aborted" {
		t.Errorf("the association is %q", first.ended)
	}
	r.last().heard("b\n")
	c.has("lost\n")
}

// The listening socket of a dying process may still answer, but then the association does not last.
func TestNativeDyingListener(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine}), session.Failover{})
	c := r.client()
	c.write("one\n")
	r.last().say("1\n")
	r.dying = map[netip.AddrPort]bool{r.last().to: true}
	r.do(func() { r.last().fail(io.EOF) })
	r.run(time.Second)
	if c.has("1\n"); c.closed || len(r.wires) != 2 {
		t.Errorf("closed %t, %d associations", c.closed, len(r.wires))
	}
}

// A message that has no reply is sent again, if it is safe, unless the dead server's kernel has acknowledged it: on the wire it may have
// been lost.
func TestNativeOneWay(t *testing.T) {
	for name, c := range map[string]struct {
		left  mapping.Retrieved
		again []string
	}{
		"both on the wire": {mapping.Retrieved{Unacknowledged: []uint64{2, 8}}, []string{"tell1\n", "tell2\n"}},
		"one acknowledged": {mapping.Retrieved{Unacknowledged: []uint64{8}}, []string{"tell2\n"}},
		"one unsent":       {mapping.Retrieved{Unacknowledged: []uint64{2}, Unsent: []uint64{8}}, []string{"tell1\n", "tell2\n"}},
		"all acknowledged": {mapping.Retrieved{}, nil},
	} {
		for _, err := range []error{io.EOF, loop.ErrReset} {
			t.Run(fmt.Sprint(name, " ", err), func(t *testing.T) {
				r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine, OneWay: []*regexp.Regexp{regexp.MustCompile("^tell")}}), session.Failover{})
				client := r.client()
				client.write("a\n")
				first := r.last()
				first.say("1\n")
				r.run(time.Second)
				first.left = mapping.Retrieved{Unacknowledged: []uint64{2, 8}} // it has not been acknowledged yet
				client.write("tell1\ntell2\n")
				r.run(time.Second)
				first.heard("a\n", "tell1\n", "tell2\n")
				first.left = c.left
				first.die(err)
				r.last().heard(c.again...)
				client.write("b\n")
				r.last().heard("b\n")
			})
		}
	}
}

// A message that the client does not finish is not sent as if it had: the server would take it for another one.
func TestNativeUnfinished(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine}), session.Failover{})
	c := r.client()
	c.write("one\ntw")
	c.finish()
	w := r.last()
	w.say("1\n")
	r.run(10 * time.Millisecond)
	w.heard("one\n")
	if c.has("1\n"); !c.closed || w.ended != "closed" || !strings.Contains(r.log.String(), "in the middle of a message") {
		t.Errorf("closed %t, the association is %q\n%s", c.closed, w.ended, r.log.String())
	}
}
