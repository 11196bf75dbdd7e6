package main

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/terminal"
	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sampleStatus(now time.Time) *proxy.Status {
	load := 0.125
	return &proxy.Status{
		Version: "1.2.3",
		Started: now.Add(-90 * time.Minute),
		Pools: []proxy.PoolStatus{{
			Handle: "web", Policy: "round_robin", Mapping: "tcp",
			Elements: []proxy.PoolElement{
				{Name: "a", Address: "10.0.0.11:7001", Failures: 3},
				{Name: "b", Address: "10.0.0.12:7001", Alive: true, Sessions: 2},
			},
		}},
		Users: []proxy.UserStatus{{Name: "web", Listen: "127.0.0.1:8080", Pool: "web", Protocol: "http", Ack: "reply", Sessions: 2,
			ProtectedMessages: 997, UnprotectedMessages: 3}},
		Elements: []proxy.ElementStatus{
			{Name: "web-a", Listen: "10.0.0.11:7001", Server: "127.0.0.1:8081", Legs: 1, Held: 1},
			{Name: "web-b", Listen: "10.0.0.11:7002", Server: "127.0.0.1:8082", Legs: 5, Health: "healthy"},
			{Name: "web-c", Listen: "10.0.0.11:7003", Server: "127.0.0.1:8083", Health: "GET http://127.0.0.1:8083/health: the status is 503, not 200 to 399"},
		},
		Registrations: []proxy.RegistrationStatus{
			{Element: "web-a", Pool: "web", Source: "etcd.prod", Name: "a", Address: "10.0.0.11:7001", Mapping: "tcp", State: "waiting",
				Since: now.Add(-3 * time.Minute), Error: "listen on 127.0.0.1:8081: nobody does"},
			{Element: "web-b", Pool: "web", Source: "etcd.prod", Name: "b", Address: "10.0.0.11:7002", Mapping: "tcp", State: "registered",
				Since: now.Add(-90 * time.Minute), Load: &load, LoadError: "program /bin/load: exit status 1"},
		},
		Associations: []proxy.AssociationStatus{{
			Side: "pool_user", Name: "web", Remote: "10.0.0.12:7001", Peer: "spiffe://example.org/web/b", Mapping: "tcp", Up: true, Sessions: 2,
			RTT: 850 * time.Microsecond, RTO: 204 * time.Millisecond, PMTU: 1500,
		}, {
			Side: "pool_user", Name: "web", Remote: "10.0.0.13:7001", Mapping: "sctp", Up: true,
			RTT: 2 * time.Millisecond, RTO: 60 * time.Millisecond, PMTU: 1500, HeartbeatRTT: 2 * time.Millisecond,
			Paths: []proxy.PathStatus{
				{Address: "10.0.0.13", State: "inactive", RTT: 2 * time.Millisecond, RTO: 60 * time.Millisecond, PMTU: 1500, Primary: true},
				{Address: "10.1.0.13", State: "active", RTO: 500 * time.Millisecond, PMTU: 1500},
			},
		}},
		Sessions: []proxy.SessionStatus{{
			ID: 17, User: "web", Client: "127.0.0.1:40000", Element: "b", Leg: 2, State: "open", Since: now.Add(-12300 * time.Millisecond),
			FromClient: 812, ToClient: 34<<20 + 500<<10, Retained: 1200, Outstanding: 1, Protection: "degraded", Reason: "no other element of the pool is believed alive",
		}},
		Natives: []proxy.NativeSession{
			{ID: 18, Element: "pingpong", User: "10.0.0.21:41000", Connection: "127.0.0.1:50000", State: "open", Since: now.Add(-70 * time.Second),
				FromUser: 812, ToUser: 2 << 10, Held: 12, Outstanding: 1, Cookie: 16},
			{ID: 19, Element: "pingpong", User: "10.0.0.22:41000", State: "waiting", Since: now.Add(-time.Second)},
		},
		Disturbances: []proxy.Disturbance{
			{ID: "c7", Kind: "cut", Side: "pool_user", Name: "web", Until: now.Add(12 * time.Second)},
			{ID: "c8", Kind: "freeze", Side: "pool_element", Name: "a\x1b", Until: now.Add(-time.Second)},
		},
		Failovers: []proxy.Record{{User: "web", Record: session.Record{
			Time: now.Add(-5 * time.Second), Session: 17, Leg: 2, From: "a", To: "b", Kind: session.KindMoved,
			Cause:   "the server reset its connection",
			Connect: 12300 * time.Microsecond, First: 15 * time.Millisecond, Messages: 1, Bytes: 812, Skipped: 0,
		}}},
		PathChanges: []proxy.PathChange{
			{Time: now.Add(-7 * time.Minute), Side: "pool_user", Name: "web", Remote: "10.0.0.13:7001", Path: "10.1.0.13", State: "active"},
			{Time: now.Add(-3 * time.Second), Side: "pool_user", Name: "web", Remote: "10.0.0.13:7001", Path: "10.0.0.13", State: "inactive"},
		},
	}
}

func TestPrintStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var page bytes.Buffer
	printStatus(&page, sampleStatus(now), now)
	golden := filepath.Join("testdata", "status.golden")
	if *update {
		if err := os.WriteFile(golden, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if page.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", page.String(), want)
	}
}

func TestManySessionsAreCut(t *testing.T) {
	var page bytes.Buffer
	printStatus(&page, &proxy.Status{Sessions: make([]proxy.SessionStatus, 1000), Natives: make([]proxy.NativeSession, 1000),
		Associations: make([]proxy.AssociationStatus, 1000)}, time.Now())
	if strings.Count(page.String(), " (40 of 1000; -json shows all)") != 3 || strings.Count(page.String(), "\n") > 160 {
		t.Error(page.String())
	}
}

func TestControlCharactersAreNotPrinted(t *testing.T) {
	var page bytes.Buffer
	printStatus(&page, &proxy.Status{Failovers: []proxy.Record{{Record: session.Record{Cause: "x\x1b[2J\ty\n"}}}}, time.Now())
	if strings.ContainsRune(page.String(), 0x1b) || !strings.Contains(page.String(), "x?[2J?y?") {
		t.Errorf("%q", page.String())
	}
}

func TestStatusErrors(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/status" {
			w.Write([]byte("<html>"))
		}
	}))
	defer web.Close()
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	for _, c := range []struct{ address, says string }{
		{porttest.Free(t).String(), "Is poolproxy running?"},
		{web.Listener.Addr().String(), "is not the admin address of a poolproxy"},
		{missing.Listener.Addr().String(), "404"},
		{"a b:c", "write host:port"},
	} {
		var stdout, stderr bytes.Buffer
		if status := dispatch([]string{"status", "-admin", c.address}, &stdout, &stderr); status != exitFailed {
			t.Errorf("%s: exit status %d", c.address, status)
		}
		if !strings.Contains(stderr.String(), c.says) || stdout.Len() > 0 {
			t.Errorf("%s: %q, want %q", c.address, stderr.String(), c.says)
		}
	}
}

func TestUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "0s", 0: "0µs", 850 * time.Microsecond: "850µs", 12345 * time.Microsecond: "12.3ms", 4500 * time.Millisecond: "4.5s",
		7*time.Minute + 59*time.Second: "7m", 3 * time.Hour: "3h", 300 * time.Hour: "12d",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1229: "1.2 KiB", 1 << 20: "1.0 MiB", 5 << 40: "5.0 TiB", 9000 << 40: "9000.0 TiB",
	} {
		if got := terminal.Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
