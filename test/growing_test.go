//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/internal/porttest"
)

const (
	actorLease    = 10 * time.Second
	actorCrowd    = 1000 // elements that are there all the time
	actorSessions = 200
	actorPause    = 20 * time.Millisecond // between two requests of a session
	growingRow    = 10                    // new sessions in a row that are right
)

// audience is the sessions of the test: each asks one request after another until it is let go.
type audience struct {
	t       *testing.T
	listen  string
	members []*member // the oldest first
	failed  chan error
	running sync.WaitGroup
	moved   atomic.Int64 // sessions that another element has gone on with
	begun   int
}

// member is one client. What it counts belongs to its goroutine until that has ended.
type member struct {
	conn *net.TCPConn
	in   *bufio.Reader
	stop chan struct{}
}

// arrival is a new session: when it was begun, when it had its first reply, and from which element.
type arrival struct {
	began, served time.Time
	element       string
}

// join begins a session. If there are too many then, the oldest one ends, in order.
func (a *audience) join() arrival {
	a.t.Helper()
	began := time.Now()
	conn, err := net.DialTimeout("tcp", a.listen, patience)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		a.t.Fatal(err)
	}
	m := &member{conn: conn.(*net.TCPConn), in: bufio.NewReader(conn), stop: make(chan struct{})}
	element, err := m.ask(0)
	if err != nil {
		a.t.Fatalf("session %d: its first request: %v", a.begun, err)
	}
	arrived := arrival{began, time.Now(), element}
	number := a.begun
	a.begun++
	a.running.Go(func() {
		if err := m.run(element, &a.moved); err != nil {
			a.failed <- fmt.Errorf("session %d: %w", number, err)
		}
	})
	if a.members = append(a.members, m); len(a.members) > actorSessions {
		close(a.members[0].stop)
		a.members = a.members[1:]
	}
	select {
	case err := <-a.failed:
		a.t.Fatal(err)
	default:
	}
	return arrived
}

// leave ends all sessions.
func (a *audience) leave() {
	for _, m := range a.members {
		close(m.stop)
	}
	a.members = nil
	a.running.Wait()
}

// run asks until it is to stop, and then ends the connection in order. The first reply came from element.
func (m *member) run(element string, moved *atomic.Int64) error {
	defer m.conn.Close()
	tick := time.NewTicker(actorPause)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-m.stop:
			return m.end()
		case <-tick.C:
		}
		by, err := m.ask(n)
		if err != nil {
			return err
		}
		if by != element {
			element = by
			moved.Add(1)
		}
	}
}

// ask asks request n and returns who has answered it. The reply to another request is an error.
func (m *member) ask(n int) (element string, err error) {
	if _, err := fmt.Fprintf(m.conn, "GET %d\n", n); err != nil {
		return "", err
	}
	reply, err := m.in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("request %d: %q: %w", n, reply, err)
	}
	element, number, _ := strings.Cut(strings.TrimSuffix(reply, "\n"), " ")
	if number != strconv.Itoa(n) {
		return "", fmt.Errorf("request %d was answered %q", n, reply)
	}
	return element, nil
}

// end closes the connection: no byte may come any more.
func (m *member) end() error {
	if err := m.conn.CloseWrite(); err != nil {
		return err
	}
	if rest, err := io.ReadAll(m.in); err != nil || len(rest) > 0 {
		return fmt.Errorf("at the end came %q, %v", rest, err)
	}
	return nil
}

// stage is the pool with its crowd, and the pool_user sidecar before it.
type stage struct {
	t       *testing.T
	members string // of etcd
	port    int
	next    netip.Addr // of the next actor
	audience
}

// act starts elements. They are not registered yet when it returns.
func (s *stage) act(count, load int) (actor *process, name string) {
	s.t.Helper()
	at := netip.AddrPortFrom(s.next, uint16(s.port))
	for range count {
		s.next = s.next.Next()
	}
	p := startProcess(s.t, command{name: "actor-" + at.Addr().String(), role: "actor", args: []string{"-listen", at.String(), "-count", strconv.Itoa(count),
		"-load", strconv.Itoa(load), "-etcd", s.members}})
	return p, at.String()
}

// moment is when a process has said that something has happened; zero: it has not.
func (s *stage) moment(p *process, what string) time.Time {
	s.t.Helper()
	for line := range strings.Lines(p.output(s.t)) {
		word, number, whole := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if n, err := strconv.ParseInt(number, 10, 64); whole && word == what && err == nil {
			return time.Unix(0, n)
		}
	}
	return time.Time{}
}

// follows begins one session after another until a row of them, begun after the change, is where it should be. It returns how long after
// the change the first one of the row had its first reply.
func (s *stage) follows(change func() time.Time, right func(element string) bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	var row []arrival
	for len(row) < growingRow {
		a := s.join()
		at := change()
		switch {
		case !right(a.element):
			row = nil
		case !at.IsZero() && a.served.After(at):
			row = append(row, a)
		}
		if time.Since(began) > patience {
			s.t.Fatalf("%s after the change new sessions go to %s", time.Since(at), a.element)
		}
	}
	return row[0].served.Sub(change())
}

