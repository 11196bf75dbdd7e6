//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleEither is a first hop that knows several seconds, and takes the first one that it can connect to.
const roleEither = "either"

func eitherMain(listen string, targets []string) {
	l, err := net.Listen("tcp4", listen)
	for err == nil {
		var client net.Conn
		if client, err = l.Accept(); err != nil {
			return
		}
		go either(client, targets)
	}
}

func either(client net.Conn, targets []string) {
	defer client.Close()
	for _, target := range targets {
		if server, err := net.Dial("tcp4", target); err == nil {
			go io.Copy(server, client)
			io.Copy(client, server)
			return
		}
	}
}

// eitherKill has no second hops: what the first one is given are the servers.
func eitherKill(e *environment) (*instance, error) {
	servers := func(e *environment, i *instance, listen, _, _ string) (*process, error) {
		return startProcess("either", again(context.Background(), roleEither, listen, i.servers[0].Address, i.servers[1].Address))
	}
	return killPlan(servers, ioCopy)(e)
}

// TestPlans measures what needs a system of its own, with plain proxies: all connections break once, none stays away, and the gap is there.
func TestPlans(t *testing.T) {
	b := newTestBench(t, "direct")
	b.systems = []system{{name: "plain", plans: map[string]plan{planKill: eitherKill, planHTTP: httpPlan(ioCopy)}}}
	var err error
	b.workloads, err = choose(b.workloads, []string{"kill", "kill-1", "http"}, func(w workload) string { return w.name }, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.runWell(t, func(s sample) bool { return planned(s) == nil })
	if len(b.results.Samples) != 3 {
		t.Fatalf("%d samples, want 3", len(b.results.Samples))
	}
	for _, s := range b.results.Samples {
		if err := planned(s); err != nil {
			t.Errorf("%s: %v", s.Workload, err)
		}
	}
}

// planned tells what is wrong with a sample of TestPlans.
func planned(s sample) error {
	v := s.Values
	switch {
	case s.Error != "":
		return errors.New(s.Error)
	case s.Workload == "http":
		if v["rate"] <= 0 || v["p99"] < v["p50"] {
			return fmt.Errorf("%v", v)
		}
	default:
		want := map[string]float64{"kill": 100, "kill-1": 1}[s.Workload]
		if v[valueBroken] != want || v[valueStuck] != 0 || v[valueDoubled] != 0 || v[valueLost] < want ||
			v[valueGap] <= 0 || v[valueGap99] < v[valueGap] {
			return fmt.Errorf("%v; want %v connections to break and to come back", v, want)
		}
	}
	return nil
}

// TestRepliesAreCounted: a reply that comes twice, and one that is left out, are noticed.
func TestRepliesAreCounted(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(pair[:])
	c := &killConn{id: 3, seq: 5, last: time.Now(), connected: true}
	l := &killLoad{all: []*killConn{c}}
	l.fail()
	for _, step := range []struct {
		reply         uint64
		doubled, lost int
		next          uint64
	}{{5, 0, 0, 6}, {5, 1, 0, 6}, {6, 1, 0, 7}, {9, 1, 2, 10}} {
		putLine(c.line[:], 3, step.reply)
		if err := l.reply(int32(pair[0]), c); err != nil {
			t.Fatal(err)
		}
		if l.doubled != step.doubled || l.lost != step.lost || c.seq != step.next {
			t.Errorf("after reply %d: %d doubled, %d lost, next %d; want %+v", step.reply, l.doubled, l.lost, c.seq, step)
		}
	}
	if gaps, stuck := l.gaps(); len(gaps) != 1 || stuck != 0 {
		t.Errorf("gaps %v, stuck %d", gaps, stuck)
	}
	c.line[60] ^= 1
	if l.reply(int32(pair[0]), c) == nil {
		t.Error("a damaged reply was taken")
	}
}

func TestHTTPWords(t *testing.T) {
	get := appendGet(nil, 0xabc, 77)
	conn, seq, ok := parseGet(get)
	if !ok || conn != 0xabc || seq != 77 {
		t.Errorf("%q is read as %x %d %v", get, conn, seq, ok)
	}
	for _, bad := range []string{"", "GET /", "GET /zz345678/0000000000000001", "POST /00000000/0000000000000001"} {
		if _, _, ok := parseGet([]byte(bad)); ok {
			t.Errorf("%q was taken", bad)
		}
	}
	reply := append([]byte(httpHead), make([]byte, lineSize)...)
	putLine(reply[len(httpHead):], 1, 2)
	if whole, err := checkHTTPReply(reply, 1, 2); !whole || err != nil {
		t.Errorf("a good reply: %v, %v", whole, err)
	}
	if whole, err := checkHTTPReply(reply[:len(reply)-1], 1, 2); whole || err != nil {
		t.Errorf("a part of a reply: %v, %v", whole, err)
	}
	if _, err := checkHTTPReply(reply, 1, 3); err == nil {
		t.Error("the reply to another request was taken")
	}
	if _, err := checkHTTPReply([]byte("HTTP/1.1 502 Bad Gateway\r\n\r\n"), 1, 2); err == nil {
		t.Error("an error was taken for a reply")
	}
}

func TestParseRedisCSV(t *testing.T) {
	rates, err := parseRedisCSV("\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"51020.41\",\"0.5\"\n\"GET\",\"52083.33\",\"0.4\"\n")
	if err != nil || rates["SET"] != 51020.41 || rates["GET"] != 52083.33 {
		t.Errorf("%v, %v", rates, err)
	}
	for _, bad := range []string{"", "Could not connect", "\"GET\",\"x\"\n", "\"GET\",\"1\"\n"} {
		if _, err := parseRedisCSV(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestQuantileOf(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(i+1))
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := quantileOf(hundred, q); got != want {
			t.Errorf("quantileOf(%v) = %v, want %v", q, got, want)
		}
	}
	if quantileOf(nil, 0.5) != 0 {
		t.Error("nothing has a quantile")
	}
}
