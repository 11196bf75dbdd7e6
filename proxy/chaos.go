package proxy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
)

// Chaos: what this process does to its own associations, legs and pool_elements when it is asked to, so that its user sees what his sessions survive.
// Only pools and pool_elements that are configured with chaos = true are disturbed; each disturbance ends by itself.

// The kinds of disturbances.
const (
	ChaosCut     = "cut"      // as a pulled cable: nothing is read or written, and what is left in the end is reset
	ChaosStall   = "stall"    // the same, but it goes on behind it
	ChaosReset   = "reset"    // aborted
	ChaosDelay   = "delay"    // what comes is read late
	ChaosKillLeg = "kill_leg" // at a pool_user a leg fails; at a pool_element its server's connection is reset
	ChaosFreeze  = "freeze"   // a pool_element does nothing, as a process that is stopped
)

// chaosKinds are all of them.
var chaosKinds = []string{ChaosCut, ChaosStall, ChaosReset, ChaosDelay, ChaosKillLeg, ChaosFreeze}

// The two sides that can be disturbed.
const (
	sideUser    = "pool_user"
	sideElement = "pool_element"
)

// Bounds of disturbances.
const (
	MostChaos    = 64              // at a time
	MostChaosFor = 5 * time.Minute // each
	mostHit      = 100             // lines that say what was hit
)

// What Disturb refuses. The errors wrap one of these.
var (
	ErrChaosRequest = errors.New("cannot be disturbed so")
	ErrChaosDenied  = errors.New("may not be disturbed")
	ErrChaosUnknown = errors.New("unknown")
	ErrChaosNothing = errors.New("nothing was disturbed")
)

// Attack is a disturbance that is asked for.
type Attack struct {
	Kind    string
	Side    string        // pool_user | pool_element
	Name    string        // of that block
	Element string        // pool_user: whose associations, connections or legs; "": any
	Session string        // kill_leg: whose leg, by the session's number; "": any
	Count   int           // how many associations, connections or legs at most; 0: one. A freeze is for all
	For     time.Duration // how long, at most MostChaosFor; reset and kill_leg are over at once
	Delay   time.Duration // delay: how late what comes is read, at most For
	DryRun  bool          // only say what would be hit
	Seed    uint64        // which ones are hit follows from it; 0: from chance
}

// lasts reports whether there is something to be undone.
func (a *Attack) lasts() bool { return a.Kind != ChaosReset && a.Kind != ChaosKillLeg }

// Disturbance is one that was done, or would be. Field names in JSON are part of the API.
type Disturbance struct {
	ID      string    `json:"id"` // "" if it was not done
	Kind    string    `json:"kind"`
	Side    string    `json:"side"`
	Name    string    `json:"name"`
	Element string    `json:"element"`
	Hit     []string  `json:"hit"`   // what, for people
	Until   time.Time `json:"until"` // when it ends by itself
}

// ChaosBlock is a block that may be disturbed.
type ChaosBlock struct {
	Side string `json:"side"`
	Name string `json:"name"`
	Pool string `json:"pool"` // the pool_user's; the first one that the pool_element registers itself in, "" if it does in none
}

// ChaosStatus is what may be disturbed, and what is.
type ChaosStatus struct {
	Allowed []ChaosBlock  `json:"allowed"`
	Active  []Disturbance `json:"active"`
	Done    uint64        `json:"done"`    // disturbances that are over, since the start
	Stopped uint64        `json:"stopped"` // how often all that there were had to end (Undisturb), likewise
}

// check finds what cannot be asked for, and sets what was left out.
func (a *Attack) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrChaosRequest, fmt.Sprintf(format, args...))
	}
	a.Count = max(a.Count, 1)
	switch {
	case !slices.Contains(chaosKinds, a.Kind):
		return bad("kind %q: it is one of %v", a.Kind, chaosKinds)
	case a.Side != sideUser && a.Side != sideElement:
		return bad("side %q: it is %s or %s", a.Side, sideUser, sideElement)
	case a.Kind == ChaosFreeze && a.Side == sideUser:
		return bad("only a pool_element can be frozen")
	case a.Element != "" && a.Side == sideElement && a.Element != a.Name:
		return bad("element %q is for a pool_user: a pool_element is one itself", a.Element)
	case a.Session != "" && a.Kind != ChaosKillLeg:
		return bad("session %q is for kill_leg", a.Session)
	case a.lasts() && (a.For <= 0 || a.For > MostChaosFor):
		return bad("for %v: a disturbance lasts up to %v", a.For, MostChaosFor)
	case a.Kind == ChaosDelay && (a.Delay <= 0 || a.Delay > a.For):
		return bad("delay %v: it must be more than nothing, and not more than for, which is %v", a.Delay, a.For)
	}
	return nil
}

