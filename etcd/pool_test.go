//go:build unix

package etcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/pool"
)

// Who has another one's name has to wait until that one is gone; who is at the same address has been started again.
func TestDuplicate(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	first, second := source(t, c.Endpoints()), source(t, c.Endpoints())
	h := follow(t, second, "orders")
	g, _ := register(t, first, registrationOf("orders", "a", 1))
	_, other := begin(t, second, registrationOf("orders", "a", 2))
	etcdtest.WaitFor(t, "it is a duplicate", other.is(pool.ErrDuplicate))
	if _, err := other.now(); !strings.Contains(err.Error(), "10.0.0.1:7001") || !strings.Contains(err.Error(), "elements/a/tcp") {
		t.Error(err)
	}
	etcdtest.WaitFor(t, "the first is the one", func() bool { _, known := h.last(); return len(known) == 1 && known[0].Weight == 1 })
	if err := g.Deregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	etcdtest.WaitFor(t, "its turn has come", other.is(nil))
	within(t, "the turn of a duplicate", begun, mostAgain+time.Second)
	if n, _ := other.now(); n != 2 {
		t.Errorf("%d tellings: %v", n, other.told)
	}

	again := registrationOf("orders", "a", 2)
	again.Element.Weight = 77
	begun = time.Now()
	register(t, first, again) // the same address: at once
	within(t, "to be taken over", begun, time.Second)
	etcdtest.WaitFor(t, "the one before stands back", other.is(pool.ErrDuplicate))
	outlive(t, c.Endpoints()...) // they do not take it from each other in turns
	if _, known := h.last(); len(known) != 1 || known[0].Weight != 77 {
		t.Errorf("%+v", known)
	}
}

// The first element of a pool has its policy; who has another one is refused as long as there is one of these, whoever of them is left.
func TestInconsistent(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	first, second := source(t, c.Endpoints()), source(t, c.Endpoints())
	g, _ := register(t, first, registrationOf("orders", "a", 1))
	register(t, second, registrationOf("orders", "b", 2))
	odd := registrationOf("orders", "c", 3)
	odd.Policy = pool.LeastUsed
	_, st := begin(t, second, odd)
	etcdtest.WaitFor(t, "it is inconsistent", st.is(pool.ErrInconsistent))
	if _, err := st.now(); !strings.Contains(err.Error(), "least_used") || !strings.Contains(err.Error(), "weighted_round_robin") {
		t.Error(err)
	}
	if err := g.Deregister(t.Context()); err != nil { // whose lease the policy had
		t.Fatal(err)
	}
	third := source(t, c.Endpoints())
	odd.Element.Name = "d" // the policy is known only from b now
	_, st = begin(t, third, odd)
	etcdtest.WaitFor(t, "it is inconsistent, too", st.is(pool.ErrInconsistent))
	second.Close()
	etcdtest.WaitFor(t, "nobody is left", st.is(nil))
}

// A lease that etcd loses, a key that somebody deletes, and a policy: all comes back.
func TestLost(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s, client := source(t, c.Endpoints()), raw(t, c)
	h := follow(t, s, "orders")
	_, st := register(t, s, registrationOf("orders", "a", 1))
	revision := func() int64 {
		if _, known := h.last(); len(known) == 1 {
			return known[0].Revision
		}
		return 0
	}
	etcdtest.WaitFor(t, "it is told", func() bool { return revision() != 0 })
	const key, policy = "/test/pools/orders/elements/a/tcp", "/test/pools/orders/policy"
	for _, lose := range []func() error{
		func() error {
			r, err := client.Get(t.Context(), key)
			if err == nil {
				_, err = client.Revoke(t.Context(), clientv3.LeaseID(r.Kvs[0].Lease))
			}
			return err
		},
		func() error { _, err := client.Delete(t.Context(), key); return err },
		func() error { _, err := client.Delete(t.Context(), policy); return err },
		func() error { _, err := client.Put(t.Context(), key, "rubbish"); return err },
	} {
		was, begun := revision(), time.Now()
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		etcdtest.WaitFor(t, "it is registered again", func() bool { return revision() > was })
		within(t, "to come back", begun, testLease)
		if r, err := client.Get(t.Context(), policy); err != nil || len(r.Kvs) != 1 || r.Kvs[0].Lease == 0 {
			t.Error(err, r)
		}
	}
	if n, err := st.now(); n != 1 || err != nil {
		t.Errorf("%d tellings, %v", n, st.told)
	}
	if all := h.all(); !slices.ContainsFunc(all, func(n pool.News) bool { return len(n.Left) == 1 }) {
		t.Error("the rubbish was not told")
	}
}

