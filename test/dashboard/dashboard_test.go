// Package dashboard_test looks at the dashboard in a browser, and takes the screenshots of the documentation.
package dashboard_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/admin/board"
)

var shots = flag.String("shots", "", "`FOLDER` for the screenshots, as ../../docs/dashboard; by default they are thrown away")

// tools are the programs of the test. Without them it is skipped; where make check has had the chance to install them it fails.
func tools(t *testing.T) (node, chromium string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node")
	}
	if chromium, err = exec.LookPath("chromium"); err != nil {
		missing(t, "chromium")
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		missing(t, "playwright-core (npm ci in test/dashboard)")
	}
	return node, chromium
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("POOLPROXY_CHECK") != "" {
		t.Fatalf("%s is missing: .ci/tools installs it", what)
	}
	t.Skipf("SKIPPED: THE DASHBOARD IS NOT TESTED: %s is missing: .ci/tools installs it", what)
}

// shotsFolder is where the screenshots go.
func shotsFolder(t *testing.T) string {
	t.Helper()
	if *shots == "" {
		return t.TempDir()
	}
	folder, err := filepath.Abs(*shots)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// A browser shows 1,003 elements, 10,000 sessions and 100 failovers, and is used by keys.
func TestDashboard(t *testing.T) {
	node, chromium := tools(t)
	api := stand(t)
	folder := shotsFolder(t)
	drive(t, 40, nil, node, "drive.js", fmt.Sprintf("http://%s/", api.Addr()), chromium, folder, secret)
	for _, name := range []string{"light", "dark", "elements", "sessions", "failover", "sources", "drain", "drains"} {
		if s, err := os.Stat(filepath.Join(folder, "dashboard-"+name+".png")); err != nil || s.Size() < 10_000 {
			t.Errorf("no screenshot %s: %v", name, err)
		}
	}
}

// secret is the token of the admin API.
const secret = "0123456789abcdef0123456789abcdef"

// tokenFile has the secret.
func tokenFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// stand is an admin API over a crowd, in which elements can be drained by those who know the secret.
func stand(t *testing.T) *admin.Server {
	t.Helper()
	token, err := admin.LoadToken(tokenFile(t))
	if err != nil {
		t.Fatal(err)
	}
	all := &crowd{start: time.Now(), drained: map[string]bool{}}
	api, err := admin.Start(netip.MustParseAddrPort("127.0.0.1:0"), admin.Options{Board: board.New(all.look), Token: token, Drains: &admin.Drains{
		Begin: func(e string) error { return all.drain(e, true) }, End: func(e string) error { return all.drain(e, false) },
		State: func(e string) (any, error) {
			return map[string]any{"element": e, "draining": true, "sessions": []int{1, 2, 3}, "legs": 0}, nil
		}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return api
}

// drive runs a script, which has at least so many checks. What it asks for is carried out, and answered.
func drive(t *testing.T, least int, carry func(string) string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var complaints bytes.Buffer
	run := exec.CommandContext(ctx, args[0], args[1:]...)
	run.Stderr = &complaints
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) } // playwright ends its browser then
	run.WaitDelay = 10 * time.Second
	says, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := run.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	checks := 0
	lines := bufio.NewScanner(says)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if what, is := strings.CutPrefix(lines.Text(), "do: "); is {
			fmt.Fprintln(answers, strings.ReplaceAll(carry(what), "\n", " "))
			continue
		}
		checks++
		var c struct {
			Name, What string
			OK         bool
		}
		switch err := json.Unmarshal(lines.Bytes(), &c); {
		case err != nil:
			t.Errorf("%v: %s", err, lines.Text())
		case !c.OK:
			t.Errorf("not so: %s: %.500s", c.Name, c.What)
		default:
			t.Log(c.Name, c.What)
		}
	}
	if err := run.Wait(); err != nil || checks < least {
		t.Errorf("%d checks, %v: %s", checks, err, &complaints)
	}
}

// crowd is a proxy with very much in it, which changes a little at each look.
type crowd struct {
	start time.Time
	looks int

	mu      sync.Mutex
	drained map[string]bool // guarded by mu
}

func (c *crowd) drain(element string, on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element == "e-0777" || element == "redis-0" || element == "web-a" {
		c.drained[element] = on
		return nil
	}
	return fmt.Errorf("%w: %q", admin.ErrUnknownElement, element)
}

func (c *crowd) look() board.View {
	c.looks++
	age, stale := 4.0, 754.0
	start, looks := c.start, c.looks
	v := board.View{Version: "1.0.0", Started: start.Add(-53 * time.Hour), Changes: board.ChangesToken}
	v.Pools = []board.Pool{
		{Handle: "orders", Policy: "least_used", Mapping: "tcp", Elements: 1000, Alive: 988, Sessions: 9988, Source: "etcd.prod", Age: &age},
		{Handle: "sessions-redis", Policy: "priority", Mapping: "tcp", Elements: 2, Alive: 2, Sessions: 12, Source: "dns.k8s", Age: &stale, Alarm: true,
			Problem: "10.96.0.10:53: i/o timeout"},
		{Handle: "reports", Policy: "round_robin", Mapping: "none", Elements: 1},
	}
	elements(&v, looks)
	sessions(&v, start, looks)
	failovers(&v, start)
	sides(&v, start)
	c.draining(&v)
	return v
}

// draining marks what is drained. Two of the sessions of each are held up.
func (c *crowd) draining(v *board.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range v.Elements {
		if e := &v.Elements[i]; c.drained[e.Name] {
			e.Draining, e.Sessions = "its operator has drained it", min(e.Sessions, 3)
		}
	}
	for i := range v.Sides {
		s := &v.Sides[i]
		s.Drained = s.Side == "pool_element" && c.drained[s.Name]
	}
	left := map[string]int{}
	for i := range v.Sessions {
		s := &v.Sessions[i]
		if !c.drained[s.Element] {
			continue
		}
		if left[s.Element]++; left[s.Element] > 3 {
			s.Element = "e-0001"
			continue
		}
		s.Leaves, s.Stays = "its operator has drained it", "in a transaction since 12:00:07"
		if left[s.Element] == 3 {
			s.Stays = "a request is in flight (BLPOP)"
		}
	}
}

func elements(v *board.View, looks int) {
	for i := range 1000 {
		load := float64((i*7+looks)%100) / 100
		e := board.Element{Pool: "orders", Name: fmt.Sprintf("e-%04d", i), Address: fmt.Sprintf("10.0.%d.%d:7001", i/250, i%250), Alive: i%80 != 9, Sessions: 10, Load: &load}
		if !e.Alive {
			e.Failures, e.Sessions = 1+i%5, 0
		}
		v.Elements = append(v.Elements, e)
	}
	v.Elements = append(v.Elements, board.Element{Pool: "sessions-redis", Name: "redis-0", Address: "10.1.0.4:6379", Alive: true, Sessions: 12},
		board.Element{Pool: "sessions-redis", Name: "redis-1", Address: "10.1.0.5:6379", Alive: true},
		board.Element{Pool: "reports", Name: "<img src=x onerror=alert(1)>", Address: "10.2.0.1:80", Failures: 3})
}

func sessions(v *board.View, start time.Time, looks int) {
	for i := range 10000 {
		s := board.Session{ID: uint64(i + 1), User: "orders", Client: fmt.Sprintf("192.0.2.%d:%d", i%250, 20000+i), Element: fmt.Sprintf("e-%04d", i%1000), Leg: uint32(1 + i%3),
			State: "open", Since: start.Add(-time.Duration(i) * time.Second), Up: int64(i * 97), Down: int64(i*9001 + looks*1000), Retained: int64(i % 4096), Protection: "protected"}
		switch {
		case i%20 == 3:
			s.Protection, s.Reason = "unprotected", "history passed retrieval.memory at 1.0 MiB"
		case i%10 == 5:
			s.Protection, s.Reason = "degraded", fmt.Sprintf("in a transaction since 12:%02d:%02d: it would fail, and the session go on", i/60%60, i%60)
		case i%200 == 8:
			s.Protection, s.State = "moving", "failing over"
		}
		v.Sessions = append(v.Sessions, s)
	}
}

func failovers(v *board.View, start time.Time) {
	kinds := []string{"moved", "moved", "moved", "resumed", "moved", "ended", "answered"}
	detectors := []string{"heartbeats", "reset", "end of file", "reply timeout"}
	for i := range 100 {
		f := board.Failover{Time: start.Add(time.Duration(i-100) * 97 * time.Second), User: "orders", Session: uint64(17 + i*31), Leg: 2, From: fmt.Sprintf("e-%04d", i*9%1000),
			To: fmt.Sprintf("e-%04d", i*13%1000), Kind: kinds[i%len(kinds)], Detector: detectors[i%len(detectors)], Cause: "the server reset its connection", Tried: 1 + i%2}
		if f.Detector == "heartbeats" || i > 95 {
			f.Detector, f.Cause, f.Detect = "heartbeats", "3 heartbeats were not answered", 1200
		}
		scale := float64(1 + i*i%90)
		switch f.Kind {
		case "resumed":
			f.Connect = .8 * scale
		case "moved", "answered":
			f.Fence, f.Choose, f.Connect, f.Restored, f.Replayed, f.First = 1.1*scale, 1.2*scale, 3.4*scale, 5.2*scale, 6*scale, 9.5*scale
			f.Messages, f.Bytes, f.Skipped = 1+i%4, int64(812+i), int64(i%3*100)
		case "ended":
			f.To, f.Verdict = "", "an unsafe request is in flight, and whether it was carried out is not known; unsafe = \"refuse\" would answer it by an error"
		}
		v.Failovers = append(v.Failovers, f)
	}
}

func sides(v *board.View, start time.Time) {
	load := .37
	v.Sides = []board.Side{
		{Side: "pool_user", Name: "orders", Listen: "127.0.0.1:5000", To: "orders", What: "http", Well: true, Sessions: 9988},
		{Side: "pool_user", Name: "cache", Listen: "127.0.0.1:6379", To: "sessions-redis", What: "redis", Well: true, Sessions: 12},
		{Side: "pool_element", Name: "web-a", Listen: "10.0.0.11:7001", To: "127.0.0.1:8081", What: "healthy", Well: true, Sessions: 31, Held: 2},
		{Side: "pool_element", Name: "web-b", Listen: "10.0.0.11:7002", To: "127.0.0.1:8082", What: "unhealthy: GET http://127.0.0.1:8082/health: the status is 503"},
	}
	v.Enrolled = []board.Registration{
		{Element: "web-a", Pool: "orders", Source: "etcd.prod", Name: "e-0001", Address: "10.0.0.11:7001", State: "registered", Since: start.Add(-50 * time.Hour), Load: &load},
		{Element: "web-b", Pool: "orders", Source: "etcd.prod", Name: "e-0002", Address: "10.0.0.11:7002", State: "waiting", Since: start.Add(-3 * time.Minute),
			Problem: "listen on 127.0.0.1:8082: nobody does"},
	}
}
