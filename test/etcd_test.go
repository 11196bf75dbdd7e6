//go:build linux

package test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/internal/porttest"
)

// etcdLease is that of the registrations in etcd.
const etcdLease = 6 * time.Second

// etcdFleet is a fleet whose pool_user finds its elements in etcd, where their sidecars register them.
type etcdFleet struct {
	*fleet
	cluster *etcdtest.Cluster
	clients []*lineClient
	failed  chan error
}

func launchEtcd(t *testing.T) *etcdFleet {
	t.Helper()
	f := &etcdFleet{fleet: &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t)}, cluster: etcdtest.Start(t, 3)}
	for range 3 {
		f.another()
	}
	f.user = f.run("user", fmt.Sprintf(`%s
admin { listen = %q }
pool "orders" { source = "etcd.prod" }
pool_user "orders" {
  listen = %q
  pool   = "orders"
  protocol "line" { safe = ["."] }
%s  failover {
    resume = "1s"
  }
}
`, f.source(), f.admin, f.listen, quickHeartbeat))
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	f.known("abc")
	return f
}

// source is that of all sidecars.
func (f *etcdFleet) source() string {
	return fmt.Sprintf("source \"etcd\" \"prod\" {\n  endpoints = [\"%s\"]\n  lease = \"%v\"\n  timeout = \"2s\"\n}\n",
		strings.Join(f.cluster.Endpoints(), `", "`), etcdLease)
}

// another starts one more server, and its sidecar, which registers it.
func (f *etcdFleet) another() *element {
	f.t.Helper()
	e := &element{name: string(rune('a' + len(f.elements))), address: porttest.FreeString(f.t), listen: porttest.FreeString(f.t)}
	f.elements = append(f.elements, e)
	e.server = startProcess(f.t, command{name: "server-" + e.name, role: "line", args: []string{"-listen", e.address}})
	e.server.waitListening(f.t, e.address)
	e.sidecar = f.run("element-"+e.name, f.source()+
		elementConfig(e.name, e.listen, e.address, "  register {\n    pool = \"orders\"\n    source = \"etcd.prod\"\n  }\n"))
	e.sidecar.waitListening(f.t, e.listen)
	return e
}

// inPool are the names of the elements that the pool_user knows.
func (f *etcdFleet) inPool() string {
	var names []string
	for _, e := range f.status().Pools[0].Elements {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return strings.Join(names, "")
}

func (f *etcdFleet) known(names string) {
	f.t.Helper()
	waitFor(f.t, "the pool to have the elements "+names, func() bool { return f.inPool() == names })
}

// goesOn has every session get replies, and new ones begin and end, while the pool has these elements.
func (f *etcdFleet) goesOn(while, names string) {
	f.t.Helper()
	advance(f.t, f.clients, 20, f.failed)
	for i := range 6 {
		c := lineClient{number: 1000 + i, conn: f.dial(), killed: new(atomic.Bool)}
		stop := make(chan struct{})
		ended := make(chan error, 1)
		go func() { ended <- c.run(stop) }()
		advance(f.t, []*lineClient{&c}, 1, ended)
		close(stop)
		if err := <-ended; err != nil {
			f.t.Fatal(err)
		}
	}
	if got := f.inPool(); got != names {
		f.t.Errorf("%s the pool has the elements %s, not %s", while, got, names)
	}
}

// TestEtcdDies kills a member of a cluster of three, then the leader, then all of them: sessions and failovers go on from what was known
// last, no element is lost, and after the return registrations are complete within one lease.
func TestEtcdDies(t *testing.T) {
	needs(t, false, "etcd")
	f := launchEtcd(t)
	var killed atomic.Bool
	stop := make(chan struct{})
	var running sync.WaitGroup
	f.failed = make(chan error, 20)
	for i := range cap(f.failed) {
		c := &lineClient{number: i, conn: f.dial(), killed: &killed}
		if err := c.conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		f.clients = append(f.clients, c)
		running.Go(func() {
			if err := c.run(stop); err != nil {
				f.failed <- err
			}
		})
	}
	f.goesOn("at first", "abc")
	leader := slices.Index(f.cluster.Members, f.cluster.Leader())
	for what, m := range map[string]*etcdtest.Member{"without a member": f.cluster.Members[(leader+1)%3], "without the leader": f.cluster.Leader()} {
		m.Kill()
		f.goesOn(what, "abc")
		<-time.After(etcdLease) // what nobody could keep alive would be gone
		f.goesOn(what, "abc")
		f.cluster.Restart()
	}
	if moved := f.recorded("moved"); len(moved) > 0 {
		t.Errorf("sessions have moved: %+v", moved[0])
	}
	before, began := total(f.clients), time.Now()
	late := f.withoutEtcd(&killed)

	f.cluster.Restart()
	begun := time.Now()
	for _, e := range f.elements[1:3] {
		e.sidecar.said(t, "registered in a pool", 2)
	}
	late.sidecar.said(t, "registered in a pool", 1)
	waitFor(t, "the pool to have them", func() bool { return strings.HasSuffix(f.inPool(), "bcd") })
	took := time.Since(begun)
	t.Logf("registrations were complete %v after the return of etcd", took.Round(time.Millisecond))
	if limit := etcdLease + 15*time.Second; took > limit { // that lease, and what a loaded machine makes of it
		t.Errorf("longer than %v, with leases of %v", limit, etcdLease)
	}
	f.known("bcd") // a has died
	f.goesOn("in the end", "bcd")
	if s := f.status().Pools[0].Source; s.Error != "" {
		t.Errorf("the source still fails: %s", s.Error)
	}
	close(stop)
	running.Wait()
	select {
	case err := <-f.failed:
		t.Error(err)
	default:
	}
	report(t, f.clients, float64(total(f.clients)-before)/time.Since(began).Seconds())
}

// withoutEtcd kills all members for a minute (a little more than a lease with the race detector), an element meanwhile, and starts a new
// one.
func (f *etcdFleet) withoutEtcd(killed *atomic.Bool) *element {
	f.t.Helper()
	outage := etcdLease + 2*time.Second
	if !raceDetector {
		outage = time.Minute
	}
	f.cluster.Kill()
	over := time.After(outage)
	waitFor(f.t, "the source to fail", func() bool { return f.status().Pools[0].Source.Error != "" })
	f.goesOn("without etcd", "abc")
	killed.Store(true)
	f.elements[0].sidecar.kill()
	f.elements[0].server.kill()
	f.goesOn("without etcd and a", "abc")
	if len(f.recorded("moved")) == 0 {
		f.t.Error("no session has moved: nobody was served by a")
	}
	late := f.another()
	late.sidecar.said(f.t, "not registered: it is tried again", 1)
	for _, e := range f.elements[1:3] {
		e.sidecar.said(f.t, "not registered: it is tried again", 1)
	}
	<-over
	f.goesOn("at the end of the outage", "abc")
	if s := f.status().Pools[0].Source; s.Error == "" || s.Age < outage-etcdLease {
		f.t.Errorf("the source is said to be %v old, and to fail with %q", s.Age, s.Error)
	}
	return late
}