// permits reports whether a configuration has the block disturbed.
func (c *Config) permits(a *Attack) error {
	on, setting := false, ""
	i := slices.IndexFunc(c.Elements, func(e Element) bool { return a.Side == sideElement && e.Name == a.Name })
	k := slices.IndexFunc(c.Users, func(u User) bool { return a.Side == sideUser && u.Name == a.Name })
	switch {
	case i >= 0:
		on, setting = c.Elements[i].Chaos, fmt.Sprintf("pool_element %q", a.Name)
	case k >= 0:
		p, _ := c.pool(c.Users[k].Pool)
		on, setting = p.Chaos, fmt.Sprintf("pool %q", p.Handle)
	default:
		return fmt.Errorf("%w: this process has no %s %q", ErrChaosUnknown, a.Side, a.Name)
	}
	if !on {
		return fmt.Errorf("%w: write chaos = true in %s and have the configuration read again, if its sessions may be disturbed", ErrChaosDenied, setting)
	}
	return nil
}

// supports reports whether what carries the block can be disturbed in that way.
func (c *Config) supports(a *Attack) error {
	refuse := func(what string, kinds ...string) error {
		if slices.Contains(kinds, a.Kind) {
			return nil
		}
		return fmt.Errorf("%w: %s of %s over %s is not possible, of these are %v: what SCTP holds back is the kernel's", ErrChaosRequest, a.Kind, a.Side, what, kinds)
	}
	for _, e := range c.Elements {
		if a.Side == sideElement && e.Name == a.Name && e.Native {
			return refuse("native associations", ChaosReset)
		} else if a.Side == sideElement && e.Name == a.Name && e.Mapping == mapping.SCTP {
			return refuse("mapping sctp", ChaosReset, ChaosKillLeg)
		}
	}
	for _, u := range c.Users {
		p, _ := c.pool(u.Pool)
		if a.Side == sideUser && u.Name == a.Name && p.Native {
			return refuse("native associations", ChaosKillLeg)
		} else if a.Side == sideUser && u.Name == a.Name && p.Mapping == mapping.SCTP {
			return refuse("mapping sctp", ChaosReset, ChaosKillLeg)
		}
	}
	return nil
}

// reach runs something with one shard, on its goroutine, and waits for it; false says that the shard has ended.
type reach func(f func(*Shard)) bool

// reaches are the shards.
func (p *Proxy) reaches() (all []reach) {
	for _, r := range p.runners {
		all = append(all, func(f func(*Shard)) bool { return r.do(func() { f(r.shard) }) })
	}
	return all
}

// Disturb does what is asked for, and says what was hit. The errors wrap ErrChaosRequest, ErrChaosDenied, ErrChaosUnknown, ErrChaosNothing, ErrReplaced
// or ErrStopped. It may be called from any goroutine.
func (p *Proxy) Disturb(a Attack) (d Disturbance, err error) {
	err = p.unmoved(func() error {
		d, err = p.common.disturb(p.reaches(), &p.common.now.Load().config, a, p.log)
		return err
	})
	return d, err
}

// Undisturb ends a disturbance now, or all of them: "". The error wraps ErrChaosUnknown, ErrReplaced or ErrStopped.
func (p *Proxy) Undisturb(id string) error {
	return p.unmoved(func() error {
		if id != "" && !p.common.chaos.has(id) {
			return fmt.Errorf("%w: %q is over, or has never been", ErrChaosUnknown, id)
		}
		if id == "" {
			p.common.chaos.stopped.Add(1)
		}
		p.undisturb(id, "it was asked for")
		return nil
	})
}

func (p *Proxy) undisturb(id, why string) {
	for _, reach := range p.reaches() {
		reach(func(s *Shard) { s.undisturb(id, why) })
	}
}

