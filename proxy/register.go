package proxy

import (
	"context"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// LoadKind is where the load of a registered element is known from.
type LoadKind int

const (
	LoadFixed    LoadKind = iota // it is what the configuration says
	LoadSessions                 // the sessions at the server, as a share of Register.MaxSessions
	LoadExec                     // a program says it
)

// Register is a pool that a pool_element registers itself in while its server is healthy.
type Register struct {
	Handle     string
	Registry   pool.Registry
	SourceName string // what the configuration calls the registry: "etcd.prod"
	Policy     pool.Policy

	SourceDigest string // of the registry's settings: what tells it from one with others

	Name    string         // of the element in the pool
	Address netip.AddrPort // where it is reached there; one that is not valid stands for that which the pool_element listens on
	Mapping mapping.ID     // by which it is reached; None: the address is a server's
	Paths   []netip.Addr   // with mapping SCTP: further addresses of its host

	Weight, Priority, Degradation uint32 // as those of a pool.Element

	Load        uint32 // with LoadFixed; likewise
	LoadFrom    LoadKind
	LoadExec    []string      // a program's path and its arguments; it writes a percentage to its standard output
	MaxSessions int           // LoadSessions: so many are 100 %
	Every       time.Duration // the load is told at most so often; at least 1 ms
}

// element is what is registered. Its load is not known yet.
func (c *Register) element() pool.Element {
	return pool.Element{Name: c.Name, Address: c.Address, Mapping: c.Mapping.String(), Paths: c.Paths,
		Weight: c.Weight, Priority: c.Priority, Degradation: c.Degradation, Load: c.Load}
}

const (
	// goneTime is how long others may take to be told that an element is gone whose server has failed. Meanwhile it is not registered anew.
	goneTime = 5 * time.Second

	// enoughLoad is the change of a load that is worth telling: 1 %.
	enoughLoad = math.MaxUint32 / 100
)

// registrationState is how a registration stands.
type registrationState string

const (
	regWaiting       registrationState = "waiting"       // until the server is healthy
	regRegistering   registrationState = "registering"   // the registry has not answered yet
	regRegistered    registrationState = "registered"    // others can find the element
	regFailing       registrationState = "failing"       // the registry cannot register it now, and goes on trying
	regDeregistering registrationState = "deregistering" // others are being told that it is gone
	regRefused       registrationState = "refused"       // it can never be registered like this
	regStopped       registrationState = "stopped"       // the process stops: it is not registered any more
)

// registration keeps a pool_element registered in one pool while its server is healthy. It belongs to the first shard's goroutine; the
// registry is called on goroutines of its own (see carryOut), and tells what becomes of the registration by posting.
type registration struct {
	shard   *Shard
	side    *elementSide
	config  Register
	element pool.Element // as it was told last
	log     hclog.Logger

	up      bool  // the server is healthy
	down    error // why not; nil: nobody has looked yet
	leaving bool  // the process stops, or it is not configured any more
	waits   int   // those before it in its place that have not gone yet
	drained bool  // by an operator
	gone    func()
	heirs   []*registration // those that wait until it has gone

	held    pool.Registered // nil: there is no registration
	number  uint64          // of the registration: what is told of an earlier one is outdated
	calling bool            // the registry is at work: nothing else is begun meanwhile
	refused bool            // it is of no use to try again before the server's health changes
	call    handover

	state registrationState
	since time.Time
	err   error // why it stands so; nil: as it should

	load  loadMeter
	again loop.Timer // the next time that the load is looked at
}

// handover is how a Registered gets from the goroutine that has it to whoever lets go of it, also while the shard is being closed.
type handover struct {
	mu   sync.Mutex
	held pool.Registered // guarded by mu
	over bool            // guarded by mu: nobody wants it any more
}

// give hands it over. False says that nobody wants it: then it is the caller's to deregister.
func (h *handover) give(r pool.Registered) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		h.held = r
	}
	return !h.over
}

// end takes what is there, and wants no more.
func (h *handover) end() pool.Registered {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.held
	h.held, h.over = nil, true
	return held
}

// newRegistration prepares one. It begins when the server is known to be healthy.
func newRegistration(e *elementSide, c Register, listens netip.AddrPort) *registration {
	r := &registration{shard: e.shard, side: e, config: c, element: c.element(), state: regWaiting, since: e.shard.loop.Now()}
	if !r.element.Address.IsValid() {
		r.element.Address = listens
	}
	r.log = e.shard.log.With("pool_element", e.name, "pool", c.Handle, "source", c.SourceName)
	r.again.Func = r.look
	r.load.begin(r)
	return r
}

// is reports whether it registers what is to be registered now, but for values that can be told it.
func (r *registration) is(c Register, listens netip.AddrPort) bool {
	told := []string{"Weight", "Priority", "Degradation", "Load", "LoadFrom", "LoadExec", "MaxSessions", "Every"}
	at := c.Address
	if !at.IsValid() {
		at = listens
	}
	return at == r.element.Address && only(diffOf(r.config, c), append(told, "Address")...)
}

