package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// feedRig is a pool_user whose pool has a source that the test plays, servers without sidecars, and clients, in virtual time.
type feedRig struct {
	*testing.T
	world *looptest.World
	user  *looptest.Host
	shard *Shard
	log   logged
	told  func(pool.News)
	ends  int
	taken map[string]int // sessions that the servers have taken

	reports []string // names of the elements that it was told of (pool.Reporter)
}

// Report is that of the source (pool.Reporter).
func (r *feedRig) Report(handle string, e pool.Element) {
	if handle != "data" {
		r.Errorf("an element of %q is reported", handle)
	}
	r.reports = append(r.reports, e.Name)
}

// Follow is that of the source (pool.Source).
func (r *feedRig) Follow(handle string, told func(pool.News)) (stop func()) {
	if handle != "data" {
		r.Errorf("the source is asked for %q", handle)
	}
	r.told = told
	return func() { r.ends++ }
}

const staleAfter = time.Minute

func newFeedRig(t *testing.T) *feedRig {
	r := &feedRig{T: t, world: looptest.NewWorld(1), taken: make(map[string]int)}
	r.user = r.world.Host("user")
	c := Config{
		Pools: []Pool{{Handle: "data", Mapping: mapping.None, Source: r, SourceName: "test.x", Stale: staleAfter}},
		Users: []User{{Name: "data", Listen: r.user.Addr(clientPort), Pool: "data", Protocol: protocol.NewStream(protocol.StreamConfig{}), Memory: 64 << 10,
			Failover: session.Failover{Deadline: 5 * time.Minute, Attempts: 3}}},
	}
	random := func(p []byte) {
		for i := range p {
			p[i] = byte(r.world.Rand().Uint32())
		}
	}
	var err error
	r.shard, err = NewVirtualShard(r.user, c, hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Debug}), nil, random)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.shard.Close()
		r.world.RunFor(time.Second)
		if r.ends != 1 {
			t.Errorf("the source was stopped %d times", r.ends)
		}
		if n := r.user.Timers(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
	return r
}

// server runs one, which takes connections and says nothing.
func (r *feedRig) server(name string) pool.Element {
	r.Helper()
	h := r.world.Host(name)
	if _, err := h.Listen(h.Addr(1), func(c loop.Conn) loop.Handler { r.taken[name]++; return quiet{c} }); err != nil {
		r.Fatal(err)
	}
	return pool.Element{Name: name, Address: h.Addr(1)}
}

// quiet is one end of a connection: it reads, and says nothing.
type quiet struct{ loop.Conn }

func (q quiet) Ready(loop.Event) {
	for p := make([]byte, 4096); ; {
		if _, err := q.Read(p); err != nil {
			if !errors.Is(err, loop.ErrAgain) {
				q.Close()
			}
			return
		}
	}
}

// client begins a session.
func (r *feedRig) client(n int) *quiet {
	h, c := r.world.Host(fmt.Sprintf("client%d", n)), &quiet{}
	h.Post(func() { c.Conn = h.Dial(r.user.Addr(clientPort), c) })
	r.world.RunFor(50 * time.Millisecond)
	return c
}

func (r *feedRig) says(n pool.News) {
	r.told(n)
	r.world.RunFor(50 * time.Millisecond)
}

func (r *feedRig) status() *SourceStatus {
	var s Status
	r.shard.status(&s)
	return s.Pools[0].Source
}

// What the source says holds for the next session, and for those that wait; sides of servers come and go with it.
func TestFeed(t *testing.T) {
	r := newFeedRig(t)
	a, b := r.server("a"), r.server("b")
	waiting := r.client(0)
	if s := r.status(); s.Name != "test.x" || s.Told != nil || s.Error != "" || s.Alarm || len(r.taken) > 0 {
		t.Errorf("%+v %v", s, r.taken)
	}
	r.says(pool.News{Elements: []pool.Element{a}})
	if r.taken["a"] != 1 {
		t.Error("the session that waits has no server")
	}
	r.client(1)
	r.says(pool.News{Elements: []pool.Element{b}})
	for n := range 3 {
		r.client(2 + n)
	}
	if r.taken["a"] != 2 || r.taken["b"] != 3 {
		t.Errorf("the sessions went to %v", r.taken)
	}
	if n := len(r.shard.users[0].direct.sides); n != 2 {
		t.Errorf("%d sides, with sessions at both servers", n)
	}
	waiting.Conn.Reset()
	r.world.Host("client1").Post(func() {})
	r.shard.users[0].rules.Sessions(func(s *session.Session) {
		if s.Info().Element == "a" {
			s.Broken(errors.New("the client has gone"))
		}
	})
	r.world.RunFor(3 * sweepEvery) // the last step of each ending lets the next one be; nothing is said meanwhile
	if n := len(r.shard.users[0].direct.sides); n != 1 {
		t.Errorf("%d sides are left, with one server", n)
	}
	if r.shard.users[0].sweep.Armed() {
		t.Error("nothing leads to the element that is gone, and still it is looked")
	}
	if text := r.log.String(); strings.Count(text, "a pool has changed") != 2 {
		t.Errorf("the log tells changes, and no others:\n%s", text)
	}
}

