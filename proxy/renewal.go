package proxy

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/secure"
)

// renewEvery is how often the files of certificates are looked at.
const renewEvery = 5 * time.Second

// renewal looks for other certificates. Those who shake hands from then on see them; associations go on.
type renewal struct {
	log     hclog.Logger
	now     chan struct{} // has it look at once
	stop    chan struct{}
	running sync.WaitGroup
	metrics *metrics.Metrics        // nil: nobody wants them
	said    map[secure.Files]string // the last error of each; its goroutine only
	warned  map[string]time.Time    // when it was last said that a certificate expires; likewise

	mu    sync.Mutex
	all   []*secure.Credentials // guarded by mu
	begun bool                  // guarded by mu: its goroutine runs
}

// Watched is a certificate that somebody else in the process uses and reads again, as one towards etcd. It is looked at when it expires.
type Watched struct{ Credentials *secure.Credentials }

// renew looks after certificates from now on.
func renew(s secrets, others []Watched, log hclog.Logger, m *metrics.Metrics) *renewal {
	r := &renewal{log: log, metrics: m, now: make(chan struct{}, 1), stop: make(chan struct{}), said: make(map[secure.Files]string),
		warned: make(map[string]time.Time)}
	r.set(s, others)
	return r
}

// set says which ones there are now, and has them looked at.
func (r *renewal) set(s secrets, others []Watched) {
	all := slices.Collect(maps.Values(s))
	for _, o := range others {
		all = append(all, o.Credentials)
	}
	r.mu.Lock()
	r.all = all
	if !r.begun && len(all) > 0 {
		r.begun = true
		r.running.Add(1)
		go r.run()
	}
	r.mu.Unlock()
	r.soon()
}

// certificates are those that there are now.
func (r *renewal) certificates() []*secure.Credentials {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

// run looks now and then. It ends with close, which waits for it.
func (r *renewal) run() {
	defer r.running.Done()
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.now:
		case <-r.stop:
			return
		}
		r.look()
	}
}

// soon has it look without waiting for its time.
func (r *renewal) soon() {
	select {
	case r.now <- struct{}{}:
	default: // it is about to
	}
}

func (r *renewal) look() {
	for _, c := range r.certificates() {
		f := c.Files()
		changed, err := c.Refresh()
		switch {
		case err != nil && r.said[f] != err.Error():
			r.said[f] = err.Error()
			r.log.Warn("certificate not read again: the one before stays in use", "cert", f.Cert, "until", until(c), "reason", err)
		case err == nil:
			delete(r.said, f)
			if changed {
				r.log.Info("certificate read again: handshakes from now on have it", "cert", f.Cert, "until", until(c))
			}
		}
	}
	r.expiring(time.Now())
}

// until is when a certificate expires, for people.
func until(c *secure.Credentials) string {
	at, ok := c.Expires()
	if !ok {
		return "there is none"
	}
	return at.UTC().Format(time.RFC3339)
}

const (
	// expiresSoon is how long before it expires a certificate is worth a line a day, and expiresNow when that is an error: whoever renews it by a program
	// does so before.
	expiresSoon = 30 * 24 * time.Hour
	expiresNow  = 7 * 24 * time.Hour
	warnAgain   = 24 * time.Hour
)

// expiring says which certificates expire soon, once a day each, and tells the metrics of all. One that is in several Files counts once.
func (r *renewal) expiring(now time.Time) {
	left := make(map[string]time.Duration)
	for _, c := range r.certificates() {
		if at, ok := c.Expires(); ok {
			left[c.Files().Cert] = at.Sub(now)
		}
	}
	for cert, d := range left {
		if r.metrics != nil {
			r.metrics.SetGaugeWithLabels([]string{certificateExpiry.Name}, float32(d.Seconds()), certificateExpiry.tags([]string{cert}))
		}
		last, said := r.warned[cert]
		switch {
		case d > expiresSoon:
			delete(r.warned, cert)
			continue
		case said && now.Sub(last) < warnAgain:
			continue
		}
		r.warned[cert] = now
		at := now.Add(d).UTC().Format(time.RFC3339)
		switch {
		case d <= 0:
			r.log.Error("a certificate has expired: peers refuse it", "cert", cert, "since", at)
		case d <= expiresNow:
			r.log.Error("a certificate expires in a few days: renew it", "cert", cert, "at", at, "days", int(d/(24*time.Hour)))
		default:
			r.log.Warn("a certificate expires soon: renew it", "cert", cert, "at", at, "days", int(d/(24*time.Hour)))
		}
	}
}

func (r *renewal) close() {
	if r != nil {
		close(r.stop)
		r.running.Wait()
	}
}
