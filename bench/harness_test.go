//go:build linux

package main

import (
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be its own helpers, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 5 && os.Args[2] == roleEither {
		eitherMain(os.Args[3], os.Args[4:])
		return
	}
	if len(os.Args) > 2 && os.Args[2] == roleTryLink {
		tryLinkMain()
		return
	}
	if len(os.Args) > 4 && os.Args[2] == roleDamage {
		damageMain(os.Args[3], os.Args[4])
		return
	}
	if len(os.Args) > 1 && os.Args[1] == childFlag {
		main()
		return
	}
	status := m.Run()
	running.killAll()
	os.Exit(status)
}

func newTestBench(t *testing.T, systems ...string) *bench {
	t.Helper()
	b := &bench{settings: settings{rounds: 1, limit: 2 * time.Minute, short: true}, env: &environment{folder: t.TempDir()}}
	b.workloads = allWorkloads(40 * time.Millisecond)
	var err error
	b.systems, err = choose(allSystems, systems, func(s system) string { return s.name }, func(system) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.killAll)
	return b
}

// runWell runs, and again, at most twice, while a sample is not good: of loads that last a moment nothing comes on a machine that lets
// them wait for so long.
func (b *bench) runWell(t *testing.T, good func(sample) bool) {
	t.Helper()
	for range 3 {
		b.results = results{}
		b.run()
		i := slices.IndexFunc(b.results.Samples, func(s sample) bool { return !good(s) })
		if i < 0 {
			return
		}
		t.Logf("not good: %+v", b.results.Samples[i])
	}
}

// TestEveryWorkload runs all loads, very short, against what is always there.
func TestEveryWorkload(t *testing.T) {
	b := newTestBench(t, "direct", "io.Copy")
	something := func(s sample, figure string) bool {
		v, measured := s.Values[figure]
		return !measured || v > 0 || !strings.Contains("rate throughput p50 p99", figure)
	}
	b.runWell(t, func(s sample) bool {
		return s.Error == "" && something(s, "rate") && something(s, "throughput") && something(s, "p50") && something(s, "p99")
	})
	for _, s := range b.results.Samples {
		if s.Error != "" {
			t.Errorf("%s, %s: %s", s.System, s.Workload, s.Error)
		}
		for figure, v := range s.Values {
			if strings.Contains("rate throughput p50 p99", figure) && v <= 0 {
				t.Errorf("%s, %s: %s is %v", s.System, s.Workload, figure, v)
			}
		}
	}
	want := 0
	for _, w := range b.workloads {
		for _, s := range b.systems {
			if s.does(w) {
				want++
			}
		}
	}
	if want < 2*len(b.workloads)/3 || len(b.results.Samples) != want {
		t.Errorf("%d samples, want %d", len(b.results.Samples), want)
	}
}

// roleDamage is a hop that changes one byte of every connection, the 200th of what the server sends.
const roleDamage = "damage"

func damageMain(listen, target string) {
	l, err := net.Listen("tcp4", listen)
	for err == nil {
		var client net.Conn
		if client, err = l.Accept(); err == nil {
			if server, err := net.Dial("tcp4", target); err == nil {
				go io.Copy(server, client)
				go damage(client, server)
			} else {
				client.Close() // the next hop is not up yet: the client tries again
			}
		}
	}
}

func damage(to, from net.Conn) {
	defer to.Close()
	start := make([]byte, 2*lineSize)
	if n, err := io.ReadFull(from, start[:lineSize]); err != nil || n < lineSize {
		return
	}
	to.Write(start[:lineSize]) // the first reply at once: the client waits for it before it asks again
	io.ReadFull(from, start[lineSize:])
	start[199] ^= 1
	to.Write(start[lineSize:])
	io.Copy(to, from)
}

// TestDamageIsNoticed: a system that changes a byte fails where it is measured.
func TestDamageIsNoticed(t *testing.T) {
	b := newTestBench(t, "direct")
	damaging := func(e *environment, first bool, listen, target string) (*process, error) {
		if first {
			return startProcess("damage", again(t.Context(), roleDamage, listen, target))
		}
		return ioCopy(e, first, listen, target)
	}
	b.systems = []system{{name: "damage", class: classBulk | classRequests, hop: damaging}}
	var err error
	b.workloads, err = choose(b.workloads, []string{"down-1", "requests-64", "steady"}, func(w workload) string { return w.name }, nil)
	if err != nil {
		t.Fatal(err)
	}
	noticed := func(s sample) bool {
		return strings.Contains(s.Error, "wrong bytes") || strings.Contains(s.Error, "the reply to request")
	}
	b.runWell(t, noticed)
	for _, s := range b.results.Samples {
		if !noticed(s) {
			t.Errorf("%s: the damage was not noticed: %q", s.Workload, s.Error)
		}
	}
}

// TestDeadSystem: a system that dies is reported and started again.
func TestDeadSystem(t *testing.T) {
	b := newTestBench(t, "io.Copy")
	b.instances = map[string]*instance{}
	s := b.systems[0]
	i, err := b.instance(s, workload{})
	if err != nil {
		t.Fatal(err)
	}
	i.hops[1].kill()
	if i.alive() == nil {
		t.Error("a killed hop is not noticed")
	}
	next, err := b.instance(s, workload{})
	if err != nil || next == i || next.alive() != nil {
		t.Errorf("the next instance: %v, %v", next.alive(), err)
	}
}

// TestStartFails: the last words of a program that ends at once are in the error.
func TestStartFails(t *testing.T) {
	b := newTestBench(t, "direct")
	bad := system{name: "bad", hop: func(e *environment, _ bool, listen, target string) (*process, error) {
		return startProcess("bad", again(t.Context(), roleCopy, "no address", target))
	}}
	_, err := b.env.startSystem(bad, workload{})
	if err == nil || !strings.Contains(err.Error(), "no address") {
		t.Errorf("the error is %v", err)
	}
}

func TestChoose(t *testing.T) {
	name, optional := func(s string) string { return s }, func(s string) bool { return s == "c" }
	all := []string{"a", "b", "c"}
	for _, c := range []struct{ names, want string }{{"", "a b"}, {"c", "c"}, {"b a", "a b"}} {
		got, err := choose(all, strings.Fields(c.names), name, optional)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("choose %q: %v, %v; want %q", c.names, got, err, c.want)
		}
	}
	if _, err := choose(all, []string{"a", "x"}, name, optional); err == nil {
		t.Error("an unknown name was taken")
	}
}

func TestParse(t *testing.T) {
	s, err := parse([]string{"-short", "-only", "idle,connect", "-cc", "bbr"})
	if err != nil || s.rounds != 3 || s.length != shortLength || len(s.only) != 2 || len(s.congest) != 1 || s.congest[0] != "bbr" {
		t.Errorf("parse: %+v, %v", s, err)
	}
	for _, bad := range [][]string{{"-rounds", "-1"}, {"more"}, {"-short", "-write"}, {"-cc", ""}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("parse(%q) found nothing wrong", bad)
		}
	}
}

func TestPromisedBounds(t *testing.T) {
	for _, c := range []struct {
		args   []string
		atMost time.Duration
	}{{nil, 15 * time.Minute}, {[]string{"-short"}, 90 * time.Second}} {
		if s, err := parse(c.args); err != nil || s.limit >= c.atMost {
			t.Errorf("%q: limit %v, %v; want less than %v", c.args, s.limit, err, c.atMost)
		}
	}
}
