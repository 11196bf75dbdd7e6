package session

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/poolproxy/poolproxy/pool"
)

// schedules has rapid make as many conversations as make simulation asks for. A failing one is shrunk, and said with what runs it again.
func schedules(t *testing.T) {
	t.Helper()
	text := os.Getenv("POOLPROXY_SCHEDULES")
	if text == "" {
		return // rapid's own: 100, or -rapid.checks
	}
	if err := flag.Set("rapid.checks", text); err != nil {
		t.Fatalf("POOLPROXY_SCHEDULES is %q: %v", text, err)
	}
}

// crowd is the liar's clients, which do what clients do.
type crowd struct {
	p       *plot
	user    *User
	clients []*end
}

// client begins a session of the crowd.
func (c *crowd) client() {
	p := c.p
	e := &end{r: p.r, h: p.r.host, room: -1, name: fmt.Sprintf("client %d of the crowd", len(c.clients)+1)}
	if c.user != p.r.user {
		e.h = p.liar
	}
	e.session = c.user.accept(e, e.name, ends4)
	e.rules = e.session
	c.clients = append(c.clients, e)
}

// step does one legal thing.
func (c *crowd) step() {
	p := c.p
	if len(c.clients) == 0 {
		c.client()
		return
	}
	e := oneOf(p, "client", c.clients...)
	over := e.closed || e.reset || e.inEnd || e.broken
	switch p.pick("step", 12) {
	case 0:
		if len(c.clients) < 6 {
			p.note("a client")
			c.client()
		}
	case 1, 2, 3, 4, 5:
		line := oneOf(p, "verb", "GET ", "SET ", "TELL ") + strings.Repeat("d", oneOf(p, "size", 0, 3, 500, 5000, 40000)) + "\n"
		p.note("%s says %d bytes", e.name, len(line))
		if !over {
			e.says(line, false)
		}
	case 6:
		p.note("%s finishes", e.name)
		if !over {
			e.says("", true)
		}
	case 7:
		p.note("%s breaks", e.name)
		if !e.closed && !e.reset {
			e.breaks()
		}
	case 8:
		p.note("%s reads slowly", e.name)
		if e.room < 0 {
			e.room = 0
		} else {
			e.reads(-1)
		}
	default:
		p.r.w.RunFor(oneOf(p, "for", time.Microsecond, time.Millisecond, 20*time.Millisecond, 300*time.Millisecond))
	}
}

// world does something to what is between the crowd and the element, and to its server.
func (p *plot) world(s *station) {
	switch p.pick("world", 7) {
	case 0:
		p.note("cut")
		p.r.w.Cut(p.liar, p.host)
	case 1:
		p.note("the element drains, or not any more")
		if s.e.drains {
			s.e.Undrain()
		} else {
			s.e.Drain("a test")
		}
	case 2:
		if n := len(s.legs); n > 0 {
			p.note("a cookie")
			_ = s.legs[p.pick("leg", n)].SetCookie([]byte("a cookie")) // of legs that have ended, too
		}
	case 3:
		if n := len(s.servers); n > 0 {
			server := s.servers[p.pick("server", n)]
			if server.h == s.host && !server.closed && !server.reset && !server.broken && !server.inEnd && !p.honest(server) {
				p.note("%s finishes", server.name)
				server.says("", true)
			}
		}
	default:
		p.r.w.RunFor(oneOf(p, "for", time.Millisecond, 50*time.Millisecond, time.Second))
	}
}

// honest reports whether a server's connection belongs to a session that must not be harmed.
func (p *plot) honest(server *end) bool {
	g, ok := server.rules.(*Leg)
	for _, token := range p.tokens {
		if ok && g.token == token {
			return true
		}
	}
	return false
}

// Any conversation of a pool user, legal as far as it goes since a real one holds it, and then any lie, anywhere in it, and on: the
// element does with each message what docs/protocol.md says, cuts off whom it should and nobody else; those beside the liar, on the same element,
// are served to the byte over the association that they had; memory stays within credit and bounds; and nothing is left behind.
func TestSimulationOfLyingUser(t *testing.T) {
	schedules(t)
	var counts = map[judgement]int{}
	rapid.Check(t, func(rt *rapid.T) {
		for k, n := range lyingUser(rt) {
			counts[k] += n
		}
	})
	t.Log(counts)
	for _, k := range []judgement{fine, endsAll, endsLeg, isRefused} {
		if counts[k] == 0 {
			t.Errorf("nothing was judged as %v: %v", k, maps.Clone(counts))
		}
	}
}