// A source that fails leaves everything as it is. How old that is can be seen; when it is too old, once, there is an alarm.
func TestFeedFails(t *testing.T) {
	r := newFeedRig(t)
	a := r.server("a")
	r.says(pool.News{Elements: []pool.Element{a}})
	for range 5 {
		r.world.RunFor(staleAfter / 6)
		r.says(pool.News{Err: errors.New("nobody answers")})
	}
	r.client(0)
	if r.taken["a"] != 1 {
		t.Error("the pool was emptied")
	}
	s := r.status()
	if s.Error != "nobody answers" || s.Alarm || s.Age < staleAfter*5/6 || s.Age > staleAfter || s.Told == nil {
		t.Errorf("%+v", s)
	}
	r.world.RunFor(2 * staleAfter)
	if s := r.status(); !s.Alarm {
		t.Errorf("%+v", s)
	}
	var to = make(gauges)
	r.shard.feeds[0].measure(to)
	if to[poolAlarm.of("data", "test.x")] != 1 || to[poolElements.of("data")] != 1 || to[poolAge.of("data", "test.x")] < 120 {
		t.Error(to)
	}
	r.says(pool.News{Elements: []pool.Element{a}})
	if s := r.status(); s.Alarm || s.Error != "" || s.Age > time.Second {
		t.Errorf("%+v", s)
	}
	text := r.log.String()
	for _, line := range []string{"[WARN]  the source of a pool fails", "[ERROR] what is known of a pool is too old", "answers again"} {
		if strings.Count(text, line) != 1 {
			t.Errorf("%q is there %d times:\n%s", line, strings.Count(text, line), text)
		}
	}
}

// A source that goes on saying the same is no reason for an alarm, however long it does.
func TestFeedFresh(t *testing.T) {
	r := newFeedRig(t)
	a := r.server("a")
	for range 20 {
		r.says(pool.News{Elements: []pool.Element{a}})
		r.world.RunFor(staleAfter * 2 / 3)
	}
	if s := r.status(); s.Alarm || strings.Contains(r.log.String(), "too old") {
		t.Errorf("%+v\n%s", s, r.log.String())
	}
}

// A source that has another policy for the pool than the configuration changes nothing, and that is said, once.
func TestFeedPolicy(t *testing.T) {
	r := newFeedRig(t)
	own, other := pool.RoundRobin, pool.LeastUsed
	count := func(want int) {
		t.Helper()
		if text := r.log.String(); strings.Count(text, "has another policy for it") != want {
			t.Errorf("it is not said %d times:\n%s", want, text)
		}
	}
	for _, told := range []*pool.Policy{nil, &own} {
		r.says(pool.News{Policy: told})
	}
	count(0)
	for range 3 {
		r.says(pool.News{Policy: &other})
	}
	count(1)
	if text := r.log.String(); !strings.Contains(text, "policy=round_robin source_has=least_used") {
		t.Errorf("it is not said which:\n%s", text)
	}
	r.says(pool.News{Policy: &own})
	r.says(pool.News{Err: errors.New("nobody answers")})
	count(1)
	r.says(pool.News{Policy: &other})
	count(2)
}

// Of what a source has left out a few are named, and the others counted: rubbish of thousands is no log of thousands of lines.
func TestFeedLeft(t *testing.T) {
	r := newFeedRig(t)
	left := make([]error, 1000)
	for i := range left {
		left[i] = fmt.Errorf("entry %d is rubbish", i)
	}
	r.says(pool.News{Left: left})
	r.says(pool.News{Left: left[:2]})
	text := r.log.String()
	if n := strings.Count(text, "is rubbish"); n != mostSome+2 || strings.Count(text, "more=995") != 1 {
		t.Errorf("%d lines:\n%s", n, text)
	}
}

// Over SCTP an element is dialled at all addresses that the source says it has, also one that the source names later, or anew.
func TestFeedPaths(t *testing.T) {
	r := newFeedRig(t)
	dials := r.shard.sctp(r.shard.config.Pools[0], r.shard.config.Users[0], r.shard.layout.pools["data"].pool)
	e := r.server("a")
	if got := dials.Peer(e.Address); got != nil {
		t.Errorf("nobody has named it: %v", got)
	}
	for _, further := range []string{"10.1.0.1", "10.2.0.1"} {
		e.Paths = []netip.Addr{netip.MustParseAddr(further)}
		r.says(pool.News{Elements: []pool.Element{e, r.server("of " + further)}})
		if got := dials.Peer(e.Address); !slices.Equal(got, e.Paths) {
			t.Errorf("it has %v, and is dialled at %v", e.Paths, got)
		}
	}
	r.says(pool.News{Err: errors.New("nobody answers")})
	if got := dials.Peer(e.Address); !slices.Equal(got, e.Paths) {
		t.Errorf("the source fails, and it is dialled at %v", got)
	}
}