// change has it go on as that of another side, with other values.
func (r *registration) change(e *elementSide, c Register) {
	same := len(diffOf(r.config, c)) == 0
	c.Registry = r.config.Registry
	r.side, r.config = e, c
	if same {
		return
	}
	r.load.close()
	asked, last, err := r.load.asked, r.load.last, r.load.err
	r.load = loadMeter{}
	r.load.begin(r)
	if r.load.runner != nil && asked { // the program that was may have been another one: until this one has ended its word counts
		r.load.asked, r.load.last, r.load.err = true, last, err
	}
	r.element.Weight, r.element.Priority, r.element.Degradation = c.Weight, c.Priority, c.Degradation
	r.shard.loop.Cancel(&r.again)
	if r.held != nil {
		r.element.Load = r.load.now()
		r.held.Revalue(r.element)
		r.load.told()
		r.look()
	}
}

// serverIs hears how the server is, again and again.
func (r *registration) serverIs(up bool, why error) {
	changed := up != r.up
	r.up, r.down = up, why
	if changed {
		r.refused = false
	}
	if r.state == regWaiting {
		r.err = why
	}
	r.step()
}

// leave deregisters the element for good, since the process stops. then is called when it is gone, or cannot be.
func (r *registration) leave(then func()) {
	r.leaving, r.gone = true, then
	r.step()
}

// drain deregisters the element while it is drained.
func (r *registration) drain(on bool) {
	r.drained = on
	r.step()
}

// step does what is to be done next, if nothing is going on.
func (r *registration) step() {
	wanted := r.up && !r.leaving && !r.drained && (r.waits == 0 || r.held != nil)
	switch {
	case r.calling || r.shard.closed:
	case wanted && r.held == nil && !r.refused && r.load.known():
		r.register()
	case !wanted && r.held != nil:
		r.deregister()
	case r.held == nil && r.leaving:
		r.stands(regStopped, nil)
		if gone := r.gone; gone != nil {
			r.gone = nil
			gone()
		}
	}
}

// stands notes a new state, or a new reason.
func (r *registration) stands(s registrationState, err error) {
	if r.state != s {
		r.since = r.shard.loop.Now()
	}
	r.state, r.err = s, err
}

func (r *registration) register() {
	r.number++
	number := r.number
	r.element.Load = r.load.now()
	r.load.told()
	r.stands(regRegistering, nil)
	what := pool.Registration{Handle: r.config.Handle, Policy: r.config.Policy, Element: r.element}
	told := func(err error) { r.shard.loop.Post(func() { r.told(number, err) }) }
	var held pool.Registered
	var err error
	r.begin(func() {
		if held, err = r.config.Registry.Register(what, told); err == nil && !r.call.give(held) {
			letGo(held, time.Second)
		}
	}, func() {
		if err != nil {
			r.refused = true
			r.stands(regRefused, err)
			r.log.Error("this can never be registered; correct the configuration", "name", r.element.Name, "error", err)
			return
		}
		r.held = held
		r.comeBack()
	})
}

// told is what the registry says of the registration: nil if it stands.
func (r *registration) told(number uint64, err error) {
	if r.shard.closed || number != r.number || r.state == regRefused {
		return
	}
	if err != nil {
		if r.state != regFailing || r.err == nil || r.err.Error() != err.Error() {
			r.log.Warn("not registered: it is tried again", "name", r.element.Name, "address", r.element.Address, "error", err)
		}
		r.stands(regFailing, err)
		return
	}
	if r.state != regRegistered {
		r.log.Info("registered in a pool", "name", r.element.Name, "address", r.element.Address)
	}
	r.stands(regRegistered, nil)
}

func (r *registration) deregister() {
	reason := r.down
	if r.leaving {
		reason = nil
	}
	r.number++ // what is told of it from now on does not matter
	r.shard.loop.Cancel(&r.again)
	r.stands(regDeregistering, reason)
	held := r.held
	var err error
	r.begin(func() { err = letGo(held, goneTime) }, func() {
		r.held = nil
		r.call.give(nil)
		args := []any{"name", r.element.Name, "address", r.element.Address}
		if reason != nil {
			args = append(args, "reason", reason)
		}
		if err != nil {
			r.log.Warn("not deregistered: it ends with its lease", append(args, "error", err)...)
		} else {
			r.log.Info("deregistered from a pool", args...)
		}
		r.stands(regWaiting, r.down)
	})
}

// letGo deregisters, in so much time.
func letGo(held pool.Registered, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return held.Deregister(ctx)
}

// begin has the registry called, which may take its time, and done in a later turn.
func (r *registration) begin(work, done func()) {
	r.calling = true
	after := func() {
		if r.shard.closed {
			return
		}
		r.calling = false
		done()
		r.step()
	}
	if r.shard.virtual {
		r.shard.loop.Post(func() { work(); after() })
		return
	}
	r.shard.calls.Add(1)
	go r.carryOut(work, after)
}

// carryOut is the goroutine of one call of the registry. It ends with the call; Shard.leaveRegistries waits for it, but not for ever: a
// registry that hangs is left to itself.
func (r *registration) carryOut(work, after func()) {
	defer r.shard.calls.Done()
	work()
	r.shard.loop.Post(after)
}

// look has the load found out, told if it has changed, and comes again.
func (r *registration) look() {
	if r.held == nil {
		return
	}
	r.load.look()
	r.comeBack()
}

func (r *registration) comeBack() {
	if r.load.changes() {
		r.shard.loop.Schedule(&r.again, r.shard.loop.Now().Add(r.config.Every))
	}
}
