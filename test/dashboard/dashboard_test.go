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
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/admin/board"
)

var shots = flag.String("shots", "", "`FOLDER` for the screenshots, as ../../docs/dashboard; by default they are thrown away")

// tools are the programs of the test. Without them it is skipped; where make check has had the chance to install them it fails.
func tools(t *testing.T) (node, chromium string) {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("POOLPROXY_CHECK") != "" {
			t.Fatalf("%s is missing: .ci/tools installs it", what)
		}
		t.Skipf("SKIPPED: THE DASHBOARD IS NOT TESTED: %s is missing: .ci/tools installs it", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node")
	}
	if chromium, err = exec.LookPath("chromium"); err != nil {
		missing("chromium")
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		missing("playwright-core (npm ci in test/dashboard)")
	}
	return node, chromium
}

// A browser shows 1,003 elements, 10,000 sessions and 100 failovers, and is used by keys.
func TestDashboard(t *testing.T) {
	node, chromium := tools(t)
	api, err := admin.Start(netip.MustParseAddrPort("127.0.0.1:0"), admin.Options{Board: board.New(crowd(time.Now()))})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	folder := t.TempDir()
	if *shots != "" {
		if folder, err = filepath.Abs(*shots); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var complaints bytes.Buffer
	run := exec.CommandContext(ctx, node, "drive.js", fmt.Sprintf("http://%s/", api.Addr()), chromium, folder)
	run.Stderr = &complaints
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) } // playwright ends its browser then
	run.WaitDelay = 10 * time.Second
	said, err := run.Output()
	checks := 0
	for lines := bufio.NewScanner(bytes.NewReader(said)); lines.Scan(); checks++ {
		var c struct {
			Name, What string
			OK         bool
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if !c.OK {
			t.Errorf("not so: %s: %.500s", c.Name, c.What)
		} else {
			t.Log(c.Name, c.What)
		}
	}
	if err != nil || checks < 25 {
		t.Errorf("%d checks, %v: %s", checks, err, &complaints)
	}
	for _, name := range []string{"light", "dark", "elements", "sessions", "failover", "sources"} {
		if s, err := os.Stat(filepath.Join(folder, "dashboard-"+name+".png")); err != nil || s.Size() < 10_000 {
			t.Errorf("no screenshot %s: %v", name, err)
		}
	}
}

// crowd is a proxy with very much in it, which changes a little at each look.
func crowd(start time.Time) func() board.View {
	looks := 0
	age, stale := 4.0, 754.0
	return func() board.View {
		looks++
		v := board.View{Version: "1.0.0", Started: start.Add(-53 * time.Hour)}
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
		return v
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
