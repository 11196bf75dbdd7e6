//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/proxy"
)

// registerLease is the lease of registrations in these tests.
const registerLease = 10 * time.Second

// registered is a pool_user whose pool is in a real etcd, and pool_elements that register themselves there.
type registered struct {
	*fleet
	etcd  string
	lease time.Duration
	pool  string // more settings of the pool
	more  string // more settings of the register blocks
}

// newRegistered starts etcd and the pool_user; more are the settings of the pool.
func newRegistered(t *testing.T, poolSettings, registerSettings string) *registered {
	t.Helper()
	cluster := etcdtest.Start(t, 1)
	r := &registered{fleet: &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t)}, etcd: cluster.Members[0].Endpoint, lease: registerLease,
		pool: poolSettings, more: registerSettings}
	r.user = r.run("user", fmt.Sprintf(`log { level = "debug" }
admin { listen = %q }
%s
pool "orders" {
  source = "etcd.test"
%s
}
pool_user "orders" {
  listen = %q
  pool   = "orders"
  protocol "line" { safe = ["."] }
%s  failover {
    resume = "1s"
  }
}
`, r.admin, r.source(), r.pool, r.listen, quickHeartbeat))
	r.user.waitListening(t, r.listen)
	r.user.waitListening(t, r.admin)
	return r
}

func (r *registered) source() string {
	return fmt.Sprintf("source \"etcd\" \"test\" {\n  endpoints = [%q]\n  lease = \"%v\"\n  timeout = \"2s\"\n}\n", r.etcd, r.lease)
}

// add starts a server and a pool_element before it.
func (r *registered) add(name, more string) *element {
	r.t.Helper()
	e := &element{name: name, address: porttest.FreeString(r.t), listen: porttest.FreeString(r.t), admin: porttest.FreeString(r.t)}
	r.elements = append(r.elements, e)
	r.serve(e)
	r.guard(e, more)
	return e
}

// serve starts the server of an element.
func (r *registered) serve(e *element) {
	r.t.Helper()
	e.starts++
	e.server = startProcess(r.t, command{name: fmt.Sprintf("server-%s-%d", e.name, e.starts), role: "line", args: []string{"-listen", e.address}})
	e.server.waitListening(r.t, e.address)
}

// guard starts the pool_element of an element.
func (r *registered) guard(e *element, more string) {
	r.t.Helper()
	e.sidecar = r.run("element-"+e.name, fmt.Sprintf(`grace = "1s"
log { level = "debug" }
admin { listen = %q }
%s
pool_element %q {
  listen = %q
  server = %q
%s%s  register {
    pool   = "orders"
    source = "etcd.test"
%s
  }
}
`, e.admin, r.source(), e.name, e.listen, e.address, quickHeartbeat, more, r.more))
	e.sidecar.waitListening(r.t, e.listen)
	e.sidecar.waitListening(r.t, e.admin)
}

// are waits until the pool_user knows of these elements, and says how long that took since began.
func (r *registered) are(began time.Time, names ...string) time.Duration {
	r.t.Helper()
	var found []string
	waitFor(r.t, fmt.Sprintf("the elements to be %v", names), func() bool {
		found = nil
		for _, e := range r.status().Pools[0].Elements {
			found = append(found, e.Name)
		}
		slices.Sort(found)
		return slices.Equal(found, names)
	})
	took := time.Since(began).Round(time.Millisecond)
	r.t.Logf("the elements are %v after %v", names, took)
	return took
}

// registration is how an element says that it stands.
func (r *registered) registration(e *element) proxy.RegistrationStatus {
	r.t.Helper()
	client := http.Client{Timeout: patience}
	response, err := client.Get("http://" + e.admin + "/v1/status")
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	var s proxy.Status
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil || len(s.Registrations) != 1 {
		r.t.Fatalf("%v, %+v", err, s.Registrations)
	}
	return s.Registrations[0]
}

// asked has all visitors ask, and counts by element where they are.
func (r *registered) asked(all []*visitor) map[string]int {
	r.t.Helper()
	for _, v := range all {
		v.ask(r.t)
	}
	counts := make(map[string]int)
	for _, s := range r.status().Sessions {
		counts[s.Element]++
	}
	return counts
}

