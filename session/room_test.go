package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// ask makes a client that has asked for something.
func (r *rig) ask(n int) (all []*end) {
	for range n {
		c := r.client()
		c.says(fmt.Sprintf("GET %d\n", c.session.ID), false)
		all = append(all, c)
	}
	return all
}

// served counts those that have their answers.
func served(all []*end) (n int) {
	for _, c := range all {
		if string(c.got) == fmt.Sprintf("re GET %d\n", c.session.ID) {
			n++
		}
	}
	return n
}

// refusals counts the legs that an element has refused for want of room.
func (r *rig) refusals(element string) (n int) {
	for _, line := range r.logs {
		if strings.Contains(line, " "+element+" ") && strings.Contains(line, CodeBusy.String()) {
			n++
		}
	}
	return n
}

// Who finds an element full goes to another one; nothing is held against the full one.
func TestFullElement(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, maxLegs: 4})
	all := r.ask(3)
	r.until("3 are served", func() bool { return served(all) == 3 })
	all = append(all, r.ask(5)...)
	r.until("all are served", func() bool { return served(all) == 8 })
	first, _ := r.stations[0].e.Legs()
	second, _ := r.stations[1].e.Legs()
	if first != 4 || second != 4 {
		t.Errorf("%d and %d legs, want 4 each", first, second)
	}
	if state := r.pool.States()[0]; state.Failures != 0 || !state.Full {
		t.Errorf("the full element: %+v", state)
	}
	if n := r.refusals("element1"); n > 5 {
		t.Errorf("it was asked in vain %d times", n)
	}
	r.close()
}

// Where all are full sessions wait, in the order in which they came, and are let in as others leave: at once where it was a session of
// ours, and with few questions where it was not.
func TestRoom(t *testing.T) {
	r := newRig(t, options{elements: 2, maxLegs: 5})
	all := r.ask(10)
	r.until("10 are served", func() bool { return served(all) == 10 })
	late := r.ask(20)
	r.w.RunFor(5 * time.Second)
	if n := served(late); n != 0 {
		t.Fatalf("%d were served beyond max_sessions", n)
	}
	if n := r.refusals("element1") + r.refusals("element2"); n > 20+2*5*4+10 {
		t.Errorf("%d questions within 5 s", n)
	}
	for i := range 3 {
		all[i].breaks()
		r.w.RunFor(300 * time.Millisecond)
		if n := served(late[:i+1]); n != i+1 || served(late) != i+1 {
			t.Errorf("when %d have ended, of the first %d of those that wait %d are served, %d in all", i+1, i+1, n, served(late))
		}
	}
	for i := range 17 {
		x := append(all[3:], late...)[i]
		x.breaks()
	}
	r.until("all others are served", func() bool { return served(late) >= 10 })
	for _, c := range late {
		if c.reset && !c.broken {
			t.Error("one of those that waited was reset")
		}
	}
	if r.user.room.len() > 20 {
		t.Errorf("%d in line", r.user.room.len())
	}
	r.close()
}

// The deadline holds for those in line, and a client that goes leaves it.
func TestRoomDeadline(t *testing.T) {
	r := newRig(t, options{maxLegs: 1, failover: quick}) // deadline 3 s
	r.ask(1)
	late := r.ask(3)
	r.w.RunFor(time.Second)
	late[1].breaks()
	r.w.RunFor(4 * time.Second)
	for i, want := range []string{"ERR sorry\n", "", "ERR sorry\n"} {
		if got := string(late[i].got); got != want {
			t.Errorf("the client that waited as number %d got %q, want %q", i, got, want)
		}
	}
	if n := r.user.room.len(); n != 0 {
		t.Errorf("%d in line", n)
	}
	r.close()
}

// A herd and new clients take turns.
func TestRoomInterleaves(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, maxLegs: 40})
	herd := r.ask(40)
	r.until("the herd is served", func() bool { return served(herd) == 40 })
	r.stations[1].e.c.MaxLegs = 5
	r.stations[0].die(true)
	r.w.RunFor(time.Second)
	fresh := r.ask(4)
	r.w.RunFor(time.Second)
	legs, _ := r.stations[1].e.Legs()
	if legs != 5 || served(fresh) != 0 {
		t.Fatalf("%d legs, %d new ones served", legs, served(fresh))
	}
	gone := 0
	for _, c := range herd {
		if gone < 8 && c.session.leg != nil {
			gone++
			c.breaks()
			r.w.RunFor(300 * time.Millisecond)
		}
	}
	if n := served(fresh); n < 3 || gone < 8 {
		t.Errorf("of the places of %d only %d went to new clients", gone, n)
	}
	r.close()
}

// A pool says how many of this process's sessions an element takes: it is never asked for more, and there is room when one ends.
func TestRoomOfThePool(t *testing.T) {
	r := newRig(t, options{elements: 2})
	var members []pool.Element
	for _, s := range r.pool.States() {
		s.MaxSessions = 3
		members = append(members, s.Element)
	}
	r.pool.Update(members)
	all := r.ask(10)
	r.until("6 are served", func() bool { return served(all) == 6 })
	r.w.RunFor(time.Second)
	if n := r.refusals("element1") + r.refusals("element2"); n != 0 || served(all) != 6 {
		t.Errorf("%d refused, %d served", n, served(all))
	}
	all[0].breaks()
	r.w.RunFor(20 * time.Millisecond)
	if n := served(all[1:]); n != 6 {
		t.Errorf("%d are served when one has ended", n)
	}
	r.stations[0].host.Kill() // all that it has must go to the other one, which is full
	r.w.RunFor(10 * time.Second)
	if legs, _ := r.stations[1].e.Legs(); legs != 3 {
		t.Errorf("%d legs at the element that is left", legs)
	}
	for _, c := range r.clients {
		c.breaks()
	}
	r.w.RunFor(time.Second)
	for _, s := range r.pool.States() {
		if s.Full || !r.pool.Enter(s.Name) {
			t.Errorf("%s is full when all have gone", s.Name)
		}
		r.pool.Exit(s.Name)
	}
	r.close()
}

// Sessions that wait for room go on waiting in the process that takes over.
func TestRoomAcrossAnUpgrade(t *testing.T) {
	r := newRig(t, options{maxLegs: 2})
	all := r.ask(2)
	r.until("2 are served", func() bool { return served(all) == 2 })
	late := r.ask(3)
	r.w.RunFor(time.Second)
	r.upgrade()
	r.w.RunFor(time.Second)
	all[0].breaks()
	r.until("the first of those that wait is served", func() bool { return served(late) == 1 })
	r.close()
}
