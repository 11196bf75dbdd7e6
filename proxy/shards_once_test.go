//go:build linux

package proxy

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/session"
)

// What is done once a process is done for all shards.

// One check finds a server unhealthy for the legs of all shards, and healthy again.
func TestShardsHealth(t *testing.T) {
	x := newSharded(t, 2, func(c *Config) {
		for i := range c.Elements {
			e := &c.Elements[i]
			e.Health = &HealthCheck{Address: e.Server, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 2} // a loaded machine shall not fail them
		}
	})
	clients := x.clients(12)
	sick := x.servers[0]
	at := sick.listener.Addr().String()
	_ = sick.listener.Close()
	eventually(t, "its sessions have moved", func() bool {
		s := x.user.Status().Pools[0].Elements
		return s[0].Sessions == 0 && s[1].Sessions == 12
	})
	for _, c := range clients {
		if by := c.ask(); by != "b" {
			t.Errorf("answered by %s", by)
		}
	}
	if r := x.user.Status().Failovers; len(r) == 0 || r[0].Detector != "health check" {
		t.Errorf("%+v", r)
	}
	l, err := net.Listen("tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	eventually(t, "it is healthy", func() bool { return x.elements[0].Status().Elements[0].Health == "healthy" })
}

// A server that is gone and comes back takes the sessions of all shards, which wait for it.
func TestShardsWait(t *testing.T) {
	x := newSharded(t, 1, nil)
	clients := x.clients(9)
	x.servers[0].kill()
	for _, c := range clients {
		c.send()
	}
	eventually(t, "all have noticed", func() bool {
		waiting := 0
		for _, s := range x.user.Status().Sessions {
			if s.State == "failing over" {
				waiting++
			}
		}
		return waiting == len(clients)
	})
	back := &peerServer{name: "back"}
	var err error
	if back.listener, err = net.Listen("tcp4", x.servers[0].listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	back.serve(t)
	for _, c := range clients {
		if by := c.answer(); by != "back" {
			t.Errorf("answered by %s", by)
		}
	}
}

// Requests of all shards share a run of the fence's program, which knows of the connections of all.
func TestShardsFence(t *testing.T) {
	dir := t.TempDir()
	x := newSharded(t, 1, func(c *Config) {
		for i := range c.Elements {
			c.Elements[i].FenceExec = []string{"/bin/sh", "-c", "echo >>" + dir + "/runs; while [ ! -e " + dir + "/go ]; do sleep 0.01; done"}
			c.Elements[i].FenceTimeout = limitPatience
		}
	})
	type known struct {
		on  *shardRunner
		leg *session.Leg
	}
	var legs []known
	connect := func(on *shardRunner) {
		leg := &session.Leg{Session: uint64(len(legs))}
		on.do(func() { on.shard.elements[0].fence.connected(leg) })
		legs = append(legs, known{on, leg})
	}
	answers := make(chan error, 10)
	ask := func(k known) {
		k.on.do(func() { k.on.shard.elements[0].fence.ask(k.leg, func(err error) { answers <- err }) })
	}
	await := func(n int) {
		t.Helper()
		for range n {
			select {
			case err := <-answers:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(limitPatience):
				t.Fatal("a fence has not answered")
			}
		}
	}
	runs := func() int {
		text, _ := os.ReadFile(dir + "/runs")
		return strings.Count(string(text), "\n")
	}
	for _, r := range x.elements[0].runners {
		connect(r)
	}
	for _, k := range slices.Backward(legs) {
		ask(k)
	}
	eventually(t, "it runs", func() bool { return runs() == 1 })
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(threeShards)
	for _, k := range legs { // known to be dead
		ask(k)
	}
	await(threeShards)
	if n := runs(); n != 1 {
		t.Errorf("%d runs", n)
	}
	connect(x.elements[0].runners[2])
	ask(legs[threeShards])
	await(1)
	if n := runs(); n != 2 {
		t.Errorf("%d runs, with one for the newer connection", n)
	}
}

// A gauge is the sum of what the shards say.
func TestShardsGauges(t *testing.T) {
	sink := metrics.NewInmemSink(time.Hour, time.Hour)
	meter, err := metrics.New(&metrics.Config{FilterDefault: true}, sink)
	if err != nil {
		t.Fatal(err)
	}
	x := newMeasured(t, 1, meter, nil)
	x.clients(8)
	for _, p := range []*Proxy{x.user, x.elements[0]} {
		p.runners[0].do(func() { p.runners[0].shard.gauge() })
	}
	for name, want := range map[string]float32{"sessions;pool=things;pool_user=things": 8, "sessions_by_protection;pool=things;pool_user=things;protection=degraded": 8, "legs;pool_element=a;state=live": 8} {
		eventually(t, name, func() bool { return sink.Data()[0].Gauges[name].Value == want })
	}
	if c := sink.Data()[0].Counters["client_messages_total;pool=things;pool_user=things;protected=yes"]; c.AggregateSample == nil || c.Sum != 8 {
		t.Errorf("messages: %+v", c)
	}
}
