package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// fakeProcess answers as the admin API of a process does. What it is asked to disturb is over when its time is, by the clock of the test.
type fakeProcess struct {
	peer *Peer

	mu      sync.Mutex
	status  proxy.Status
	chaos   proxy.ChaosStatus
	posts   []admin.Attack // that were done
	dry     int
	deletes int
	dead    bool
	hung    atomic.Bool // it answers nothing until the asker gives up, after ten seconds as package main does
	ended   int
	refuses func(admin.Attack) int // an HTTP status instead of doing it; 0: it does it
	struck  func(admin.Attack)     // is told
}

func newFakeProcess(address string) *fakeProcess {
	p := &fakeProcess{}
	p.peer = &Peer{Address: address, Call: p.call}
	return p
}

// user adds a pool_user with a pool of these elements, each with an association.
func (p *fakeProcess) user(pool string, elements ...string) *fakeProcess {
	s := proxy.PoolStatus{Handle: pool, Mapping: "tcp"}
	for i, name := range elements {
		address := fmt.Sprintf("10.0.0.%d:7001", i+1)
		s.Elements = append(s.Elements, proxy.PoolElement{Name: name, Address: address, Alive: true})
		p.status.Associations = append(p.status.Associations, proxy.AssociationStatus{Side: sideUser, Name: pool, Remote: address, Up: true})
	}
	p.status.Pools = append(p.status.Pools, s)
	p.status.Users = append(p.status.Users, proxy.UserStatus{Name: pool, Pool: pool})
	p.chaos.Allowed = append(p.chaos.Allowed, proxy.ChaosBlock{Side: sideUser, Name: pool, Pool: pool})
	return p
}

// element adds a pool_element.
func (p *fakeProcess) element(name, listen string) *fakeProcess {
	p.status.Elements = append(p.status.Elements, proxy.ElementStatus{Name: name, Listen: listen, Legs: 1})
	p.status.Associations = append(p.status.Associations, proxy.AssociationStatus{Side: sideElement, Name: name, Up: true})
	p.chaos.Allowed = append(p.chaos.Allowed, proxy.ChaosBlock{Side: sideElement, Name: name})
	return p
}

func (p *fakeProcess) call(ctx context.Context, method, path string, body any) (int, []byte, error) {
	if p.hung.Load() {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		<-limited.Done()
		return 0, nil, fmt.Errorf("%s does not answer: %w", p.peer.Address, limited.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	if p.dead {
		return 0, nil, fmt.Errorf("nothing listens on %s", p.peer.Address)
	}
	p.chaos.Active = slices.DeleteFunc(p.chaos.Active, func(d proxy.Disturbance) bool { return !time.Now().Before(d.Until) })
	switch method + " " + path {
	case "GET /v1/chaos":
		return told(p.chaos)
	case "GET /v1/status":
		return told(p.status)
	case "GET /metrics":
		return 200, fmt.Appendf(nil, "# HELP x\npoolproxy_failovers_total{kind=\"moved\",pool=\"p\"} 70\npoolproxy_failovers_total{kind=\"ended\",pool=\"p\"} %d\n", p.ended), nil
	case "DELETE /v1/chaos":
		p.deletes++
		p.chaos.Stopped++
		p.chaos.Active = nil
		return told(p.chaos)
	case "POST /v1/chaos":
		return p.post(body.(admin.Attack))
	}
	return http.StatusNotFound, []byte("404 page not found\n"), nil
}

func (p *fakeProcess) post(a admin.Attack) (int, []byte, error) {
	if p.refuses != nil {
		if status := p.refuses(a); status != 0 {
			return status, []byte(`{"error":{"code":"x","message":"no, for a reason"}}`), nil
		}
	}
	d := proxy.Disturbance{Kind: a.Kind, Side: a.Side, Name: a.Name, Element: a.Element, Hit: []string{"something at " + a.Name}}
	if a.DryRun {
		p.dry++
		return told(d)
	}
	p.posts = append(p.posts, a)
	d.ID = fmt.Sprint("c", len(p.posts))
	if lasts(a.Kind) {
		d.Until = time.Now().Add(time.Duration(a.For))
		p.chaos.Active = append(p.chaos.Active, d)
	}
	if p.struck != nil {
		p.struck(a)
	}
	return told(d)
}

func told(v any) (int, []byte, error) {
	text, err := json.Marshal(v)
	return 200, text, err
}

// fails adds the record of a failover.
func (p *fakeProcess) fails(r session.Record) {
	r.Time = time.Now()
	p.status.Failovers = append(p.status.Failovers, proxy.Record{User: p.status.Users[0].Name, Record: r})
	if r.Kind == session.KindEnded {
		p.ended++
	}
}

// events are what was said.
type events []Event

func (e *events) say(x Event) { *e = append(*e, x) }

// text is all of it.
func (e *events) text() string {
	var b strings.Builder
	for _, x := range *e {
		Text(&b)(x)
	}
	return b.String()
}

// deployment is a pool user of three elements, and those elements, in four processes.
func deployment() (user *fakeProcess, all []*fakeProcess) {
	user = newFakeProcess("user").user("p", "a", "b", "c")
	all = []*fakeProcess{user}
	for i, name := range []string{"a", "b", "c"} {
		all = append(all, newFakeProcess("host-"+name).element(name, fmt.Sprintf("10.0.0.%d:7001", i+1)))
	}
	return user, all
}

// attackOn is an attack with usual settings.
func attackOn(all []*fakeProcess, e *events) *Attack {
	a := &Attack{Settings: Settings{Kinds: Kinds, Every: 2 * time.Second, For: time.Minute, HoldMin: time.Second, HoldMax: 3 * time.Second,
		Delay: 100 * time.Millisecond, Count: 1, Radius: 1, Seed: 7}, Say: e.say}
	for _, p := range all {
		a.Peers = append(a.Peers, p.peer)
	}
	return a
}
