package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// choosing has the rig's pool choose by another policy; all elements have a weight and a load.
func (r *rig) choosing(policy pool.Policy, sort func([]pool.Values) []pool.Values) {
	var elements []pool.Element
	for i, s := range r.stations {
		elements = append(elements, pool.Element{Name: s.name, Address: s.at(), Priority: uint32(i), Weight: uint32(i + 1), Load: uint32(i) << 20, Degradation: 1 << 18})
	}
	r.pool = pool.New("things", policy, elements)
	if sort != nil {
		r.pool = pool.NewSorted("things", sort, elements)
	}
	r.user.c.Pool = r.pool
}

// Whatever the policy, sessions survive their servers, one after the other.
func TestFailoverByEveryPolicy(t *testing.T) {
	for _, policy := range pool.Standard() {
		t.Run(policy.String(), func(t *testing.T) {
			r := newRig(t, options{elements: 3, failover: quick})
			r.choosing(policy, nil)
			for range 6 {
				r.client().says("GET 1\n", false)
			}
			r.until("all are answered", func() bool { return r.answered("re GET 1\n") })
			want := "re GET 1\n"
			for _, s := range r.stations[:2] {
				s.die(true)
				for _, c := range r.clients {
					c.says("GET 2\n", false)
				}
				want += "re GET 2\n"
				r.until("all are answered again", func() bool { return r.answered(want) })
			}
			for _, c := range r.clients {
				if c.session.from != r.stations[2].name {
					t.Errorf("a session is at %s", c.session.from)
				}
			}
			r.close()
		})
	}
}

// An application's policy decides where sessions go, at first and in a failover. When it fails they go somewhere, and the log says so.
func TestApplicationPolicy(t *testing.T) {
	r := newRig(t, options{elements: 3, failover: quick})
	broken := false
	r.choosing(pool.Application, func(v []pool.Values) []pool.Values {
		if broken {
			panic("no idea")
		}
		slices.SortFunc(v, func(a, b pool.Values) int { return strings.Compare(b.Name, a.Name) })
		return v
	})
	warnings := func() (n int) {
		for _, line := range r.logs {
			if strings.Contains(line, "policy failed") && strings.Contains(line, "it panicked: no idea") {
				n++
			}
		}
		return n
	}
	c := r.client()
	c.says("GET 1\n", false)
	r.until("an answer", func() bool { return r.answered("re GET 1\n") })
	if c.session.from != "element3" || warnings() != 0 {
		t.Errorf("it is at %s", c.session.from)
	}
	r.stations[2].die(true)
	c.says("GET 2\n", false)
	r.until("an answer", func() bool { return r.answered("re GET 1\nre GET 2\n") })
	if c.session.from != "element2" {
		t.Errorf("it is at %s", c.session.from)
	}
	broken = true
	for i := range 3 {
		for range 5 {
			r.client().says("GET 3\n", false)
		}
		r.w.RunFor(6 * time.Second)
		if got := warnings(); got != 1+i/2 {
			t.Errorf("round %d: %d warnings", i, got)
		}
	}
	for _, c := range r.clients[1:] {
		if string(c.got) != "re GET 3\n" {
			t.Errorf("a client has %q", c.got)
		}
	}
	r.close()
}
