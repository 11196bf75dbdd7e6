package config

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/proxy"
)

const (
	defaultLoadEvery = 5 * time.Second

	// mostName bounds the name of an element in a pool, in bytes.
	mostName = 255
)

// registerBlock is a pool that a pool_element registers itself in, and where that was read.
type registerBlock struct {
	proxy.Register
	at     hcl.Range
	seen   map[string]hcl.Range
	broken bool // something in it could not be read
}

// readRegister reads a register block of a pool_element.
func (r *reader) readRegister(e *elementBlock, b *hclsyntax.Block) {
	g := &registerBlock{at: b.DefRange()}
	g.Every = defaultLoadEvery
	priority, weight := 0, 1
	before := len(r.diags.Errs())
	g.seen = r.block(b, &shape{
		what: "a register block",
		attributes: map[string]setter{
			"pool":    r.str(&g.Handle, mostHandle),
			"source":  r.str(&g.SourceName, 255),
			"name":    r.str(&g.Name, mostName),
			"address": r.address(&g.Address),
			"mapping": word(r, &g.Mapping, []choice[mapping.ID]{{"tcp", mapping.TCP}, {"sctp", mapping.SCTP}, {"none", mapping.None}}),

			"policy":       word(r, &g.Policy, policies()),
			"priority":     r.integer(&priority, 0, math.MaxInt32),
			"weight":       r.integer(&weight, 0, math.MaxInt32),
			"degradation":  r.share(&g.Degradation),
			"load":         r.registeredLoad(g),
			"load_exec":    r.command(&g.LoadExec),
			"load_every":   r.duration(&g.Every, 100*time.Millisecond, time.Hour),
			"max_sessions": r.integer(&g.MaxSessions, 1, 1_000_000),
		},
		required:  []string{"pool", "source"},
		misplaced: map[string]string{"lease": "a source", "health_check": inElement, "paths": inElement},
	})
	g.Priority, g.Weight = uint32(priority), uint32(weight)
	g.broken = len(r.diags.Errs()) > before
	e.registers = append(e.registers, g)
}

// registeredLoad reads a share, or that the load is that of the sessions.
func (r *reader) registeredLoad(g *registerBlock) setter {
	share := r.share(&g.Load)
	return func(a *hclsyntax.Attribute) {
		if v, diags := a.Expr.Value(nil); !diags.HasErrors() && v.RawEquals(sessions) {
			g.LoadFrom = proxy.LoadSessions
			return
		}
		share(a)
	}
}

// checkRegisters gives a pool_element its registrations.
func (r *reader) checkRegisters(e *elementBlock) {
	for _, g := range e.registers {
		if g.broken || e.broken {
			continue
		}
		r.checkRegistry(g)
		r.settlePolicy(g)
		r.checkLoad(g, e.MaxSessions)
		r.checkRegistered(e, g)
		r.checkValues(g)
		e.Register = append(e.Register, g.Register)
	}
}

// checkRegistry finds the registry.
func (r *reader) checkRegistry(g *registerBlock) {
	at := g.seen["source"]
	s := r.findSource(g.SourceName, at)
	if s == nil || s.made == nil { // which was reported
		return
	}
	registry, can := s.made.(pool.Registry)
	if !can {
		r.fail(at, fmt.Sprintf("Source %q takes no registrations", g.SourceName),
			"Its elements are known by other means: leave the register block out, or name a source of another kind.")
		return
	}
	g.Registry, g.SourceDigest = registry, s.digest
	s.kind.poolOf(r, &poolBlock{Pool: proxy.Pool{Handle: g.Handle, Policy: g.Policy}}, g.seen["pool"])
}

// settlePolicy finds the policy: that of the pool, if it is in this configuration.
func (r *reader) settlePolicy(g *registerBlock) {
	p := r.findPool(g.Handle)
	if p == nil {
		return
	}
	if at, set := g.seen["policy"]; set && g.Policy != p.Policy {
		r.fail(at, fmt.Sprintf("Pool %q has policy %v, not %v", g.Handle, p.Policy, g.Policy),
			fmt.Sprintf("Leave it out: the pool is in this configuration, at %s.", place(p.at)))
	}
	g.Policy = p.Policy
}

