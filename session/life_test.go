package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// ended makes a rig that keeps what remains of sessions.
func endedRig(t *testing.T, o options) (*rig, *[]Ended) {
	r, all := newRig(t, o), &[]Ended{}
	r.user.c.Trace.Ended = func(e Ended) { *all = append(*all, e) }
	return r, all
}

// Every session leaves one account of itself, however it ends: how, why, where it has been, and how much was said.
func TestSessionsAreAccountedFor(t *testing.T) {
	for name, c := range map[string]struct {
		o    options
		play func(r *rig, c *end)
		want string // how, elements, requests, replies, failovers, protection
		why  string
	}{
		"closed in order": {options{elements: 2, failover: quick}, func(r *rig, c *end) {
			c.says("GET 1\nTELL 2\nGET 3\n", false)
			c.sometime("re GET 1\nre GET 3\n")
			c.says("", true)
			r.until("the end", func() bool { return r.serving().finished })
			r.serving().says("", true)
		}, "closed [element1] 3 2 0 protected", ""},
		"client resets": {options{failover: quick}, func(r *rig, c *end) {
			c.says("GET 1\n", false)
			c.sometime("re GET 1\n")
			c.breaks()
		}, "client_gone [element1] 1 1 0 degraded", "reset"},
		"server resets": {options{elements: 2, failover: quick}, func(r *rig, c *end) {
			c.says("GET 1\n", false)
			c.sometime("re GET 1\n")
			r.serving().breaks()
		}, "server_reset [element1] 1 1 0 protected", ""},
		"moved, then closed": {options{elements: 2, priority: true, failover: quick}, func(r *rig, c *end) {
			r.stations[0].app = silent
			c.says("GET 1\n", false)
			r.stations[0].has("GET 1\n")
			r.stations[0].die(true)
			c.sometime("re GET 1\n")
			c.says("", true)
			r.until("the end", func() bool { return r.stations[1].server().finished })
			r.stations[1].server().says("", true)
		}, "closed [element1 element2] 1 1 1", ""},
		"not carried on": {options{elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.Replay = ReplayNone })}, func(r *rig, c *end) {
			r.stations[0].app = silent
			c.says("GET 1\nSET 2\n", false)
			r.stations[0].has("GET 1\nSET 2\n")
			r.stations[0].die(true)
		}, "failed [element1] 2 0 0 unprotected", `replay`},
		"no protocol": {options{elements: 2, failover: quick, protocol: protocol.NewStream(protocol.StreamConfig{NoJoin: true})}, func(r *rig, c *end) {
			c.says("GET 1\n", false)
			c.sometime("re GET 1\n")
			c.breaks()
		}, "client_gone [element1] 0 0 0 unprotected", "reset"},
		"stopped": {options{failover: quick}, func(r *rig, c *end) {
			c.says("GET 1\n", false)
			c.sometime("re GET 1\n")
			r.user.Close()
		}, "stopped [element1] 1 1 0 degraded", "stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			r, all := endedRig(t, c.o)
			client := r.client()
			began := r.w.Now()
			c.play(r, client)
			r.until("it has ended", func() bool { return len(*all) > 0 })
			r.close()
			if len(*all) != 1 {
				t.Fatalf("%d accounts: %+v", len(*all), *all)
			}
			e := (*all)[0]
			got := fmt.Sprint(e.How, " ", e.Elements, " ", e.Requests, " ", e.Replies, " ", e.Failovers, " ", e.Protection)
			if !strings.HasPrefix(got, c.want) || !strings.Contains(e.Why, c.why) || (e.Why == "") != (e.How == EndClosed) {
				t.Errorf("%s (%q), not %s (%q)", got, e.Why, c.want, c.why)
			}
			if e.ID != client.session.ID || e.Client != client.name || !e.Began.Equal(began) || e.Time.Before(began) || e.FromClient != int64(client.taken) ||
				e.ToClient != int64(len(client.got)) || int(e.Legs) < len(e.Elements) || (e.Protection == Unprotected) != (e.Unprotected != "" && e.Protection != Degraded) {
				t.Errorf("%+v; the client said %d bytes and got %q", e, client.taken, client.got)
			}
		})
	}
}

// Where a session has been is bounded; and nothing is kept where nobody wants it.
func TestLifeIsBounded(t *testing.T) {
	l := &life{}
	for i := range 100 {
		l.at(fmt.Sprint(i % 50))
		l.at(fmt.Sprint(i % 50))
	}
	if len(l.elements) != mostElements || l.elements[0] != "0" || l.elements[mostElements-1] != "49" || slices.Contains(l.elements, "30") {
		t.Error(l.elements)
	}
	r := newRig(t, options{})
	if c := r.client(); c.session.life != nil {
		t.Error("it is kept")
	}
	r.close()
}

// What is known of a session goes with it into another process.
func TestLifeIsFrozen(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	was := &life{elements: []string{"a", "b"}, requests: 7, replies: 6, failovers: 1, how: EndFailed, why: "x", protection: Unprotected, unprotected: "y"}
	p, err := frozen(nil, frozenUser, now, was.freeze)
	if err != nil {
		t.Fatal(err)
	}
	var is life
	if err := thawed(p, frozenUser, now, is.freeze); err != nil || fmt.Sprint(is) != fmt.Sprint(*was) {
		t.Errorf("%v: %+v, not %+v", err, is, *was)
	}
}