// Chaos tells what may be disturbed, and what is.
func (p *Proxy) Chaos() ChaosStatus {
	c := p.common.now.Load().config
	s := ChaosStatus{Allowed: []ChaosBlock{}}
	for _, u := range c.Users {
		if in, _ := c.pool(u.Pool); in.Chaos {
			s.Allowed = append(s.Allowed, ChaosBlock{sideUser, u.Name, u.Pool})
		}
	}
	for _, e := range c.Elements {
		if !e.Chaos {
			continue
		}
		b := ChaosBlock{Side: sideElement, Name: e.Name}
		if len(e.Register) > 0 {
			b.Pool = e.Register[0].Handle
		}
		s.Allowed = append(s.Allowed, b)
	}
	s.Active, s.Done = p.common.chaos.list()
	s.Stopped = p.common.chaos.stopped.Load()
	return s
}

// disturb does what is asked for on the shards.
func (p *spread) disturb(shards []reach, c *Config, a Attack, log hclog.Logger) (d Disturbance, err error) {
	if err := a.check(); err != nil {
		return d, err
	}
	if err := c.permits(&a); err != nil {
		return d, err
	}
	if err := c.supports(&a); err != nil {
		return d, err
	}
	found := make([][]target, len(shards))
	var now time.Time
	for i, reach := range shards {
		if !reach(func(s *Shard) { found[i] = s.targets(&a); now = s.loop.Now() }) {
			return d, ErrStopped
		}
	}
	chosen, hit := choose(found, &a)
	d = Disturbance{Kind: a.Kind, Side: a.Side, Name: a.Name, Element: a.Element, Hit: hit, Until: now}
	if a.lasts() {
		d.Until = now.Add(a.For)
	}
	switch {
	case len(hit) == 0:
		return d, fmt.Errorf("%w: there is no %s there that is not disturbed already", ErrChaosNothing, a.object())
	case a.DryRun:
		return d, nil
	}
	return p.strike(shards, &a, d, chosen, log)
}

// strike hits those who were chosen.
func (p *spread) strike(shards []reach, a *Attack, d Disturbance, chosen []map[any]bool, log hclog.Logger) (Disturbance, error) {
	d, err := p.chaos.begin(d, len(shards))
	if err != nil {
		return d, err
	}
	hit := 0
	for i, reach := range shards {
		if !reach(func(s *Shard) { hit += s.strike(a, d.ID, d.Until, chosen[i]) }) {
			p.chaos.partOver(d.ID)
		}
	}
	if hit == 0 {
		return d, fmt.Errorf("%w: what there was has just ended", ErrChaosNothing)
	}
	log.Warn(map[bool]string{true: "chaos: a disturbance begins", false: "chaos: a disturbance was done"}[a.lasts()], "id", d.ID, "kind", d.Kind, a.Side, a.Name, "element", a.Element, "hit", len(d.Hit), "until", d.Until)
	return d, nil
}

// object is what is hit, for people.
func (a *Attack) object() string {
	if a.Kind == ChaosKillLeg {
		return "leg"
	}
	return "association"
}

// choose takes as many as were asked for, by the seed. They are listed by what they are called, so that one seed hits the same ones again.
func choose(found [][]target, a *Attack) (chosen []map[any]bool, hit []string) {
	type one struct {
		shard int
		target
	}
	var all []one
	for i, targets := range found {
		chosen = append(chosen, make(map[any]bool))
		for _, v := range targets {
			all = append(all, one{i, v})
		}
	}
	slices.SortStableFunc(all, func(x, y one) int { return strings.Compare(x.what, y.what) })
	seed := a.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	if a.Kind != ChaosFreeze {
		rand.New(rand.NewPCG(seed, seed)).Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		all = all[:min(len(all), a.Count)]
	}
	hit = []string{}
	if a.Kind == ChaosFreeze {
		hit = append(hit, fmt.Sprintf("pool_element %s: whoever comes waits", a.Name))
	}
	for i, v := range all {
		chosen[v.shard][v.key] = true
		if i < mostHit {
			hit = append(hit, v.what)
		}
	}
	if more := len(all) - mostHit; more > 0 {
		hit = append(hit, fmt.Sprintf("and %d more", more))
	}
	return chosen, hit
}
