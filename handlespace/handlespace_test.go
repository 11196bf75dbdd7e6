package handlespace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// clock is the time of a test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// played is a source, registry, reporter and refresher that the test plays.
type played struct {
	refresh func(ctx context.Context) error // nil: nothing happens

	// What becomes of a registration. told nil: nothing is said.
	told  []error
	never error               // Register returns it
	leave error               // Deregister returns it
	asked chan *playedElement // what is registered; nil: nobody wants to know

	mu         sync.Mutex
	follower   func(pool.News)
	reported   []string
	registered []*playedElement
	stopped    int
}

// playedElement is what played has registered.
type playedElement struct {
	of   *played
	r    pool.Registration
	told func(error)
	gone int
}

func (p *played) Follow(_ string, told func(pool.News)) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.follower = told
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stopped++
	}
}

func (p *played) Report(handle string, e pool.Element) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reported = append(p.reported, handle+"/"+e.Name)
}

func (p *played) Refresh(ctx context.Context, _ string) error {
	if p.refresh == nil {
		return nil
	}
	return p.refresh(ctx)
}

func (p *played) Register(r pool.Registration, told func(error)) (pool.Registered, error) {
	if p.never != nil {
		return nil, p.never
	}
	p.mu.Lock()
	e := &playedElement{of: p, r: r, told: told}
	p.registered = append(p.registered, e)
	p.mu.Unlock()
	if p.asked != nil {
		p.asked <- e
	}
	for _, err := range p.told {
		told(err)
	}
	return e, nil
}

func (e *playedElement) Revalue(pool.Element) {}

func (e *playedElement) Deregister(context.Context) error {
	e.of.mu.Lock()
	defer e.of.mu.Unlock()
	e.gone++
	return e.of.leave
}

// left are the elements that are registered and not deregistered.
func (p *played) left() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.registered {
		if e.gone == 0 {
			names = append(names, e.r.Element.Name)
		}
	}
	return names
}

// elements are called a, b … and reached at 10.0.0.1:7001, 10.0.0.2:7001 …
func elements(names string) (all []pool.Element) {
	for i := range names {
		all = append(all, pool.Element{Name: names[i : i+1], Weight: 1, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 7001)})
	}
	return all
}

// rig is a handlespace whose pool "p" is fed by a source that the test plays, and whose pool "s" is static.
type rig struct {
	*testing.T
	*Handlespace
	clock  clock
	source *played
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, clock: clock{at: start}, source: &played{}}
	r.Handlespace = New(r.clock.now)
	r.Follow(Pool{Pool: pool.New("p", pool.RoundRobin, nil), Mapping: "tcp", Source: r.source, SourceName: "play.x"})
	r.Share(Pool{Pool: pool.New("s", pool.RoundRobin, elements("abc")), Mapping: "none"})
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil && r.source.leave == nil {
			t.Error(err)
		}
		if r.source.stopped != 1 {
			t.Errorf("the source was stopped %d times", r.source.stopped)
		}
	})
	return r
}

// next asks for the next server, which must be the one called want.
func (r *rig) next(handle, last, want string) Server {
	r.Helper()
	s, err := r.NextServer(r.Context(), handle, last, false)
	if err != nil || s.Name != want {
		r.Errorf("behind %s comes %q, not %q: %v", last, s.Name, want, err)
	}
	return s
}

func (r *rig) primary(handle, want string) Server {
	r.Helper()
	s, err := r.PrimaryServer(r.Context(), handle)
	if err != nil || s.Name != want {
		r.Errorf("the primary server is %q, not %q: %v", s.Name, want, err)
	}
	return s
}

func TestServers(t *testing.T) {
	r := newRig(t)
	for _, want := range []string{"a", "b", "c", "a"} {
		r.primary("s", want)
	}
	if s := r.primary("s", "b"); s.Handle != "s" || s.Mapping != "none" || s.Address.String() != "10.0.0.2:7001" || s.Age != 0 || s.Err != nil {
		t.Errorf("%+v", s)
	}
	r.next("s", "b", "c")
	r.primary("s", "a") // b is passed over
	r.primary("s", "c")
	r.next("s", "10.0.0.3:7001", "a")
	r.next("s", "10.0.0.1", "b") // all have failed by now
	if s := r.next("s", "b", "c"); s.Unreported || s.Same {
		t.Errorf("%+v", s)
	}
}

