package session

import (
	"testing"
	"time"
)

// counts is how many legs each of the user's associations with the station carries.
func (r *rig) counts(s *station) (legs []int) {
	for _, l := range r.user.links[s.name] {
		if l != nil && l.hello != nil {
			legs = append(legs, l.streams.live)
		}
	}
	return legs
}

// spreadRig has 4 associations, each with 2 sessions that have been answered.
func spreadRig(t *testing.T, elements int) *rig {
	r := newRig(t, options{spread: 4, elements: elements, priority: true})
	for range 8 {
		r.client().says("GET 1\n", false)
	}
	r.until("all are answered", func() bool { return r.answered("re GET 1\n") })
	return r
}

// answered reports whether every client has got exactly that.
func (r *rig) answered(want string) bool {
	for _, c := range r.clients {
		if string(c.got) != want {
			return false
		}
	}
	return true
}

// Sessions are spread over the associations by count, also those that come before the first one is up.
func TestSpread(t *testing.T) {
	r := spreadRig(t, 1)
	check := func(want ...int) {
		t.Helper()
		got := r.counts(r.stations[0])
		if len(got) != len(want) {
			t.Fatalf("the associations carry %v legs, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("the associations carry %v legs, want %v", got, want)
				return
			}
		}
	}
	check(2, 2, 2, 2)
	if n := len(r.stations[0].e.links); n != 4 {
		t.Errorf("the element has %d associations", n)
	}
	for _, c := range r.clients[:4] { // the first of each
		c.says("", true)
		r.serverOf(c).says("", true)
	}
	r.until("they are closed", func() bool { return r.user.Count() == 4 })
	r.w.RunFor(time.Second)
	check(1, 1, 1, 1)
	r.client()
	r.client()
	r.w.RunFor(time.Second)
	check(2, 2, 1, 1)
	r.close()
}

// serverOf is the server's connection of a client's session.
func (r *rig) serverOf(c *end) *end {
	for _, s := range r.stations {
		for _, server := range s.servers {
			if server.rules.(*Leg).Session == c.session.ID {
				return server
			}
		}
	}
	r.t.Fatalf("%s has no server", c.name)
	return nil
}

// When one of several associations breaks, its sessions go on over the others at once; nobody else notices, and the element is not
// passed over. Later sessions have it begun again.
func TestSpreadOneBreaks(t *testing.T) {
	for n := range 4 {
		r := spreadRig(t, 1)
		s := r.stations[0]
		for _, c := range r.clients {
			c.says("GET 2\n", false)
		}
		r.w.CutOne(r.host, s.host, n)
		r.until("all are answered again", func() bool { return r.answered("re GET 1\nre GET 2\n") })
		if len(s.servers) != 8 {
			t.Errorf("the server has seen %d connections", len(s.servers))
		}
		for _, x := range r.records {
			if x.Kind != KindResumed || x.Connect > 200*time.Millisecond {
				t.Errorf("record %+v", x)
			}
		}
		if len(r.records) != 2 {
			t.Errorf("%d sessions were resumed, want 2", len(r.records))
		}
		if failures := r.pool.Failures(s.name); failures != 0 {
			t.Errorf("the element has failed %d times", failures)
		}
		if got := len(r.counts(s)); got != 3 {
			t.Errorf("%d associations are up", got)
		}
		r.w.RunFor(2 * redialEvery)
		r.client()
		r.w.RunFor(time.Second)
		if got := len(r.counts(s)); got != 4 {
			t.Errorf("%d associations are up after a session has come", got)
		}
		r.close()
	}
}

// When the element is gone, all its sessions move, whatever the order in which its associations are found dead.
func TestSpreadElementDies(t *testing.T) {
	for _, vanish := range []bool{false, true} {
		r := spreadRig(t, 2)
		old, next := r.stations[0], r.stations[1]
		if len(next.servers) != 0 {
			t.Fatal("the second element is preferred")
		}
		if vanish {
			old.host.Vanish()
		} else {
			old.host.Kill()
		}
		for _, c := range r.clients {
			c.says("GET 2\n", false)
		}
		r.until("all are answered again", func() bool { return r.answered("re GET 1\nre GET 2\n") })
		if got := r.counts(next); len(got) != 4 || got[0] != 2 || got[3] != 2 {
			t.Errorf("the associations of the next carry %v legs", got)
		}
		old.e.Close()
		r.close()
	}
}

// An element that takes fewer associations than the user would have serves all the same; those that it refuses are not tried all the
// time.
func TestSpreadRefused(t *testing.T) {
	r := newRig(t, options{spread: 4})
	s := r.stations[0]
	asked := 0
	s.refuses = func() bool { asked++; return len(s.e.links) >= 2 }
	for range 8 {
		r.client().says("GET 1\n", false)
	}
	r.until("all are answered", func() bool { return r.answered("re GET 1\n") })
	if failures := r.pool.Failures(s.name); failures != 0 {
		t.Errorf("the element has failed %d times", failures)
	}
	for range 20 {
		r.client().says("GET 1\n", false)
		r.w.RunFor(10 * time.Millisecond)
	}
	r.until("all are answered", func() bool { return r.answered("re GET 1\n") })
	if got := r.counts(s); len(got) != 2 || got[0] != 14 || got[1] != 14 {
		t.Errorf("the associations carry %v legs", got)
	}
	if asked > 4 {
		t.Errorf("the element was asked for %d associations within a second", asked)
	}
	r.close()
}
