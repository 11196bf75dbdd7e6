package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
)

// drain has an operator drain the element of a station.
func (r *rig) drain(s *station) {
	r.t.Helper()
	if !r.pool.Drain(s.name) {
		r.t.Fatalf("%s is not known", s.name)
	}
	r.user.Drains()
}

func (r *rig) undrain(s *station) {
	r.pool.Undrain(s.name)
	r.user.Drains()
}

// wants waits until the client has got it all, in order.
func (r *rig) wants(c *end, all string) {
	r.t.Helper()
	r.until(fmt.Sprintf("the client has %q", all), func() bool { return string(c.got) == all })
}

// stays is why the client's session has not left an element that is drained.
func stays(c *end) string { return c.session.Info().Stays }

// An idle session leaves at once; its server sees an orderly end, new sessions go elsewhere, and the record says why.
func TestDrainIdle(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first, second := r.stations[0], r.stations[1]
	c := r.asked()
	r.drain(first)
	r.until("it has moved", func() bool { return len(second.servers) == 1 && first.server().closed })
	if first.server().reset || string(first.server().got) != "GET 1\n" {
		t.Errorf("the old server was reset: %t, got %q", first.server().reset, first.server().got)
	}
	c.says("GET 2\n", false)
	r.wants(c, "re GET 1\nre GET 2\n")
	r.asked()
	if len(first.servers) != 1 || string(second.servers[0].got) != "GET 2\n" {
		t.Errorf("%d sessions at the drained one; the other has got %q", len(first.servers), second.servers[0].got)
	}
	if len(r.records) != 1 || r.records[0].Detector != "drain" || r.records[0].Kind != KindMoved || r.records[0].Messages != 0 || r.records[0].Bytes != 0 {
		t.Errorf("records: %+v", r.records)
	}
	if r.undrain(first); len(r.user.left) != 0 {
		t.Error("something is left of it")
	}
	r.asked()
	if len(first.servers) != 2 {
		t.Error("it gets no sessions any more")
	}
	r.close()
}

// A session whose request is in flight waits for the answer of the old server; what its client asks meanwhile goes to the new one.
func TestDrainInFlight(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first, second := r.stations[0], r.stations[1]
	first.app = silent
	c := r.client()
	c.says("PUT 1\nPUT 2\n", false)
	r.until("both are asked", func() bool {
		return c.session.Info().State == "open" && string(first.server().got) == "PUT 1\nPUT 2\n"
	})
	r.drain(first)
	c.says("PUT 3\nPU", false)
	r.w.RunFor(500 * time.Millisecond)
	first.server().says("re PUT 1\n", false)
	r.w.RunFor(400 * time.Millisecond)
	if !strings.Contains(stays(c), "in flight") || len(second.servers) != 0 || string(first.server().got) != "PUT 1\nPUT 2\n" {
		t.Fatalf("it stays because %q, %d elsewhere, %q", stays(c), len(second.servers), first.server().got)
	}
	first.server().says("re PUT 2\n", false)
	c.says("T 4\n", false)
	r.wants(c, "re PUT 1\nre PUT 2\nre PUT 3\nre PUT 4\n")
	if got := string(second.server().got); got != "PUT 3\nPUT 4\n" {
		t.Errorf("the second server has got %q", got)
	}
	r.close()
}

// Pipelines do not keep a session: between any two of its requests it can leave.
func TestDrainPipeline(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, seed: 7})
	first, second := r.stations[0], r.stations[1]
	c := r.client()
	var want, asked strings.Builder
	n := 0
	more := func() {
		for range 10 {
			n++
			fmt.Fprintf(&asked, "PUT %d\n", n)
			fmt.Fprintf(&want, "re PUT %d\n", n)
			c.says(fmt.Sprintf("PUT %d\n", n), false)
		}
	}
	for range 20 {
		more()
		r.w.RunFor(time.Millisecond)
	}
	r.drain(first)
	for range 20 {
		more()
		r.w.RunFor(time.Millisecond)
	}
	r.wants(c, want.String())
	if got := string(first.server().got) + string(second.server().got); got != asked.String() || len(first.server().got) == 0 {
		t.Errorf("the servers have got %q", got)
	}
	r.close()
}

// A one-way message has to be with the old server before its session leaves.
func TestDrainOneWay(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first, second := r.stations[0], r.stations[1]
	c := r.asked()
	first.server().room = 0
	c.says("TELL it\n", false)
	r.w.RunFor(time.Second)
	r.drain(first)
	r.w.RunFor(time.Second)
	if !strings.Contains(stays(c), "on its way") || len(second.servers) != 0 {
		t.Fatalf("%q, %d elsewhere", stays(c), len(second.servers))
	}
	first.server().reads(-1)
	r.until("it has moved", func() bool { return len(second.servers) == 1 && first.server().closed })
	c.says("GET 2\n", false)
	r.wants(c, "re GET 1\nre GET 2\n")
	if first, second := string(first.server().got), string(second.server().got); first != "GET 1\nTELL it\n" || second != "GET 2\n" {
		t.Errorf("the servers have got %q and %q", first, second)
	}
	r.close()
}