// Who says that a server has failed which the pool does not have is answered all the same: it may just have left.
func TestNextUnknown(t *testing.T) {
	r := newRig(t)
	for _, last := range []string{"nobody", "10.9.9.9:7001", "10.0.0.1:7002", "10.9.9.9", "\x1b[2J", strings.Repeat("x", 1<<20)} {
		s, err := r.NextServer(t.Context(), "s", last, false)
		if err != nil || !s.Unreported || s.Same {
			t.Errorf("%.20q: %+v %v", last, s, err)
		}
	}
	if s, err := r.NextServer(t.Context(), "s", "", false); err != nil || s.Unreported {
		t.Errorf("%+v %v", s, err)
	}
	two := elements("ab")
	two[1].Address = netip.MustParseAddrPort("10.0.0.1:7002")
	shared := pool.New("two", pool.RoundRobin, two)
	r.Share(Pool{Pool: shared})
	if s, err := r.NextServer(t.Context(), "two", "10.0.0.1", false); err != nil || !s.Unreported {
		t.Errorf("two elements are there: %+v %v", s, err)
	}
	for _, e := range shared.States() {
		if e.Failures > 0 {
			t.Errorf("%s was reported", e.Name)
		}
	}
}

// In a pool of one the next server is the same one, and that is said.
func TestNextOfOne(t *testing.T) {
	r := newRig(t)
	r.Share(Pool{Pool: pool.New("one", pool.RoundRobin, elements("a"))})
	if s := r.next("one", "a", "a"); !s.Same || s.Unreported {
		t.Errorf("%+v", s)
	}
}

// What is said to have failed is forgotten after a while, if nobody else finds out; who looks knows better.
func TestForgive(t *testing.T) {
	r := newRig(t)
	watched := pool.New("w", pool.RoundRobin, elements("ab"))
	r.Share(Pool{Pool: watched})
	r.next("s", "a", "b")
	r.next("w", "a", "b")
	r.clock.pass(pool.Belief)
	r.primary("s", "c")
	r.primary("s", "b")
	watched.Suspect(r.clock.now()) // a session looks at it; it has failed still
	r.primary("w", "b")
	r.clock.pass(time.Second)
	r.primary("s", "c")
	r.primary("s", "a")
	r.primary("w", "b")
	watched.Alive("a")
	r.primary("w", "a")
}

// Each error of who asks for a server is one of its own.
func TestServerErrors(t *testing.T) {
	r := newRig(t)
	r.Share(Pool{Pool: pool.New("empty", pool.RoundRobin, nil)})
	down := errors.New("no route")
	for _, c := range []struct {
		handle string
		news   *pool.News
		is     error
		says   []string
	}{
		{"x", nil, pool.ErrUnknownPool, []string{`unknown pool "x"`, `"empty", "p", "s"`}},
		{"\x1b\n", nil, pool.ErrUnknownPool, []string{`"\x1b\n"`}},
		{strings.Repeat("x", 1<<20), nil, pool.ErrUnknownPool, []string{`xxx"...`}},
		{"empty", nil, pool.ErrEmptyPool, []string{`pool "empty"`, "nobody is registered"}},
		{"p", nil, pool.ErrSourceDown, []string{"play.x", "has not said anything yet"}},
		{"p", &pool.News{Err: down}, pool.ErrSourceDown, []string{"play.x", "no route"}},
		{"p", &pool.News{}, pool.ErrEmptyPool, []string{"play.x", "names no element"}},
	} {
		if c.news != nil {
			r.source.follower(*c.news)
		}
		now, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.PrimaryServer(now, c.handle)
		_, again := r.NextServer(now, c.handle, "a", true)
		for _, err := range []error{err, again} {
			if !errors.Is(err, c.is) || len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%.20q: %v", c.handle, err)
				continue
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%.20q: no %q in %v", c.handle, want, err)
				}
			}
		}
	}
}

