package session

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
)

// A session that is told an error while it waits for room, and is about to close, is not given room any more: it would take a server for
// ever, and its client would never be closed.
func TestRoomIsNotForWhoCloses(t *testing.T) {
	r := newRig(t, options{maxLegs: 1, protocol: web()})
	s := r.stations[0]
	s.app = silent
	first := r.client()
	first.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false)
	r.until("one is served", func() bool { return r.serving() != nil })
	late := r.client()
	r.w.RunFor(100 * time.Millisecond)
	late.says("nonsense\r\n\r\n", false)
	r.until("it is told so", func() bool { return late.finished })
	if n := r.user.room.len(); n != 0 {
		t.Errorf("%d in line", n)
	}
	first.breaks()
	r.w.RunFor(time.Second)
	if n := len(s.servers); n != 1 {
		t.Errorf("%d servers, one was needed", n)
	}
	late.room = -1
	r.until("its client is closed", func() bool { return late.closed || late.reset })
	r.w.RunFor(time.Minute)
	if live, held := s.e.Legs(); live+held != 0 {
		t.Errorf("%d legs and %d more are left", live, held)
	}
	r.close()
}

// A session whose element is drained does not leave it to stand in line: it has a server.
func TestRoomAndDrain(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	var members []pool.Element
	for _, s := range r.pool.States() {
		s.MaxSessions = 2
		members = append(members, s.Element)
	}
	r.pool.Update(members)
	all := r.ask(4)
	r.until("4 are served", func() bool { return served(all) == 4 })
	late := r.ask(3)
	r.w.RunFor(time.Second)
	r.drain(r.stations[0])
	leaves := all[2]
	if at, _ := leaves.session.At(); at != "element2" || r.user.room.len() != 3 {
		t.Fatalf("it is at %s, %d in line", at, r.user.room.len())
	}
	r.host.Later(func() { // in one turn: there is room, nobody has been let in yet, and sessions are to leave
		leaves.broken = true
		leaves.rules.Broken(loop.ErrReset)
		r.user.Drains()
	})
	r.w.RunFor(time.Second)
	for i, c := range all[:2] {
		if at, _ := c.session.At(); at == "" {
			t.Errorf("session %d was served, and waits for room", i+1)
		}
	}
	if n := served(late); n != 1 {
		t.Errorf("%d of those in line are served", n)
	}
	r.close()
}

// Two Users share a pool, as shards do, and pool_users: the places go to the sessions of both, although those of one had all of them first.
func TestRoomIsShared(t *testing.T) {
	r := newRig(t, options{})
	e := r.pool.States()[0].Element
	e.MaxSessions = 4
	r.pool.Update([]pool.Element{e})
	one, two := r.user, NewUser(r.userConfig(2))
	one.c.Room = func() { r.host.Later(two.LookForRoom) }
	two.c.Room = func() { r.host.Later(one.LookForRoom) }
	first := r.ask(24)
	r.until("4 are served", func() bool { return served(first) == 4 })
	r.user = two
	late := r.ask(6)
	r.user = one
	r.w.RunFor(time.Second)
	if n := served(late); n != 0 {
		t.Fatalf("%d are served beyond max_sessions", n)
	}
	for range 12 {
		for _, c := range r.clients {
			if !c.broken && served([]*end{c}) == 1 {
				c.breaks()
				break
			}
		}
		r.w.RunFor(50 * time.Millisecond)
	}
	if n, all := served(late), served(first)+served(late); n < 3 || all < 14 {
		t.Errorf("of those that came later %d are served, of all %d", n, all)
	}
	two.Close()
	r.close()
}

// A process that takes over has another address for the element of that name: sessions at the old one do not count among those of the new one.
func TestRoomOfAnotherElement(t *testing.T) {
	r := newRig(t, options{})
	all := r.ask(2)
	r.until("2 are served", func() bool { return served(all) == 2 })
	other := r.station("other")
	other.start(0x90)
	r.pool.Update([]pool.Element{{Name: "element1", Address: other.at(), MaxSessions: 2}})
	r.upgrade()
	r.user.Updated()
	late := r.ask(2)
	r.w.RunFor(time.Second)
	if n := served(late); n != 2 {
		t.Errorf("%d of 2 are served", n)
	}
	r.close()
}