// Servers come and go, and pool_elements die and are stopped, while the sessions of a pool_user, whose configuration has none of them, go on.
func TestRegister(t *testing.T) {
	r := newRegistered(t, "", "")
	began := time.Now()
	a := r.add("a", "  health_check {\n    interval = \"1s\"\n    timeout = \"1s\"\n    send = \"ping\\n\"\n    expect = \"^did\"\n  }\n")
	b := r.add("b", "")
	r.are(began, "a", "b")
	all := r.visitors(6)
	if counts := r.asked(all); counts["a"] != 3 || counts["b"] != 3 {
		t.Fatalf("the sessions are at %v", counts)
	}

	began = time.Now()
	a.server.kill()
	r.are(began, "b")
	if s := r.registration(a); s.State != "waiting" || !strings.Contains(s.Error, "refused") || s.Source != "etcd.test" || s.Address != a.listen {
		t.Errorf("%+v", s)
	}
	if counts := r.asked(all); counts["b"] != 6 {
		t.Errorf("the sessions are at %v", counts)
	}
	began = time.Now()
	r.serve(a)
	r.are(began, "a", "b")
	if s := r.registration(a); s.State != "registered" || s.Error != "" {
		t.Errorf("%+v", s)
	}
	began = time.Now()
	b.server.kill() // without a health check: its port is watched
	r.are(began, "a")
	r.serve(b)
	r.are(began, "a", "b")
	all = append(all, r.visitors(4)...)

	began = time.Now()
	b.sidecar.kill()
	if took := r.are(began, "a"); took > registerLease+20*time.Second { // what a loaded machine makes of it
		t.Errorf("an element whose sidecar died was in its pool for %v, with a lease of %v", took, registerLease)
	}
	if counts := r.asked(all); counts["a"] != len(all) {
		t.Errorf("the sessions are at %v", counts)
	}
	began = time.Now()
	r.guard(b, "")
	r.are(began, "a", "b")

	began = time.Now()
	a.sidecar.signal(t, syscall.SIGTERM)
	if took := r.are(began, "b"); took > registerLease*4/5 { // by itself it would end with its lease
		t.Errorf("an element that was stopped was in its pool for %v", took)
	}
	if status := a.sidecar.wait(t, patience); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if counts := r.asked(all); counts["b"] != len(all) {
		t.Errorf("the sessions are at %v", counts)
	}
	began = time.Now()
	r.add("c", "")
	r.are(began, "b", "c")
	all = append(all, r.visitors(4)...)
	if counts := r.asked(all); counts["c"] != 2 || counts["b"] != len(all)-2 {
		t.Errorf("the sessions are at %v", counts)
	}

	began = time.Now()
	b.sidecar.kill() // and started again before its lease has ended
	r.guard(b, "")
	waitFor(t, "b to be registered again", func() bool { return r.registration(b).State == "registered" })
	if took := time.Since(began); took > registerLease*4/5 {
		t.Errorf("a sidecar that was started again was registered after %v, with a lease of %v", took, registerLease)
	}
	r.asked(all)
	r.are(began, "b", "c")
}

// New sessions go where the fewest are, by the load that the elements tell.
func TestRegisterLoad(t *testing.T) {
	r := newRegistered(t, `policy = "least_used"`, "policy = \"least_used\"\nload = \"sessions\"\nmax_sessions = 10\nload_every = \"100ms\"")
	r.add("a", "")
	r.add("b", "")
	r.are(time.Now(), "a", "b")
	var all []*visitor
	visit := func() {
		t.Helper()
		all = append(all, r.visitors(1)...)
		counts := r.asked(all)
		for _, e := range r.elements {
			waitFor(t, "the load of "+e.name, func() bool {
				s := r.registration(e)
				return s.Load != nil && int(*s.Load*10+0.5) == counts[e.name]
			})
		}
		r.told(counts)
	}
	for range 6 {
		visit()
	}
	if counts := r.asked(all); counts["a"] != 3 || counts["b"] != 3 {
		t.Errorf("the sessions are at %v", counts)
	}
}

// told waits until the pool_user knows the loads that go with so many sessions.
func (r *registered) told(counts map[string]int) {
	r.t.Helper()
	least := "a"
	if counts["b"] < counts["a"] {
		least = "b"
	}
	if counts["a"] == counts["b"] {
		waitFor(r.t, "both to be as good", func() bool { // equals take turns
			one, next := r.primary(), r.primary()
			return one != next
		})
		return
	}
	waitFor(r.t, "new sessions to be meant for "+least, func() bool { // twice, for of equals it would be every other one
		one, next := r.primary(), r.primary()
		return one == least && next == least
	})
}

// primary is where the pool_user would have somebody go now.
func (r *registered) primary() string {
	r.t.Helper()
	client := http.Client{Timeout: patience}
	response, err := client.Get("http://" + r.admin + "/v1/pools/orders/primary")
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	var to admin.Answer
	if err := json.NewDecoder(response.Body).Decode(&to); err != nil {
		r.t.Fatal(err)
	}
	return to.Element
}