// A follower whose watch cannot go on, since what it has missed was compacted away, looks again; one that is told of nothing is told
// that all is as it was.
func TestCompacted(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 3)
	s, client := source(t, c.Endpoints()[:1]), etcdtest.Client(t, c.Endpoints()[1:]...)
	defer client.Close()
	h := follow(t, s, "orders")
	register(t, source(t, c.Endpoints()), registrationOf("orders", "a", 1))
	etcdtest.WaitFor(t, "it is told", func() bool { return h.names() == "a" })
	told := len(h.all())
	c.Members[0].Kill()
	put := func(key, text string) (revision int64) {
		etcdtest.WaitFor(t, key+" is written", func() bool { // the one that was killed may have been the leader
			r, err := client.Put(t.Context(), "/test/pools/orders/"+key, text)
			if err == nil {
				revision = r.Header.Revision
			}
			return err == nil
		})
		return revision
	}
	b := put("elements/b/tcp", `{"version":1,"address":"10.0.0.2:1","policy":"weighted_round_robin"}`)
	now := put("x", "x")
	if _, err := client.Compact(t.Context(), now, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	c.Restart()
	etcdtest.WaitFor(t, "b", func() bool { return h.names() == "a b" })
	if slices.ContainsFunc(h.all()[told:], func(n pool.News) bool { return n.Err == nil && len(n.Elements) == 0 }) {
		t.Error("it was told that there is nothing")
	}

	f := newFollower(t.Context(), s, "orders", func(n pool.News) { t.Errorf("a watch from a revision that is gone says %+v", n) })
	f.entries, f.revision = map[string]entry{}, b-1 // it has slept for hours
	s.hold()
	defer s.release()
	begun := time.Now()
	if f.watch() {
		t.Error("a watch from a revision that is gone went on")
	}
	within(t, "to see that a revision is gone", begun, 2*testTimeout)

	told = len(h.all())
	begun = time.Now()
	etcdtest.WaitFor(t, "it is told that all is as it was", func() bool { return len(h.all()) > told })
	within(t, "to be told that all is as it was", begun, CheckEvery+testTimeout)
	if h.names() != "a b" {
		t.Error(h.names())
	}
}