// lyingUser is one conversation. It returns how often what was judged.
func lyingUser(rt *rapid.T) map[judgement]int {
	r := newRig(rt, options{seed: rapid.Uint64().Draw(rt, "seed"), reads: true, cookies: keyed(1), failover: quick})
	s := r.stations[0]
	s.unread = func() int { return 0 }
	p := &plot{T: rt, r: r, t: newCourt(r), host: s.host, liar: r.w.Host("liar")}
	p.t.judge, s.court = p.t.ofUser, p.t
	p.t.liars[p.liar.Addr(0).Addr()] = true
	h := r.honest()
	p.tokens = append(p.tokens, h.c.session.token)

	config := r.userConfig(0x66)
	config.Loop, config.Trace = p.liar, Trace{Log: r.log("liar")}
	config.Failover.Ack = oneOf(p, "ack", AckDelivered, AckRead, AckReply)
	config.Pool = pool.New("things", pool.RoundRobin, []pool.Element{{Name: s.name, Address: s.at()}})
	c := &crowd{p: p, user: NewUser(config)}
	for range rapid.IntRange(1, 40).Draw(rt, "steps") {
		switch n := p.pick("who", 10); {
		case n < 5:
			c.step()
		case n < 6:
			p.world(s)
		case n < 7:
			h.ask()
		case n < 8:
			p.remember()
		default:
			p.lie()
		}
		live, held := s.e.Legs()
		p.bounded(live + held)
	}
	r.w.RunFor(time.Second)
	h.unharmed()
	if len(r.records) > 0 || r.logged(" user w association lost") {
		p.t.complain("the honest pool user has lost its element: %v", r.records)
	}
	c.user.Close()
	r.close()
	p.sentence()
	return p.t.counts
}

// The same of an element, seen from a pool user: it does with each message what docs/protocol.md says; sessions at another element are served to the
// byte and notice nothing; memory stays within credit; and when the liar is gone its own sessions have ended, or go on elsewhere.
func TestSimulationOfLyingElement(t *testing.T) {
	schedules(t)
	var counts, fates = map[judgement]int{}, map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		judged, became := lyingElement(rt)
		for k, n := range judged {
			counts[k] += n
		}
		for fate, n := range became {
			fates[fate] += n
		}
	})
	t.Log(counts, fates)
	for _, k := range []judgement{fine, endsAll, endsLeg} {
		if counts[k] == 0 {
			t.Errorf("nothing was judged as %v: %v", k, counts)
		}
	}
	if fates["goes on"] == 0 {
		t.Errorf("no session of the liar's has survived it: %v", fates)
	}
}

// lyingElement is one conversation. It returns how often what was judged, and what became of the sessions of the liar.
func lyingElement(rt *rapid.T) (judged map[judgement]int, fates map[string]int) {
	fates = make(map[string]int)
	r := newRig(rt, options{seed: rapid.Uint64().Draw(rt, "seed"), reads: true, cookies: keyed(1), failover: quick, elements: 2, priority: true})
	evil := r.stations[0]
	for _, s := range r.stations {
		s.unread = func() int { return 0 }
	}
	p := &plot{T: rt, r: r, t: newCourt(r), host: r.host, liar: evil.host}
	p.t.judge = p.t.ofElement
	p.t.liars[evil.at().Addr()] = true
	config := r.userConfig(1)
	config.Dialer = p.t
	config.Failover.Ack = oneOf(p, "ack", AckDelivered, AckRead, AckReply)
	r.user = NewUser(config)
	r.pool.Failed(r.w.Now(), evil.name)
	h := r.honest()
	r.w.RunFor(time.Second)
	r.pool.Alive(evil.name)
	p.tokens = append(p.tokens, h.c.session.token)
	c := &crowd{p: p, user: r.user}
	for range rapid.IntRange(1, 40).Draw(rt, "steps") {
		switch n := p.pick("who", 10); {
		case n < 5:
			c.step()
		case n < 6:
			p.world(evil)
		case n < 7:
			h.ask()
		case n < 8:
			p.remember()
		default:
			p.lie()
		}
		p.bounded(r.user.Count())
	}
	r.w.RunFor(time.Second)
	h.unharmed()
	for _, w := range p.t.wires {
		if !w.liar && w.down {
			p.t.complain("the association with the honest element was lost")
		}
	}
	evil.host.Kill()
	r.stations = r.stations[1:] // there is nothing to be closed
	r.w.RunFor(10 * time.Second)
	for _, e := range c.clients {
		fates[e.fate()]++
	}
	h.unharmed()
	r.close()
	p.sentence()
	return p.t.counts, fates
}

// fate has a client of the crowd, whose element was killed, ask once more, and says what has become of its session.
func (e *end) fate() string {
	if e.closed || e.reset || e.finished || e.inEnd || e.broken {
		return "has ended"
	}
	e.reads(-1)
	e.says("\nGET the end\n", false)
	e.r.until("the session of "+e.name+" goes on, or ends", func() bool {
		return strings.HasSuffix(string(e.got), "re GET the end\n") || e.reset || e.finished || e.closed
	})
	if e.closed || e.reset || e.finished {
		return "ends"
	}
	return "goes on"
}
