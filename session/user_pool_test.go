package session

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// update makes these stations the pool's elements, as a source would.
func (r *rig) update(stations ...*station) {
	var elements []pool.Element
	for _, s := range stations {
		elements = append(elements, pool.Element{Name: s.name, Address: s.at()})
	}
	r.pool.Update(elements)
	r.user.Updated()
}

// asked begins a session, has it ask, and waits for the reply.
func (r *rig) asked() *end {
	r.t.Helper()
	c := r.client()
	c.says("GET 1\n", false)
	r.until("it is answered", func() bool { return string(c.got) == "re GET 1\n" })
	return c
}

// A session that waits for an element has one in the turn in which the pool has.
func TestUpdatedWakes(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	r.update()
	c := r.client()
	c.says("GET 1\n", false)
	r.w.RunFor(3 * time.Second)
	if len(c.got) > 0 || len(s.servers) > 0 {
		t.Fatal("an element that is gone has got a session")
	}
	r.w.RunFor(pool.LastPause / 10)
	r.update(s)
	r.w.RunFor(10 * time.Millisecond)
	if len(s.servers) != 1 {
		t.Error("the session waits on")
	}
	r.until("it is answered", func() bool { return string(c.got) == "re GET 1\n" })
	r.close()
}

// Who is gone gets no new sessions and keeps those it has, also over a break of the association; it is left when they have ended.
func TestUpdatedGone(t *testing.T) {
	r := newRig(t, options{elements: 2})
	first, second := r.stations[0], r.stations[1]
	c := r.asked()
	r.update(second)
	for range 4 {
		r.asked()
	}
	if len(first.servers) != 1 || len(second.servers) != 4 {
		t.Errorf("%d and %d sessions", len(first.servers), len(second.servers))
	}
	r.w.CutOne(r.host, first.host, 0)
	c.says("GET 2\n", false)
	r.until("it goes on", func() bool { return string(c.got) == "re GET 1\nre GET 2\n" })
	if len(first.servers) != 1 {
		t.Error("the session was moved")
	}
	r.user.Updated()
	if len(r.user.links) != 2 {
		t.Error("the association was ended, with a session on it")
	}
	c.says("", true)
	first.server().says("", true)
	r.until("it is closed", func() bool { return c.closed })
	r.w.RunFor(time.Second)
	r.user.Updated()
	r.w.RunFor(time.Second)
	if len(r.user.links) != 1 || len(r.user.broke) != 0 || r.user.links[first.name] != nil {
		t.Error("something is kept of the element that is gone")
	}
	if len(first.e.links) != 0 {
		t.Error("the element still has an association")
	}
	r.close()
}

// The session of an element that is gone fails over as others do.
func TestUpdatedGoneDies(t *testing.T) {
	r := newRig(t, options{elements: 2})
	c := r.asked()
	r.update(r.stations[1])
	r.serverOf(c).app = silent
	c.says("GET 2\n", false)
	r.w.RunFor(time.Second)
	r.stations[0].die(true)
	r.until("it goes on", func() bool { return string(c.got) == "re GET 1\nre GET 2\n" })
	if len(r.stations[1].servers) != 1 {
		t.Error("and nobody serves it")
	}
	r.user.Updated()
	r.close()
}

// An element that has the name of another one is another one: sessions stay where they are, new ones go to the new address, and the
// death of the old one is not the new one's.
func TestUpdatedMoved(t *testing.T) {
	r := newRig(t, options{elements: 2, spread: 2})
	first, second := r.stations[0], r.stations[1]
	r.update(first)
	c := r.asked()
	move := func(to *station) {
		r.pool.Update([]pool.Element{{Name: first.name, Address: to.at()}}) // the shard may use it before it has heard of it
	}
	move(second)
	r.asked()
	r.user.Updated()
	if len(first.servers) != 1 || len(second.servers) != 1 {
		t.Fatalf("%d and %d sessions", len(first.servers), len(second.servers))
	}
	c.says("GET 2\n", false)
	r.until("it goes on", func() bool { return string(c.got) == "re GET 1\nre GET 2\n" })
	for range 3 { // to and fro: nothing piles up
		move(first)
		r.asked()
		move(second)
		r.asked()
	}
	r.user.Updated()
	if from := c.session.Info().Element; from != first.name+" at "+first.at().String() {
		t.Errorf("the session is served by %q", from)
	}
	r.serverOf(c).app = silent
	c.says("GET 3\n", false)
	r.w.RunFor(time.Second)
	first.die(true)
	r.until("it moves", func() bool { return string(c.got) == "re GET 1\nre GET 2\nre GET 3\n" })
	if failures := r.pool.States()[0].Failures; failures != 0 {
		t.Errorf("the new one is held to have failed %d times", failures)
	}
	r.close()
}