// Rubbish is left out, told once, and costs nobody else anything. Too much of it is an error, and takes nothing away.
func TestRubbish(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s, client := source(t, c.Endpoints()), raw(t, c)
	put := func(key, text string) {
		t.Helper()
		if _, err := client.Put(t.Context(), "/test/pools/orders/"+key, text); err != nil {
			t.Fatal(err)
		}
	}
	const good = `{"version":1,"address":"10.0.0.2:1","policy":"random","weight":3,"something":{"new":[1]}}`
	put("elements/good/none", good)
	put("elements/good/-", good) // the mapping of its pool
	rubbish := map[string]string{
		"elements/a/tcp": "", "elements/b/tcp": "{", "elements/c/tcp": strings.Replace(good, `n":1`, `n":2`, 1), "elements/d/tcp": good + strings.Repeat(" ", mostValue),
		"elements/e/quic": good, "elements/f": good, "elements//tcp": good, "elements/%zz/tcp": good, "elements/%61/tcp": good, "elements/x/tcp/y": good,
		"elements/" + strings.Repeat("x", 300) + "/tcp": good, "elements/%00/tcp": good, "elements/%FF/tcp": good,
		"elements/g/tcp": strings.Replace(good, "10.0.0.2:1", "0.0.0.0:1", 1), "elements/h/tcp": strings.Replace(good, ":1\"", ":0\"", 1),
		"elements/i/tcp": strings.Replace(good, "random", "chance", 1), "elements/j/tcp": strings.Replace(good, `"weight":3`, `"weight":-3`, 1),
		"elements/k/tcp": strings.Repeat("k", 1<<20), "elements/l/tcp": strings.Repeat("l", 1<<20), "elements/m/tcp": strings.Repeat("m", 1<<20), // no room in an answer
		"elements/n/tcp": strings.Repeat("n", 1<<20), "elements/o/tcp": strings.Repeat("o", 1<<20),
	}
	keys := 0
	for key, text := range rubbish {
		put(key, text)
		keys++
	}
	h := follow(t, s, "orders")
	etcdtest.WaitFor(t, "what is good", func() bool { return h.names() == "good good" })
	if n, _ := h.last(); n.Policy == nil || *n.Policy != pool.Random {
		t.Errorf("the policy of those who have registered is %v", n.Policy)
	}
	put("elements/z/tcp", "late")
	put("elements/y/tcp", good)
	put("reports/%zz", "x")
	put("reports/"+strings.Repeat("x", 300), "x")
	put("policy/x", "x")
	etcdtest.WaitFor(t, "what is good", func() bool { return h.names() == "good good y" })
	if err := s.Refresh(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	said := map[string]int{}
	for _, n := range h.all() {
		for _, err := range n.Left {
			said[err.Error()]++
			if len(err.Error()) > 600 {
				t.Errorf("%d bytes are said", len(err.Error()))
			}
		}
	}
	if len(said) != keys+1 {
		t.Errorf("%d of %d were said: %v", len(said), keys+1, said)
	}
	for what, n := range said {
		if n != 1 {
			t.Errorf("%d times: %s", n, what)
		}
	}
	put("elements/z/tcp", good)
	etcdtest.WaitFor(t, "it was set right", func() bool { return h.names() == "good good z y" || h.names() == "good good y z" })

	var ops []clientv3.Op
	for i := range MaxElements {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("/test/pools/orders/elements/e%d/tcp", i), good))
	}
	for batch := range slices.Chunk(ops, 100) {
		if _, err := client.Txn(t.Context()).Then(batch...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	etcdtest.WaitFor(t, "that is too much", func() bool {
		n, _ := h.last()
		return n.Err != nil && strings.Contains(n.Err.Error(), "more than 4096")
	})
	if _, known := h.last(); len(known) < 4 || len(known) > MaxElements {
		t.Errorf("%d elements are known", len(known))
	}
	if _, err := client.Delete(t.Context(), "/test/pools/orders/elements/e", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	etcdtest.WaitFor(t, "all is well again", func() bool { n, known := h.last(); return n.Err == nil && len(known) == 4 })
}

// What one finds failed others are told, once, and not itself. The report does not stay.
func TestReport(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	here, there, idle := source(t, c.Endpoints()), source(t, c.Endpoints()), source(t, c.Endpoints())
	r := registrationOf("orders", "a b", 1)
	register(t, there, r)
	own, others := follow(t, here, "orders"), follow(t, there, "orders")
	etcdtest.WaitFor(t, "both know it", func() bool { return own.names() == "a b" && others.names() == "a b" })
	reports := func(h *heard) (n int) {
		for _, news := range h.all() {
			if len(news.Reported) > 0 {
				if n++; !slices.Equal(news.Reported, []string{"a b"}) || len(news.Elements) != 1 {
					t.Errorf("%+v", news)
				}
			}
		}
		return n
	}
	begun := time.Now()
	for range 20 {
		here.Report("orders", r.Element)
	}
	here.Report("or", pool.Element{Name: ""})
	etcdtest.WaitFor(t, "the other one is told", func() bool { return reports(others) > 0 })
	within(t, "a report", begun, time.Second)
	client := raw(t, c)
	etcdtest.WaitFor(t, "the report is gone", func() bool {
		got, err := client.Get(t.Context(), "/test/pools/orders/reports/", clientv3.WithPrefix())
		return err == nil && len(got.Kvs) == 0
	})
	if n := reports(others); n != 1 {
		t.Errorf("%d reports", n)
	}
	idle.Report("orders", r.Element) // who follows nothing may report, too
	etcdtest.WaitFor(t, "all others are told", func() bool { return reports(others) == 2 && reports(own) == 1 })
}

// A thousand elements that come and go are told in few News, soon, and completely.
func TestThousand(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s := source(t, c.Endpoints())
	h := follow(t, s, "orders")
	etcdtest.WaitFor(t, "the pool is known", func() bool { return len(h.all()) > 0 })
	client := raw(t, c)
	const n = 1000
	var ops []clientv3.Op
	for i := range n {
		r := registrationOf("orders", fmt.Sprintf("e%04d", i), i+1)
		text, err := valueOf(r, r.Element, "x").text()
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, clientv3.OpPut("/test/pools/orders/elements/"+elementKey(r.Element.Name, "tcp"), text))
	}
	begun := time.Now()
	for batch := range slices.Chunk(ops, 50) {
		if _, err := client.Txn(t.Context()).Then(batch...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	etcdtest.WaitFor(t, "all are known", func() bool { _, known := h.last(); return len(known) == n })
	within(t, "a thousand", begun, 5*time.Second)
	if told := len(h.all()); told > 2+int(time.Since(begun)/gather) {
		t.Errorf("%d News", told)
	}
	other := follow(t, s, "orders") // two pages
	etcdtest.WaitFor(t, "all are listed", func() bool { _, known := other.last(); return len(known) == n })
	if other.names() != h.names() {
		t.Error("two followers have another order")
	}
}

// Names, passwords and addresses that are wrong are told as such.
func TestWrong(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	client := raw(t, c)
	for _, do := range []func() error{
		func() error { _, err := client.UserAdd(t.Context(), "root", "r"); return err },
		func() error { _, err := client.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := client.RoleAdd(t.Context(), "pools"); return err },
		func() error {
			_, err := client.RoleGrantPermission(t.Context(), "pools", "/test/", clientv3.GetPrefixRangeEnd("/test/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := client.UserAdd(t.Context(), "proxy", "secret"); return err },
		func() error { _, err := client.UserGrantRole(t.Context(), "proxy", "pools"); return err },
		func() error { _, err := client.AuthEnable(t.Context()); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	base := Config{Endpoints: c.Endpoints(), Prefix: "/test", Lease: testLease, Timeout: testTimeout}
	with := func(change func(*Config)) *Source {
		cfg := base
		change(&cfg)
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	for name, w := range map[string]struct {
		s   *Source
		has []string
	}{
		"password":    {with(func(c *Config) { c.Username, c.Password = "proxy", "wrong" }), []string{"authentication failed", `user "proxy"`, "password_file"}},
		"no user":     {with(func(*Config) {}), []string{"user name is empty", "password_file"}},
		"another one": {with(func(c *Config) { c.Username, c.Password, c.Prefix = "proxy", "secret", "/other" }), []string{"permission denied", `"proxy"`}},
		"not etcd": {with(func(c *Config) {
			c.Endpoints = []string{c.Endpoints[0][:strings.LastIndex(c.Endpoints[0], ":")] + ":1"}
		}), []string{"refused", "source is down"}},
		"not etcd, but the web": {with(func(c *Config) { c.Endpoints = []string{strings.TrimPrefix(web.URL, "http://")} }),
			[]string{"source is down", "is it etcd's port for clients"}},
	} {
		begun := time.Now()
		err := w.s.Refresh(t.Context(), "orders")
		if err == nil || slices.ContainsFunc(w.has, func(has string) bool { return !strings.Contains(err.Error(), has) }) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, pool.ErrSourceDown) != strings.HasPrefix(name, "not etcd") {
			t.Errorf("%s: is it down? %v", name, err)
		}
		within(t, name, begun, 2*testTimeout+time.Second)
	}
	s := with(func(c *Config) { c.Username, c.Password = "proxy", "secret" })
	h := follow(t, s, "orders")
	register(t, s, registrationOf("orders", "a", 1))
	etcdtest.WaitFor(t, "with the right ones it works", func() bool { return h.names() == "a" })
	<-time.After(testLease) // leases are kept, too
	if h.names() != "a" {
		t.Error("it is gone")
	}
}

// A configuration or an element that can never work is an error at once.
func TestNever(t *testing.T) {
	at := []string{"127.0.0.1:2379"}
	for name, c := range map[string]Config{
		"none": {}, "many": {Endpoints: slices.Repeat(at, 17)}, "url": {Endpoints: []string{"http://x:1"}}, "tls": {Endpoints: []string{"https://x:1"}},
		"port": {Endpoints: []string{"x"}}, "port 0": {Endpoints: []string{"x:0"}}, "word": {Endpoints: []string{"x:http"}}, "host": {Endpoints: []string{":1"}},
		"prefix": {Endpoints: at, Prefix: "x"}, "lease": {Endpoints: at, Lease: time.Second}, "half": {Endpoints: at, Lease: 3500 * time.Millisecond},
		"user": {Endpoints: at, Username: "x"}, "password": {Endpoints: at, Password: "x"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "etcd: ") {
			t.Error(err)
		}
	}
	s, err := New(Config{Endpoints: at})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, change := range map[string]func(*pool.Registration){
		"handle": func(r *pool.Registration) { r.Handle = "" }, "name": func(r *pool.Registration) { r.Element.Name = "a\nb" },
		"mapping": func(r *pool.Registration) { r.Element.Mapping = "x" }, "address": func(r *pool.Registration) { r.Element.Address = netip.AddrPort{} },
		"port": func(r *pool.Registration) { r.Element.Address = netip.AddrPortFrom(r.Element.Address.Addr(), 0) },
		"any":  func(r *pool.Registration) { r.Element.Address = netip.MustParseAddrPort("[::]:1") },
		"paths": func(r *pool.Registration) {
			r.Element.Paths = slices.Repeat([]netip.Addr{r.Element.Address.Addr()}, mostPaths+1)
		},
		"policy": func(r *pool.Registration) { r.Policy = 99 },
	} {
		r := registrationOf("orders", "a", 1)
		change(&r)
		if _, err := s.Register(r, func(error) { t.Error("told") }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	told := 0
	s.Follow("", func(n pool.News) {
		if told++; n.Err == nil {
			t.Error("a pool without a handle")
		}
	})()
	if err := s.Refresh(t.Context(), ""); err == nil || told != 1 {
		t.Error(err, told)
	}
}

// No goroutine outlives those that needed it, and none that was closed.
func TestNothingLeft(t *testing.T) { // not parallel: others would be counted
	c := etcdtest.Start(t, 1)
	noGoroutinesLeft(t)
	s, err := New(Config{Endpoints: c.Endpoints(), Lease: testLease, Timeout: testTimeout})
	if err != nil {
		t.Fatal(err)
	}
	h := &heard{}
	stop := s.Follow("orders", h.tell)
	st := &standing{}
	r := registrationOf("orders", "a", 1)
	g, err := s.Register(r, st.tell)
	if err != nil {
		t.Fatal(err)
	}
	etcdtest.WaitFor(t, "it works", func() bool { return h.names() == "a" && st.is(nil)() })
	s.Report("orders", r.Element)
	if err := s.Refresh(t.Context(), "orders"); err != nil {
		t.Error(err)
	}
	stop()
	stop()
	n := len(h.all())
	if err := g.Deregister(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Refresh(t.Context(), "orders"); err != nil {
		t.Error(err)
	}
	etcdtest.WaitFor(t, "the client is closed", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.conn == nil && s.users == 0 })
	if len(h.all()) != n {
		t.Error("told behind stop")
	}
	stop = s.Follow("orders", h.tell)
	if _, err := s.Register(r, st.tell); err != nil {
		t.Fatal(err)
	}
	etcdtest.WaitFor(t, "it works again", func() bool { return len(h.all()) > n })
	s.Close()
	stop()
	if err := s.Refresh(t.Context(), "orders"); !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

// What is written is what etcdctl shows.
func TestValueText(t *testing.T) {
	r := registrationOf("orders", "a", 7)
	text, err := valueOf(r, r.Element, "I").text()
	if want := `{"version":1,"instance":"I","address":"10.0.0.7:7001","policy":"weighted_round_robin","weight":7}`; err != nil || text != want {
		t.Errorf("%v\n%s\n%s", err, text, want)
	}
	r.Element.Priority, r.Element.Load, r.Element.Degradation, r.Element.Weight = 1<<32-1, 1<<32-1, 1<<32-1, 1<<32-1
	r.Element.Address = netip.MustParseAddrPort("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535")
	r.Element.Paths = slices.Repeat([]netip.Addr{r.Element.Address.Addr()}, mostPaths)
	if text, err := valueOf(r, r.Element, strings.Repeat("I", 26)).text(); err != nil || len(text) > mostValue/2 {
		t.Error("the longest has no room:", err, len(text))
	}
}

// Whatever lies in etcd is an element that can be written again, or an error.
func FuzzEntry(f *testing.F) {
	f.Add("a/tcp", []byte(`{"version":1,"instance":"I","address":"[::ffff:10.0.0.7]:7001","paths":["10.1.0.1"],"policy":"random","load":4294967295}`))
	f.Add("a%20b/-", []byte(`{"version":1,"address":"10.0.0.7:7001","policy":"application"}`))
	f.Add("/", []byte(`{"version":1e0,"paths":[null],"address":"1.2.3.4:5"}`))
	f.Add("%", []byte(`[]`))
	f.Fuzz(func(t *testing.T, key string, text []byte) {
		_ = ofReport(text)
		e := entryOf(key, &mvccpb.KeyValue{Key: []byte(key), Value: text, ModRevision: 3})
		if e.bad != nil {
			if len(e.bad.Error()) > 2000 {
				t.Errorf("%d bytes of error", len(e.bad.Error()))
			}
			return
		}
		if got := elementKey(e.Name, e.Mapping); got != key {
			t.Fatalf("%q has the key %q", key, got)
		}
		policy, err := policyOf(e.value.Policy)
		if err != nil {
			t.Fatal(err)
		}
		again, err := valueOf(pool.Registration{Policy: policy}, e.Element, e.value.Instance).text()
		if err != nil {
			t.Fatalf("it cannot be written again: %v", err)
		}
		v, err := parseValue([]byte(again))
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		a, _ := json.Marshal(v)
		b, _ := json.Marshal(e.value)
		if string(a) != string(b) || e.Revision != 3 {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}
