package main

import (
	"reflect"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/admin/board"
	"github.com/poolproxy/poolproxy/dns"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/secure"
)

// around is what runs around the proxy as the configuration says, and what of that is changed when it is read again: the admin API, the answers
// over DNS, where metrics are sent, how much is logged. It belongs to one goroutine at a time: that of serve, or the reloader's.
type around struct {
	proxy   running
	log     hclog.Logger
	meters  *meters
	options func() admin.Options // of an admin API; each has its own
	watched *observers
	serves  bool // it has sessions to serve from the start: that it cannot have something is no reason not to

	begun   bool                // config is what is running
	config  proxy.Config        // what is running
	api     *admin.Server       // nil: there is none
	tls     *secure.Credentials // of api; nil: it is without
	dns     *dns.Answerer
	closing sync.WaitGroup // of what was before: the last answer of an admin API may be that it is old
}

// turn is a change of what runs around the proxy that has been prepared: it is committed or undone.
type turn struct {
	of      *around
	next    proxy.Config
	api     *admin.Server // new; nil: as before, or none
	tls     *secure.Credentials
	dns     *dns.Answerer // as api
	daemon  *statsd       // likewise
	another bool          // where metrics are sent changes

	watching *watching
	left     []func() // ends observers if it is committed
	begun    []func() // ends observers if it is not
}

// begin begins with the first configuration.
func (a *around) begin(c proxy.Config) error {
	t, err := a.prepare(&c)
	if err == nil {
		t.commit()
	}
	return err
}

// prepare takes the addresses that another configuration asks for, and changes nothing but that it has the proxy look after certificates. On an
// error nothing is left of it.
func (a *around) prepare(next *proxy.Config) (t *turn, err error) {
	t = &turn{of: a}
	if t.tls, err = adminSecrets(next, a.tls); err != nil {
		return nil, err
	}
	t.next = *next
	if t.watching, t.left, t.begun, err = a.watched.prepare(a.config, *next, a.log, a.meters.Metrics); err != nil {
		return nil, err
	}
	if err = t.prepareAPI(); err != nil {
		t.undo()
		return nil, err
	}
	if at := next.DNS.Listen; at.IsValid() && at != a.config.DNS.Listen {
		if t.dns, err = a.answerDNS(next.DNS); err != nil && a.excuses() {
			a.log.Error("DNS is not answered", "reason", err)
			t.dns = nil
		} else if err != nil {
			t.undo()
			return nil, err
		}
	}
	if t.another = next.Metrics != a.config.Metrics; t.another && next.Metrics.Statsd.IsValid() {
		if t.daemon, err = newStatsd(next.Metrics.Statsd, a.log); err != nil {
			t.undo()
			return nil, err
		}
	}
	return t, nil
}

// prepareAPI prepares the admin API if something is different there.
func (t *turn) prepareAPI() (err error) {
	a, now, next := t.of, t.of.config.Admin, t.next.Admin
	if !next.On() || a.api != nil && reflect.DeepEqual(now, next) && a.tls == t.tls {
		return nil
	}
	g := gate{tls: t.tls, refused: func(reason string) { proxy.AdminRefused(a.meters.Metrics, reason) }}
	var instead *admin.Server
	if now.Listen == next.Listen && now.Unix == next.Unix {
		instead = a.api
	}
	o := a.options()
	o.Board = board.New(func() board.View { return dashboard(o.Status().(proxy.Status), next) })
	if t.api, err = g.prepare(next, o, instead); err != nil && a.excuses() {
		a.log.Error("there is no admin API", "reason", err)
		t.api, err = nil, nil
	}
	return err
}

// answerDNS begins to answer questions for the pools.
func (a *around) answerDNS(c proxy.DNS) (*dns.Answerer, error) {
	return dns.Listen(dns.AnswererConfig{Listen: c.Listen, TTL: c.TTL, Pools: a.proxy.Pools,
		Log: func(err error) { a.log.Error("DNS is not answered any more", "error", err) }})
}

// excuses reports whether it goes on without what it cannot have: at the start of a process that has taken another one's place.
func (a *around) excuses() bool { return a.serves && !a.begun }

// undo gives back what was taken.
func (t *turn) undo() {
	if t.api != nil {
		t.api.Close()
	}
	if t.dns != nil {
		_ = t.dns.Close() // nobody has asked it yet
	}
	if t.daemon != nil {
		t.daemon.Shutdown()
	}
	for _, end := range t.begun {
		end()
	}
}

// commit goes over to the next configuration.
func (t *turn) commit() {
	a, was := t.of, t.of.config
	a.config, a.begun = t.next, true
	a.log.SetLevel(hclog.LevelFromString(t.next.Log.Level))
	a.watched.now.Store(t.watching)
	for _, end := range t.left {
		a.later(end)
	}
	t.commitAPI()
	if t.dns != nil || !t.next.DNS.Listen.IsValid() {
		a.endDNS()
		a.dns = t.dns
	}
	switch {
	case t.dns != nil:
		a.log.Info("answering DNS for the pools", "address", t.dns.Addr(), "names", "<pool>.pool.")
	case a.dns != nil && was.DNS.TTL != t.next.DNS.TTL:
		a.dns.SetTTL(t.next.DNS.TTL)
	}
	if t.another {
		a.meters.send(t.daemon)
	}
}

// commitAPI goes over to another admin API, if it is one.
func (t *turn) commitAPI() {
	a := t.of
	a.tls = t.tls
	if t.api != nil {
		t.api.Serve()
		a.log.Info("the admin API is ready", "address", t.api.Where())
	}
	if t.api != nil || !t.next.Admin.On() {
		a.endAPI()
		a.api = t.api
	}
}

// endAPI has the admin API end, which may have to answer yet.
func (a *around) endAPI() {
	if a.api != nil {
		a.later(a.api.Close)
		a.api = nil
	}
}

// later ends something that takes its time, in a goroutine that ends with that. close waits for it.
func (a *around) later(end func()) { a.closing.Go(end) }

func (a *around) endDNS() {
	if a.dns == nil {
		return
	}
	if err := a.dns.Close(); err != nil {
		a.log.Error("DNS was not answered to the end", "error", err)
	}
	a.dns = nil
}

// close ends all of it.
func (a *around) close() {
	a.endDNS()
	a.endAPI()
	a.closing.Wait()
	a.meters.send(nil)
	a.watched.close()
}