// changes adds an element, and drains or kills it, so many times, and returns how long after each new sessions followed, the shortest first.
func (s *stage) changes(rounds int) map[string][]time.Duration {
	s.t.Helper()
	took := make(map[string][]time.Duration)
	for i := range rounds {
		actor, name := s.act(1, 1)
		it := func(element string) bool { return element == name }
		others := func(element string) bool { return element != name }
		took["added"] = append(took["added"], s.follows(func() time.Time { return s.moment(actor, "registered") }, it))
		if i%2 == 0 {
			actor.signal(s.t, syscall.SIGTERM)
			took["drained"] = append(took["drained"], s.follows(func() time.Time { return s.moment(actor, "drained") }, others))
			continue
		}
		at := time.Now()
		actor.kill()
		took["killed"] = append(took["killed"], s.follows(func() time.Time { return at }, others))
	}
	for _, d := range took {
		slices.Sort(d)
	}
	return took
}

// slowest is the longest of the medians.
func slowest(took map[string][]time.Duration) (longest time.Duration) {
	for _, d := range took {
		longest = max(longest, d[len(d)/2])
	}
	return longest
}

// TestGrowingPool is issue 6, item 1: to a pool of 1,000 elements in etcd elements are added, drained from and killed under 200 sessions.
// New sessions follow within 1 s, and no session is lost.
func TestGrowingPool(t *testing.T) {
	needs(t, false, "etcd")
	rounds := 100
	if raceDetector {
		rounds = 10
	}
	cluster := etcdtest.Start(t, 3)
	s := &stage{t: t, members: strings.Join(cluster.Endpoints(), ","), next: netip.MustParseAddr("127.77.0.1")}
	_, port, _ := net.SplitHostPort(porttest.FreeString(t))
	s.port, _ = strconv.Atoi(port)
	s.failed = make(chan error, 64)
	s.audience.t, s.listen = t, porttest.FreeString(t)
	crowd, _ := s.act(actorCrowd, 1000)
	waitWithin(t, 5*time.Minute, "the crowd to be registered", func() bool { return !s.moment(crowd, "registered").IsZero() })
	user := startProcess(t, command{name: "user", args: []string{builtBinary(t), "run", "-config", writeConfig(t, "user", growingConfig(s.listen, porttest.FreeString(t), cluster.Endpoints()))}})
	user.waitListening(t, s.listen)
	t.Cleanup(s.leave)
	for range actorSessions {
		s.join()
	}
	took := s.changes(rounds)
	for try := 0; try < 3 && slowest(took) > time.Second; try++ { // a machine that others load makes all of them late
		t.Logf("it took %s, as median: once more", slowest(took))
		took = s.changes(rounds)
	}
	s.leave()
	close(s.failed)
	for err := range s.failed {
		t.Error(err)
	}
	for what, d := range took {
		t.Logf("%s: %d times: new sessions followed after %s (median), %s (p99), %s (the longest)", what, len(d), d[len(d)/2], d[len(d)*99/100], d[len(d)-1])
		if d[len(d)/2] > time.Second {
			t.Errorf("new sessions follow within 1 s of an element that was %s: it took %s", what, d[len(d)/2])
		}
	}
	if s.moved.Load() == 0 {
		t.Error("no session was at an element that was killed")
	}
	t.Logf("%d sessions in all, %d at a time, %d times one was moved, none lost", s.begun, actorSessions, s.moved.Load())
}

// growingConfig is the configuration of a pool_user whose pool is in etcd.
func growingConfig(listen, admin string, members []string) string {
	return fmt.Sprintf(`admin { listen = %q }

source "etcd" "here" {
  endpoints = ["%s"]
}

pool %q {
  policy  = "least_used"
  mapping = "none"
  source  = "etcd.here"
}

pool_user "stage" {
  listen = %q
  pool   = %q

  protocol "line" {
    safe = ["^GET "]
  }
}
`, admin, strings.Join(members, `", "`), actorPool, listen, actorPool)
}

// TestReportsAreShared has an element die that one pool_user has a session at: another one that has none, and never looks at it, hears of
// the death by etcd, while the registration still stands.
func TestReportsAreShared(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	_, text, _ := net.SplitHostPort(porttest.FreeString(t))
	port, _ := strconv.Atoi(text)
	s := &stage{t: t, members: strings.Join(cluster.Endpoints(), ","), next: netip.MustParseAddr("127.78.0.1"), port: port}
	s.audience.t, s.listen, s.failed = t, porttest.FreeString(t), make(chan error, 1)
	first, name := s.act(1, 1)
	second, _ := s.act(1, 2)
	for _, p := range []*process{first, second} {
		waitFor(t, p.name+" to be registered", func() bool { return !s.moment(p, "registered").IsZero() })
	}
	other := &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t)}
	for i, at := range []fleet{{listen: s.listen, admin: porttest.FreeString(t)}, *other} {
		user := startProcess(t, command{name: fmt.Sprintf("user-%d", i), args: []string{builtBinary(t), "run", "-config",
			writeConfig(t, fmt.Sprintf("user-%d", i), growingConfig(at.listen, at.admin, cluster.Endpoints()))}})
		user.waitListening(t, at.listen)
		user.waitListening(t, at.admin)
	}
	alive := func() (alive, known bool) {
		for _, e := range other.status().Pools[0].Elements {
			if e.Name == name {
				return e.Alive, true
			}
		}
		return false, false
	}
	waitFor(t, "the other pool_user to know the element", func() bool { up, known := alive(); return up && known })
	t.Cleanup(s.leave)
	if a := s.join(); a.element != name {
		t.Fatalf("the session is at %s, not at the least used, %s", a.element, name)
	}
	first.kill()
	waitFor(t, "the other pool_user to hear of it", func() bool {
		up, known := alive()
		if !known {
			t.Fatal("the registration is gone: nothing can be said of reports")
		}
		return !up
	})
	s.leave()
	if len(s.failed) > 0 {
		t.Error(<-s.failed)
	}
}
