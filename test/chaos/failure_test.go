//go:build linux

package chaos

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// target is what a failure strikes: a host with all columns, or what one column has there.
type target struct {
	world   *world
	at      int       // which of the world's hosts
	columns []*column // all, or one
	random  *rand.Rand

	// proofs say, when all is healed, why nothing of a column's was struck; "": it was.
	proofs []func(c *column) (why string)
}

// unproved says why the strike was none for a column, though its sessions were where it fell.
func (t *target) unproved(c *column) string {
	for _, why := range t.proofs {
		if why := why(c); why != "" {
			return why
		}
	}
	return ""
}

func (t *target) host() *host { return t.world.hosts[t.at] }

// each does something for each column, at once.
func (t *target) each(do func(c *column) error) error {
	var all sync.WaitGroup
	errs := make([]error, len(t.columns))
	for i, c := range t.columns {
		all.Go(func() { errs[i] = do(c) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// shared reports whether it is one thing that fails, for all these columns, and not one of each.
func (f *failure) shared(columns []*column) bool { return f.wide || f.onCable && len(columns) > 1 }

// heal makes everything as it was before the failure.
type heal = func() error

// failure is one kind of them.
type failure struct {
	id, name string // in the names of cells; in the table

	// wide: it strikes a host, or a process that all columns have in common. Others can strike one column alone.
	wide bool

	needsEtcd bool // it is etcd that fails

	// endsAll: no session survives it, and none is said to.
	endsAll bool

	// hinders reports whether an upgrade of the sidecar at a place (-1: of the pool_user) may come to nothing by it. nil: of none.
	hinders func(at int) bool

	// awaits, if it is not nil, waits a little until there is something to strike.
	awaits func(t *target)

	// strike strikes, and returns what makes all as it was. It leaves a proof where it could strike nothing.
	strike func(t *target) (heal, error)

	onCable bool // it is the host's cable that is concerned, or one column's packets on it

	// lasts is how long it is until it is healed: at least, and at most.
	lasts [2]time.Duration

	// unmeetable says why the failure strikes nothing of a column. nil: it always does.
	unmeetable func(c *column) string
}

// senseless says why a cell is none.
func (f *failure) senseless(c *column, s state) string {
	if f.unmeetable != nil {
		if why := f.unmeetable(c); why != "" {
			return why
		}
	}
	if s == stateFailover && c.dialect.unprotected {
		return "a session that is not protected ends with the server that dies first"
	}
	return ""
}

// briefly is for failures that last only as long as it takes to start a process again.
var briefly = [2]time.Duration{20 * time.Millisecond, 80 * time.Millisecond}

// silently is for those that have to be noticed by silence: longer, and sometimes shorter, than that takes.
var silently = [2]time.Duration{silence / 4, silence + 2*resumes + 200*time.Millisecond}

var etcdLost = failure{id: "etcd-leader", name: "etcd leader lost", wide: true, needsEtcd: true,
	lasts: [2]time.Duration{200 * time.Millisecond, 1500 * time.Millisecond}, strike: killLeader}

// failures are everything, as far as this can be said: what strikes, and how long it lasts.
var failures = []failure{
	{id: "server-kill", name: "server kill -9", lasts: briefly, strike: killServers},
	{id: "server-stop", name: "server SIGSTOP", lasts: [2]time.Duration{50 * time.Millisecond, replyTimeout + 300*time.Millisecond}, strike: freezeServers},
	{id: "server-term", name: "server SIGTERM", lasts: briefly, strike: terminateServers},
	{id: "server-oom", name: "server out of memory", lasts: briefly, strike: starveServers},
	{id: "sidecar-kill", name: "sidecar kill -9", wide: true, lasts: briefly, strike: killSidecar, hinders: ofHost, unmeetable: noSidecar},
	{id: "user-kill", name: "pool_user kill -9", wide: true, endsAll: true, lasts: briefly, strike: killUser, hinders: ofUser},
	{id: "cut", onCable: true, name: "host cut silently", lasts: silently, strike: func(t *target) (heal, error) { return disturb(t, &fault{from: true, to: true, lose: 1}), nil }},
	{id: "one-way", onCable: true, name: "one direction cut", lasts: silently, strike: func(t *target) (heal, error) {
		from := t.random.IntN(2) == 0
		return disturb(t, &fault{from: from, to: !from, lose: 1}), nil
	}},
	{id: "reset", name: "reset injected", lasts: briefly, awaits: awaitConnections, strike: injectResets},
	{id: "delay-loss", onCable: true, name: "delay and loss", lasts: [2]time.Duration{200 * time.Millisecond, time.Second}, strike: func(t *target) (heal, error) {
		return disturb(t, &fault{from: true, to: true, lose: 0.02 + t.random.Float64()/5, delay: time.Duration(t.random.IntN(50)) * time.Millisecond}), nil
	}},
	etcdLost,
	{id: "clock", name: "clock jump", wide: true, lasts: [2]time.Duration{50 * time.Millisecond, silence}, strike: jumpClocks},
	{id: "disk", name: "disk full", wide: true, lasts: [2]time.Duration{50 * time.Millisecond, silence}, strike: fillDisks},
	{id: "descriptors", name: "no descriptors", wide: true, lasts: [2]time.Duration{50 * time.Millisecond, silence}, strike: takeDescriptors, hinders: ofAny},
	{id: "processor", name: "processor starved", wide: true, lasts: [2]time.Duration{300 * time.Millisecond, 1200 * time.Millisecond}, strike: starveProcessors},
}

func ofHost(at int) bool { return at >= 0 }
func ofUser(at int) bool { return at < 0 }
func ofAny(int) bool     { return true }

func noSidecar(c *column) string {
	if c.mapping == "none" {
		return "there is no sidecar before the server"
	}
	return ""
}

// killServers is kill -9.
func killServers(t *target) (heal, error) {
	err := t.each(func(c *column) error { c.servers[t.at].kill(); return nil })
	return t.restartServers, err
}

// restartServers starts those servers that do not live.
func (t *target) restartServers() error {
	return t.each(func(c *column) error {
		if c.servers[t.at].lives() {
			return nil
		}
		return c.startServer(t.at)
	})
}

// freezeServers is SIGSTOP, and later SIGCONT or kill -9.
func freezeServers(t *target) (heal, error) {
	err := t.each(func(c *column) error { return c.servers[t.at].freeze() })
	wakes := t.random.IntN(2) == 0
	return func() error {
		err := t.each(func(c *column) error {
			if wakes {
				c.servers[t.at].thaw()
			} else {
				c.servers[t.at].kill()
			}
			return nil
		})
		return errors.Join(err, t.restartServers())
	}, err
}

// terminateServers is SIGTERM, by which servers end in their own way.
func terminateServers(t *target) (heal, error) {
	err := t.each(func(c *column) error {
		c.servers[t.at].signal(syscall.SIGTERM)
		return eventually(c.servers[t.at].name+" ends", func() bool { return !c.servers[t.at].lives() })
	})
	return t.restartServers, err
}

// starveServers has the kernel kill them for want of memory.
func starveServers(t *target) (heal, error) {
	err := t.each(func(c *column) error {
		how, err := c.servers[t.at].outOfMemory()
		t.world.say("server out of memory", how)
		return err
	})
	return t.restartServers, err
}

// killSidecar is kill -9 of the pool_element process.
func killSidecar(t *target) (heal, error) {
	t.world.sidecar(t.at).kill()
	return func() error { return t.world.startSidecar(t.at) }, nil
}

// killUser is kill -9 of the pool_user process, with which all sessions end.
func killUser(t *target) (heal, error) {
	t.world.sidecar(-1).kill()
	return t.world.startUser, nil
}

// disturb puts a fault on the cable of the host, or on the one port that the column has there.
func disturb(t *target, f *fault) heal {
	f.host = t.host().address
	if len(t.columns) == 1 {
		f.port = t.columns[0].portAt()
	}
	undo := t.world.exchange.disturb(f)
	t.proofs = append(t.proofs, func(c *column) string {
		if f.packets(c.portAt()) == 0 {
			return "no packet was lost or late"
		}
		return ""
	})
	return func() error { undo(); return nil }
}

// awaitConnections waits until each column has one with the host: of mapping none during a failover there is none until the session is there.
func awaitConnections(t *target) {
	deadline := time.Now().Add(held / 4) // what has none by then is missed
	_ = t.each(func(c *column) error {
		for !t.world.exchange.flows.open(t.portOf(c)) && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		return nil
	})
}

// portOf is where the column has its element on the host.
func (t *target) portOf(c *column) netip.AddrPort {
	return netip.AddrPortFrom(t.host().address, c.portAt())
}

// injectResets ends the associations with the host, or of mapping none the servers' connections.
func injectResets(t *target) (heal, error) {
	var hit sync.Map // columns, of which there was one
	t.proofs = append(t.proofs, func(c *column) string {
		if _, was := hit.Load(c); !was {
			return "no connection was reset"
		}
		return ""
	})
	return func() error { return nil }, t.each(func(c *column) error {
		if t.world.exchange.reset(t.portOf(c)) > 0 {
			hit.Store(c, true)
		}
		return nil
	})
}