// Who asks before the source has said anything waits for that, and no longer.
func TestPrimaryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, answers := newRig(t), make(chan string, 2)
		ask := func(name string, err error) { answers <- fmt.Sprint(name, err) }
		go func() {
			s, err := r.PrimaryServer(t.Context(), "p")
			ask(s.Name, err)
		}()
		go func() {
			s, err := r.NextServer(t.Context(), "p", "", false)
			ask(s.Name, err)
		}()
		synctest.Wait()
		if len(answers) > 0 {
			t.Fatal("there is an answer already: ", <-answers)
		}
		r.source.follower(pool.News{Elements: elements("a")})
		for range 2 {
			if got := <-answers; got != "a<nil>" {
				t.Error(got)
			}
		}
	})
}

// A source that is down takes no server away: the last known are named, and how old that is.
func TestSourceDown(t *testing.T) {
	r := newRig(t)
	r.source.follower(pool.News{Elements: elements("ab")})
	r.clock.pass(time.Minute)
	r.source.follower(pool.News{Err: errors.New("no route")})
	s := r.primary("p", "a")
	if !errors.Is(s.Err, pool.ErrSourceDown) || s.Age != time.Minute || s.Source != "play.x" {
		t.Errorf("%+v", s)
	}
	r.source.refresh = func(context.Context) error { return errors.New("still no route") }
	s, err := r.NextServer(t.Context(), "p", "a", true)
	if err != nil || s.Name != "b" || !errors.Is(s.Err, pool.ErrSourceDown) || !strings.Contains(s.Err.Error(), "still") {
		t.Errorf("%+v %v", s, err)
	}
	if got := strings.Join(r.source.reported, " "); got != "p/a" {
		t.Errorf("reported was %q", got)
	}
	r.source.follower(pool.News{Elements: elements("abc"), Reported: []string{"b"}})
	r.primary("p", "c")
}

// With refresh the source is asked first, as long as there is time, and its answer counts.
func TestRefresh(t *testing.T) {
	r := newRig(t)
	r.source.follower(pool.News{Elements: elements("a")})
	r.source.refresh = func(context.Context) error {
		r.source.follower(pool.News{Elements: elements("ab")})
		return nil
	}
	r.next("p", "a", "a")
	if s, err := r.NextServer(t.Context(), "p", "a", true); err != nil || s.Name != "b" || s.Err != nil {
		t.Errorf("%+v %v", s, err)
	}
	r.source.refresh = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if s, err := r.NextServer(short, "p", "b", true); err != nil || s.Name != "a" || !errors.Is(s.Err, context.DeadlineExceeded) {
		t.Errorf("%+v %v", s, err)
	}
	learned := 0
	r.source.refresh = nil
	r.Share(Pool{Pool: pool.New("q", pool.RoundRobin, elements("ab")), Source: r.source, SourceName: "play.x", Learned: func() { learned++ }})
	if _, err := r.NextServer(t.Context(), "q", "a", true); err != nil || learned != 1 {
		t.Error(learned, err)
	}
	r.Share(Pool{Pool: pool.New("q", pool.RoundRobin, elements("ab")), Source: struct{ pool.Source }{r.source}, SourceName: "fixed.x"})
	if s, err := r.NextServer(t.Context(), "q", "a", true); err != nil || s.Name != "b" || s.Err == nil || !strings.Contains(s.Err.Error(), "cannot be asked") {
		t.Errorf("%+v %v", s, err)
	}
}

// Elements that are reached by another mapping than the pool's are not in it.
func TestOtherMappings(t *testing.T) {
	r := newRig(t)
	all := elements("abc")
	all[0].Mapping, all[1].Mapping = "sctp", "tcp"
	told := slices.Clone(all)
	r.source.follower(pool.News{Elements: all})
	r.primary("p", "b")
	if s := r.primary("p", "c"); s.Mapping != "tcp" {
		t.Error(s.Mapping)
	}
	r.primary("p", "b")
	if all[0].Name != told[0].Name || all[2].Name != told[2].Name {
		t.Error("the source's own list was changed")
	}
}

// What is closed tells nobody anything.
func TestClosedReportsNothing(t *testing.T) {
	r := newRig(t)
	r.source.follower(pool.News{Elements: elements("ab")})
	r.next("p", "a", "b")
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.next("p", "b", "a")
	if !slices.Equal(r.source.reported, []string{"p/a"}) {
		t.Errorf("reported were %q", r.source.reported)
	}
}
