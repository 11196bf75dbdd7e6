//go:build linux

package proxy

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
)

// One pass finds who holds any number of sockets, for all shards; what two of them ask for is known once, and of a process one descriptor
// is open, however many sockets it has.
func TestCensusOnePass(t *testing.T) {
	const servers = 300
	at, kill := startListener(t, "127.0.0.1:0")
	addresses := []netip.AddrPort{at}
	for range servers {
		l, _ := listen(t, "tcp4", "127.0.0.1:0")
		addresses = append(addresses, netip.MustParseAddrPort(l.Addr().String()))
	}
	first := testKernel(t)
	c := first.census
	second := openKernel(c)
	t.Cleanup(second.close)
	var probes []*probed
	for _, k := range []*kernel{first, second} {
		l := newProbed(t, at.String(), k).loop
		for _, address := range addresses {
			p := &probed{l, newProbe(l, address, k)}
			p.connect(t, func(p *probe) listenerID { p.prepare(); return 0 })
			probes = append(probes, p)
		}
	}
	if n := len(c.sockets); n != servers+1 {
		t.Errorf("%d servers: %d sockets are known", servers+1, n)
	}
	c.begin()
	for _, p := range probes {
		p.waitKnown(t)
	}
	if c.passes != 1 || len(c.processes) != 2 {
		t.Errorf("%d passes, %d processes, not 1 and 2", c.passes, len(c.processes))
	}
	if _, whole := holders([]listenerID{0}, nil, func() bool { return false }); whole {
		t.Error("a pass that was ended is whole")
	}
	kill()
	for i, p := range probes {
		want := held
		if i%len(addresses) == 0 {
			want = absent // its only process is dead
		}
		if got := p.probe.owners.life(); got != want {
			t.Errorf("probe %d: %d, not %d", i, got, want)
		}
		p.connect(t, func(p *probe) listenerID { p.close(); return 0 })
	}
	if len(c.sockets) != 0 || len(c.processes) != 0 {
		t.Errorf("nobody asks any more, and %d sockets and %d processes are known", len(c.sockets), len(c.processes))
	}
}

// waitKnown waits until it is known who holds the server's socket.
func (p *probed) waitKnown(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(patience); ; {
		known := false
		p.connect(t, func(p *probe) listenerID {
			known = p.owners.known() && !p.studying
			return 0
		})
		if known {
			return
		}
		if time.Now().After(until) {
			t.Fatal("nobody has looked whose the socket is")
		}
	}
}

// A proxy looks through the processes once for all its servers and shards.
func TestCensusAtTheStart(t *testing.T) {
	config := Config{Limits: Limits{Shards: threeShards}}
	for i := range 200 {
		l, _ := listen(t, "tcp4", "127.0.0.1:0")
		config.Elements = append(config.Elements, Element{Name: fmt.Sprint(i), Listen: anyPort, Memory: 1 << 20,
			Server: netip.MustParseAddrPort(l.Addr().String()), Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}})
	}
	before := runtime.NumGoroutine()
	p, err := Start(config, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNow(p) })
	for _, r := range p.runners {
		for _, e := range r.shard.elements {
			(&probed{r.loop, e.probe}).waitKnown(t)
		}
	}
	if p.census.passes != 1 {
		t.Errorf("%d passes", p.census.passes)
	}
	stopNow(p)
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

// Who waits has what was asked for found at once: before the census has begun, too, and in the pass that is going on.
func TestCensusHurry(t *testing.T) {
	o := testOwners(t)
	c := o.census
	told := make(chan struct{})
	o.study(func() { close(told) })
	if c.searching {
		t.Error("nobody waits, and all shards are not there yet: it has begun")
	}
	o.hurry()
	<-told
	if got := o.life(); got != held || c.passes != 1 {
		t.Errorf("%d after %d passes", got, c.passes)
	}
	again := false
	o.study(func() { again = true })
	if !again {
		t.Error("it is known, and nobody was told")
	}
}

// The next pass waits for more who ask, but not if somebody waits for it; then the one that goes on does not rest any more.
func TestCensusDue(t *testing.T) {
	c := newCensus()
	c.searching = true // search is in a pass
	o := c.owners(1)
	o.study(func() {})
	if more, now := c.due(); !more || now {
		t.Errorf("nobody waits: more %t, now %t", more, now)
	}
	o.hurry()
	if more, now := c.due(); !more || !now || !c.hurry.Load() {
		t.Errorf("somebody waits: more %t, now %t, hurry %t", more, now, c.hurry.Load())
	}
	o.release()
	if more, _ := c.due(); more {
		t.Error("who asked is gone, and there is to be a pass")
	}
}

// A census that is closed ends its pass and tells nobody.
func TestCensusClosed(t *testing.T) {
	o := testOwners(t)
	c := o.census
	o.study(func() { t.Error("told after it was closed") })
	c.begin()
	c.close()
	if c.searching || c.passes > 0 {
		t.Errorf("searching %t, %d passes", c.searching, c.passes)
	}
	if goOn := c.rest(); goOn {
		t.Error("a pass would go on")
	}
	o.study(func() {})
	if c.searching {
		t.Error("it searches, closed")
	}
}

// The number of a process that has died may be another's: what is known of it is not used again.
func TestCensusNumberUsedAgain(t *testing.T) {
	o := testOwners(t)
	c := o.census
	dead := diedAlready(t)
	o.learn(o.foundBy([]int{dead}, dead, os.Getpid()))
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid, same := range map[int]bool{dead: false, os.Getpid(): true} {
		before := c.processes[pid]
		p := c.process(pid)
		if (p == before) != same {
			t.Errorf("process %d: the same is used %t, want %t", pid, !same, same)
		}
		c.release(p)
	}
}

// Nobody could be seen while somebody on another shard waited: the processes may be dying. So those who ask now wait as long as those.
func TestCensusLate(t *testing.T) {
	for _, urgent := range []bool{false, true} {
		t.Run(strconv.FormatBool(urgent), func(t *testing.T) {
			l, _ := listen(t, "tcp4", "127.0.0.1:0")
			p := newProbed(t, l.Addr().String(), testKernel(t))
			blind := make(chan bool, 1)
			if yes := p.ask(t, 1, func(p *probe) listenerID {
				listener := p.connected(p.server.Addr())
				p.studying, p.owners.answers = false, nil // it has not asked
				p.owners.urgent = urgent
				p.owners.learn(found{})
				p.loop.Post(func() { blind <- p.blind })
				return listener
			}); yes != 1 {
				t.Error("it lives, and the answer is no")
			}
			if got := <-blind; got != urgent {
				t.Errorf("the kernel's yes is doubted: %t", got)
			}
		})
	}
}