// checkLoad finds out where the load is known from, and what contradicts that. most is how many sessions the pool_element takes; 0: it does not say.
func (r *reader) checkLoad(g *registerBlock, most int) {
	exec, program := g.seen["load_exec"]
	if program {
		g.LoadFrom = proxy.LoadExec
		if given(g.seen, "load") {
			r.fail(exec, `"load_exec" does not go with "load"`, "The load is what the program says, or what stands there: leave one of the two out.")
		}
	}
	if at, set := g.seen["max_sessions"]; set && g.LoadFrom != proxy.LoadSessions {
		r.fail(at, `"max_sessions" has no effect without load = "sessions"`, "It says how many sessions are 100 %: leave it out.")
	}
	if at, set := g.seen["load_every"]; set && g.LoadFrom == proxy.LoadFixed && g.Policy != pool.LeastUsedDegradation {
		r.fail(at, `"load_every" has no effect on a load that stays the same`, `Leave it out, or write load = "sessions" or load_exec = [...].`)
	}
	if g.MaxSessions == 0 {
		g.MaxSessions = r.config.Limits.Sessions
		if most > 0 {
			g.MaxSessions = min(g.MaxSessions, most)
		}
	}
	if g.LoadFrom == proxy.LoadSessions && !given(g.seen, "degradation") {
		g.Degradation = uint32(math.MaxUint32 / g.MaxSessions)
	}
}

// checkRegistered settles where the element is reached, and by what.
func (r *reader) checkRegistered(e *elementBlock, g *registerBlock) {
	if g.Name == "" {
		g.Name = e.Name
	}
	at, set := g.seen["mapping"]
	switch {
	case !set:
		g.Mapping = e.Mapping
	case g.Mapping == mapping.None && e.Native:
		r.fail(at, "Native pool users need a mapping", `They speak SCTP: leave "mapping" out.`)
	case g.Mapping != e.Mapping && g.Mapping != mapping.None:
		r.fail(at, fmt.Sprintf("pool_element %q listens for mapping %v, not %v", e.Name, e.Mapping, g.Mapping),
			`Leave it out. For several mappings write a pool_element for each; "none" registers the server itself.`)
	}
	switch {
	case g.Mapping == mapping.SCTP:
		g.Paths = e.Paths
	case g.Mapping == mapping.None && !g.Address.IsValid():
		g.Address = e.Server
	}
	at, set = g.seen["address"]
	to := g.Address
	switch {
	case !set && !to.IsValid() && e.Listen.Addr().IsUnspecified():
		r.fail(g.at, fmt.Sprintf("Nobody could reach pool_element %q: it listens on all addresses of this machine", e.Name),
			`Write by which one others reach it: address = "10.0.0.11:7001".`)
	case set && to.Addr().IsUnspecified():
		r.fail(at, `"address" is no address of a host`, `Write by which one others reach it: address = "10.0.0.11:7001".`)
	case set && r.registersUser(e, g, at):
	case to.IsValid() && to.Addr().IsLoopback() || !to.IsValid() && e.Listen.Addr().IsLoopback():
		if !set {
			at = g.at
		}
		r.warn(at, fmt.Sprintf("pool_element %q registers a loopback address", e.Name), "Only pool users on this machine can reach it. Write another address.")
	}
}

// checkValues checks that the block says what its policy needs, and nothing that it does not read.
func (r *reader) checkValues(g *registerBlock) {
	for _, value := range policyValues {
		at, set := g.seen[value.name]
		if !set && value.name == "load" {
			at, set = g.seen["load_exec"]
		}
		example := value.example
		if value.name == "load" {
			example = `"sessions"`
		}
		known := value.name == "degradation" && g.LoadFrom == proxy.LoadSessions
		switch needed := slices.Contains(g.Policy.Needs(), value.name); {
		case set && !g.Policy.Reads(value.name):
			r.fail(at, fmt.Sprintf("%q has no effect under policy %v", value.name, g.Policy),
				fmt.Sprintf("Leave it out, or write %s.", readers(value.name)))
		case !set && !known && needed && example != "":
			r.fail(g.at, fmt.Sprintf("This registration has no %s: policy %v needs it", value.name, g.Policy),
				fmt.Sprintf("Write %s = %s in it.", value.name, example))
		}
	}
}

// checkRegistrations finds elements that would be in each other's way.
func (r *reader) checkRegistrations() {
	before := names{}
	for _, e := range r.elements {
		for _, g := range e.registers {
			if g.broken || e.broken {
				continue
			}
			key := fmt.Sprintf("%s\x00%s\x00%s\x00%v", g.SourceName, g.Handle, g.Name, g.Mapping)
			if first, twice := before[key]; twice {
				r.fail(g.at, fmt.Sprintf("Two elements %q are registered in pool %q", g.Name, g.Handle),
					fmt.Sprintf("Give one of them another name. The first one is at %s.", place(first)))
				continue
			}
			before[key] = g.at
		}
	}
}

// registersAt reports whether a pool_element registers itself by the source.
func (r *reader) registersAt(source string) bool {
	return slices.ContainsFunc(r.elements, func(e *elementBlock) bool {
		return slices.ContainsFunc(e.registers, func(g *registerBlock) bool { return g.SourceName == source })
	})
}