// News without a change are nobody's business, and thousands of elements are no reason to ask the system thousands of times.
func TestFeedOfThousands(t *testing.T) {
	r := newFeedRig(t)
	r.shard.config.Users[0].Listen = netip.MustParseAddrPort("[::]:80")
	var elements []pool.Element
	for i := range 4096 {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 80)
		elements = append(elements, pool.Element{Name: at.String(), Address: at})
	}
	r.says(pool.News{Elements: elements})
	nobody := r.server("nobody's")
	if err := r.shard.users[0].direct.add(nobody); err != nil {
		t.Fatal(err)
	}
	asked := testing.AllocsPerRun(3, func() { r.shard.feeds[0].learn(pool.News{Elements: elements}) })
	if asked > 2000 {
		t.Errorf("the same news cost %v pieces of memory", asked)
	}
	if len(r.shard.users[0].direct.sides) != 1 {
		t.Error("the sides were looked through, and nothing had changed")
	}
	elements = slices.Clone(elements)
	elements[0].Weight = 7 // who had none may have been waited for
	r.says(pool.News{Elements: elements})
	if len(r.shard.users[0].direct.sides) != 0 {
		t.Error("nobody was told of another weight")
	}
}

// A source that names the pool_user as an element of its own pool makes no loop.
func TestFeedNamesItself(t *testing.T) {
	r := newFeedRig(t)
	r.says(pool.News{Elements: []pool.Element{{Name: "self", Address: r.user.Addr(clientPort)}, r.server("a")}})
	r.client(0)
	r.client(1)
	if r.taken["a"] != 2 || r.shard.users[0].rules.Count() != 2 || !strings.Contains(r.log.String(), "names the pool_user itself") {
		t.Errorf("%v, %d sessions\n%s", r.taken, r.shard.users[0].rules.Count(), r.log.String())
	}
}

// What sessions find out about elements is told to the source, and what others find out is taken from it, but not told again.
func TestFeedReports(t *testing.T) {
	r := newFeedRig(t)
	dead := pool.Element{Name: "dead", Address: r.world.Host("dead").Addr(1)}
	r.says(pool.News{Elements: []pool.Element{dead, r.server("a")}})
	r.client(0)
	r.client(1)
	r.world.RunFor(time.Second)
	if r.taken["a"] != 2 || len(r.reports) != 1 || r.reports[0] != "dead" {
		t.Errorf("%v, %v", r.taken, r.reports)
	}
	r.says(pool.News{Err: errors.New("gone"), Reported: []string{"a"}})
	if s := r.shard.layout.pools["data"].pool.States()[1]; s.Failures != 1 || s.Name != "a" {
		t.Errorf("%+v", s)
	}
	if r.client(2); len(r.reports) > 2 {
		t.Error(r.reports)
	}
	r.world.RunFor(time.Second)
	if r.taken["a"] != 3 {
		t.Error("an element that others report is lost for ever: ", r.taken)
	}
	for _, name := range r.reports {
		if name == "a" {
			t.Error("what others reported goes around: ", r.reports)
		}
	}
}

// What a source says before the shard comes to hear it is one piece of news: of a thousand changes the last. A failure takes no elements away, and
// nothing of what others have reported, or of what cannot be used, is lost.
func TestFeedLearnsTheLast(t *testing.T) {
	r := newFeedRig(t)
	var all []pool.Element
	for i := range 1000 {
		all = append(all, pool.Element{Name: fmt.Sprint(i), Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)})
		r.told(pool.News{Elements: slices.Clone(all)})
	}
	r.told(pool.News{Err: errors.New("first"), Reported: []string{"1"}, Left: []error{errors.New("odd one")}})
	r.told(pool.News{Err: errors.New("second"), Reported: []string{"2"}, Left: []error{errors.New("odd two")}})
	r.world.RunFor(time.Millisecond)
	p := r.shard.layout.pools["data"].pool
	failed := 0
	for _, e := range p.States() {
		failed += e.Failures
	}
	if n, err := p.Len(), p.Standing().Err; n != 1000 || err == nil || err.Error() != "second" || failed != 2 {
		t.Errorf("%d elements, %d of them reported: %v", n, failed, err)
	}
	log := r.log.String()
	for what, times := range map[string]int{"a pool has changed": 1, "added=\"0, 1, 2, 3, 4 and 995 more\"": 1, "odd one": 1, "odd two": 1} {
		if n := strings.Count(log, what); n != times {
			t.Errorf("%q stands %d times in the log:\n%.2000s", what, n, log)
		}
	}
	r.told(pool.News{Err: errors.New("third")})
	r.told(pool.News{Elements: all[:2]}) // it knows again
	r.world.RunFor(time.Millisecond)
	if n, err := p.Len(), p.Standing().Err; n != 2 || err != nil {
		t.Errorf("%d elements: %v", n, err)
	}
}