// Transactions and states: a session does not leave in the middle of one, and takes the other along.
func TestDrainTransaction(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, protocol: protocol.NewRedis(protocol.RedisConfig{})})
	first, second := r.stations[0], r.stations[1]
	first.app, second.app = silent, silent
	c := r.client()
	exchange := func(s *station, asks, answer string) {
		t.Helper()
		had := len(c.got)
		c.says(asks, false)
		r.until("it asks "+asks, func() bool { return s.server() != nil && strings.HasSuffix(string(s.server().got), asks) })
		s.server().says(answer, false)
		r.until("it is answered "+answer, func() bool { return string(c.got[had:]) == answer })
	}
	exchange(first, "SELECT 3\r\n", "+OK\r\n")
	exchange(first, "MULTI\r\n", "+OK\r\n")
	r.drain(first)
	exchange(first, "INCR a\r\n", "+QUEUED\r\n")
	r.w.RunFor(5 * time.Second)
	if !strings.HasPrefix(stays(c), "in a transaction since") && !strings.Contains(stays(c), "transaction") {
		t.Errorf("it stays because %q", stays(c))
	}
	exchange(first, "EXEC\r\n", "*1\r\n:1\r\n")
	r.until("it moves", func() bool { return second.server() != nil && string(second.server().got) == "SELECT 3\r\n" })
	second.server().says("+OK\r\n", false)
	exchange(second, "GET a\r\n", "$1\r\n1\r\n")
	if got := string(first.server().got); got != "SELECT 3\r\nMULTI\r\nINCR a\r\nEXEC\r\n" {
		t.Errorf("the first server has got %q", got)
	}
	r.close()
}

// Those that cannot leave stay where they are and say why.
func TestDrainStays(t *testing.T) {
	for name, x := range map[string]struct {
		options
		why string
	}{
		"stream":  {options{elements: 2, protocol: protocol.NewStream(protocol.StreamConfig{NoJoin: true})}, "quiet point"},
		"alone":   {options{elements: 1}, "no other element"},
		"history": {options{elements: 2, failover: Failover{Replay: ReplaySession, Deadline: time.Minute, Attempts: 5, Unsafe: UnsafeReplay}}, "repeated"},
	} {
		t.Run(name, func(t *testing.T) {
			x.priority = true
			r := newRig(t, x.options)
			first := r.stations[0]
			c := r.asked()
			r.drain(first)
			r.w.RunFor(5 * time.Second)
			if !strings.Contains(stays(c), x.why) {
				t.Errorf("it stays because %q", stays(c))
			}
			c.says("GET 2\nGET 3\n", false)
			r.wants(c, "re GET 1\nre GET 2\nre GET 3\n")
			if first.server().closed || len(r.records) != 0 || string(first.server().got) != "GET 1\nGET 2\nGET 3\n" {
				t.Errorf("closed %t, records %+v, %q", first.server().closed, r.records, first.server().got)
			}
			r.undrain(first)
			if i := c.session.Info(); i.Leaves != "" || i.Stays != "" {
				t.Errorf("%q, %q", i.Leaves, i.Stays)
			}
			r.close()
		})
	}
}

// One that could not leave, since there was nowhere to go, does when there is.
func TestDrainAnotherComes(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first, second := r.stations[0], r.stations[1]
	r.update(first)
	r.asked()
	r.drain(first)
	r.w.RunFor(time.Second)
	r.update(first, second)
	r.until("it leaves", func() bool { return len(second.servers) == 1 && first.server().closed })
	r.close()
}

// The element itself asks: all its sessions leave, and new ones do not come until it takes that back.
func TestDrainAsked(t *testing.T) {
	for _, spread := range []int{1, 3} {
		r := newRig(t, options{elements: 2, priority: true, spread: spread})
		first, second := r.stations[0], r.stations[1]
		for range 10 {
			r.asked()
		}
		first.e.Drain("it stops")
		r.until("all have left", func() bool {
			live, held := first.e.Legs()
			return live+held == 0 && len(second.servers) == 10
		})
		if !r.logged("asked to be drained", "it stops") {
			t.Error("nobody says why")
		}
		r.w.CutOne(r.host, first.host, 0) // it says so again, on the next association
		r.asked()
		r.w.RunFor(3 * time.Second)
		r.asked()
		if len(first.servers) > 10+2 { // one look after the cut
			t.Errorf("it has got %d sessions", len(first.servers)-10)
		}
		first.e.Undrain()
		r.w.RunFor(time.Second)
		had := len(first.servers)
		r.asked()
		if len(first.servers) != had+1 {
			t.Error("it gets no sessions any more")
		}
		r.close()
	}
}

// A pool user that does not know DRAIN is told nothing.
func TestDrainOldPeer(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	r.asked()
	for l := range s.e.links {
		l.hello.version = 1
	}
	s.e.Drain("")
	r.w.RunFor(time.Second)
	if r.logged("asked to be drained") {
		t.Error("it was told")
	}
	r.close()
}

// A client that has a request held back gets an answer also when the one before is never answered: it waits for it no longer than
// drainHold.
func TestDrainHoldsBriefly(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first := r.stations[0]
	first.app = func(e *end) { // it answers only when it has both
		if string(e.got) == "GET 1\nGET 2\n" {
			e.says("re GET 1\nre GET 2\n", false)
		}
	}
	c := r.client()
	c.says("GET 1\n", false)
	r.until("it is asked", func() bool { return first.server() != nil && len(first.server().got) > 0 })
	r.drain(first)
	c.says("GET 2\n", false)
	r.wants(c, "re GET 1\nre GET 2\n")
	r.until("it leaves", func() bool { return first.server().closed })
	r.close()
}

// A session that no other element takes goes back to the one that is drained, and leaves later.
func TestDrainGoesBack(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first, second := r.stations[0], r.stations[1]
	c := r.asked()
	second.gone = true
	r.drain(first)
	r.until("it is back", func() bool { return len(first.servers) == 2 && c.session.Info().State == "open" })
	c.says("GET 2\n", false)
	r.wants(c, "re GET 1\nre GET 2\n")
	r.until("it says why", func() bool { return strings.Contains(stays(c), "no other element") })
	r.w.RunFor(20 * time.Second)
	if n := len(first.servers); n > 7 {
		t.Errorf("it has left and come back %d times in 20 s", n-1)
	}
	c.says("GET 3\n", false)
	r.wants(c, "re GET 1\nre GET 2\nre GET 3\n")
	second.gone = false
	r.until("it leaves", func() bool {
		return string(c.got) != "" && c.session.Info().Element == second.name && c.session.Info().State == "open"
	})
	c.says("GET 4\n", false)
	r.wants(c, "re GET 1\nre GET 2\nre GET 3\nre GET 4\n")
	r.close()
}

// A session does not leave its element for one whose host is dead, also if nobody has noticed yet, and its element takes nobody back.
func TestDrainForTheDead(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first, second := r.stations[0], r.stations[1]
	c := r.asked()
	second.host.Vanish()
	first.e.Drain("")
	first.e.Refuse()
	r.w.RunFor(time.Minute)
	c.says("GET 2\n", false)
	r.wants(c, "re GET 1\nre GET 2\n")
	if len(first.servers) != 1 || !strings.Contains(stays(c), "no other element") {
		t.Errorf("%d servers, it stays because %q", len(first.servers), stays(c))
	}
	r.close()
}

// Several pool_users have one pool, as a shard's before and behind a reload have: that an element is drained is known as long as one of them is
// told when it is not any more, and no longer.
func TestDrainAskedOfSeveral(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first, second := r.stations[0], r.stations[1]
	r.asked()
	old := r.user
	r.user = NewUser(r.userConfig(2))
	r.asked()
	first.e.Drain("it stops")
	r.until("all have left", func() bool {
		live, held := first.e.Legs()
		return live+held == 0 && len(second.servers) == 2
	})
	old.Close()
	r.w.RunFor(time.Second)
	if r.asked(); len(first.servers) != 2 {
		t.Error("it is drained, and has got a session")
	}
	r.user.Close()
	first.e.Undrain()
	r.w.RunFor(time.Second)
	r.user = NewUser(r.userConfig(3))
	if r.asked(); len(first.servers) != 3 {
		t.Error("it is not drained, and gets no sessions any more")
	}
	r.close()
}

// What was drained when a process took another one's place may be drained no more, with nobody being told: no association leads there.
func TestDrainAskedBeforeUpgrade(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	first, second := r.stations[0], r.stations[1]
	r.asked()
	first.e.Drain("it stops")
	r.until("it has left", func() bool { return len(second.servers) == 1 && first.server().closed })
	state := r.pool.Freeze(nil, r.w.Now())
	r.pool = pool.New("things", pool.Priority, nil)
	if err := r.pool.Thaw(state, r.w.Now()); err != nil {
		t.Fatal(err)
	}
	r.user.Close()
	first.e.Undrain()
	r.user = NewUser(r.userConfig(2))
	if r.asked(); len(first.servers) != 2 {
		t.Error("it gets no sessions any more")
	}
	r.close()
}
