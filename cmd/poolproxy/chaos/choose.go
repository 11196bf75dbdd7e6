package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
)

// Settings are what the user wants.
type Settings struct {
	Pool       string   // "": all that allow it
	Kinds      []string // some of Kinds
	Every      time.Duration
	For        time.Duration // after that nothing new begins
	HoldMin    time.Duration // how long a disturbance lasts: between this
	HoldMax    time.Duration // and that
	Delay      time.Duration // by which the kind delay makes all late
	Count      int           // how many associations, or legs, one disturbance hits at most
	Radius     int           // how many elements may be disturbed at a time
	RadiusSaid bool          // the user has said that number: it may be all elements of a pool
	Overlap    bool          // new ones begin though others have not ended, or sessions are in a pause
	Seed       uint64

	cannot map[cannot]bool // what a process has said not to be able to
}

// cannot is a kind that is not possible in a block.
type cannot struct {
	peer       *Peer
	side, name string
	kind       string
}

// strike is one disturbance that has been chosen.
type strike struct {
	number int // 1, 2, 3 …
	kind   string
	target *target
	hold   time.Duration
	seed   uint64
	delay  time.Duration
	count  int
}

// order is what the process is asked for.
func (s *strike) order(dry bool) admin.Attack {
	o := admin.Attack{Kind: s.kind, Side: s.target.block.Side, Name: s.target.block.Name, Count: s.count, For: admin.Time(s.hold), DryRun: dry, Seed: s.seed}
	if o.Side == sideUser {
		o.Element = s.target.elements[0].name
	}
	if s.kind == proxy.ChaosDelay {
		o.Delay = admin.Time(s.delay)
	}
	return o
}

// String says what is done, for people.
func (s *strike) String() string {
	what := s.kind
	if s.kind == proxy.ChaosDelay {
		what += fmt.Sprintf(" by %v", s.delay)
	}
	if lasts(s.kind) {
		what += fmt.Sprintf(" for %v", s.hold)
	}
	return printable(fmt.Sprintf("%s at %s", what, s.target))
}

// String says where that is, for people.
func (t *target) String() string {
	e := t.elements[0]
	switch {
	case t.block.Side == sideUser:
		return fmt.Sprintf("pool_user %q, element %q of pool %q (%s)", t.block.Name, e.name, e.pool.handle, t.peer.Address)
	case e.pool.handle == "":
		return fmt.Sprintf("pool_element %q (%s)", t.block.Name, t.peer.Address)
	}
	return fmt.Sprintf("pool_element %q, element %q of pool %q (%s)", t.block.Name, e.name, e.pool.handle, t.peer.Address)
}

// round chooses what is done together next, against the field as it is now: mostly one, up to the radius. What is chosen depends on the seed, the
// number of the round and the field, on nothing else. It marks what it has chosen as disturbed. first is the number of the first strike.
func (c *Settings) round(f *field, round, first int) []*strike {
	chance := rand.New(rand.NewPCG(c.Seed, uint64(round)))
	several := 1 + chance.IntN(max(1, c.Radius))
	var chosen []*strike
	for len(chosen) < several {
		s := c.choose(f, chance)
		if s == nil {
			break
		}
		s.number = first + len(chosen)
		for _, e := range s.target.elements {
			e.disturbed = true
		}
		chosen = append(chosen, s)
	}
	return chosen
}

// choose chooses one: first the kind, so that each is as frequent as any other, then where, mostly
// where there are sessions. nil: there is nothing that may be hit.
func (c *Settings) choose(f *field, chance *rand.Rand) *strike {
	at := make(map[string][]*target)
	for _, t := range f.targets {
		if !t.allowed || c.forbids(f, t) != "" {
			continue
		}
		for _, kind := range t.kinds {
			if c.cannot[cannot{t.peer, t.block.Side, t.block.Name, kind}] {
				continue
			}
			at[kind] = append(at[kind], t)
		}
	}
	var kinds []string
	for _, kind := range c.Kinds {
		if len(at[kind]) > 0 {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	kind := kinds[chance.IntN(len(kinds))]
	where := at[kind][chance.IntN(len(at[kind]))]
	if serving := slices.DeleteFunc(slices.Clone(at[kind]), func(t *target) bool { return !t.serves }); len(serving) > 0 && chance.IntN(4) > 0 {
		where = serving[chance.IntN(len(serving))]
	}
	hold := c.HoldMin + time.Duration(chance.Int64N(int64(c.HoldMax-c.HoldMin)+1)).Round(time.Millisecond)
	return &strike{kind: kind, target: where, hold: hold, seed: 1 + uint64(chance.Uint32N(1<<31)), delay: min(c.Delay, hold), count: c.Count}
}

// forbids says why nothing may be done at a target: the radius does not allow it. "": it does.
func (c *Settings) forbids(f *field, t *target) string {
	disturbed := make(map[string]bool) // by address: an element of two pools is one
	f.everyElement(func(e *element) {
		if e.disturbed {
			disturbed[e.address] = true
		}
	})
	if len(disturbed) >= c.Radius {
		return fmt.Sprintf("%d elements are disturbed, as many as -radius allows", len(disturbed))
	}
	for _, e := range t.elements {
		if e.disturbed {
			return fmt.Sprintf("element %q is disturbed", e.name)
		}
		if why := c.spares(e); why != "" {
			return why
		}
	}
	return ""
}

// spares says why an element must not be disturbed: no other one of its pool would be left. "": it may.
func (c *Settings) spares(e *element) string {
	others := 0
	for _, x := range e.pool.elements {
		if x != e && x.lives() && !x.disturbed {
			others++
		}
	}
	switch {
	case !e.pool.known && !c.RadiusSaid:
		return "none of these processes is a pool user of the element, so nobody knows whether another one is left: " +
			"name the pool_user's process, too (-admin), or say the -radius"
	case !e.pool.known, others > 0, c.RadiusSaid && c.Radius >= len(e.pool.elements):
		return ""
	}
	return fmt.Sprintf("element %q is the last living one of pool %q that is left: -radius %d, said by you, would allow it",
		e.name, e.pool.handle, len(e.pool.elements))
}

// impossible notes that a kind is not possible there.
func (c *Settings) impossible(s *strike) {
	if c.cannot == nil {
		c.cannot = make(map[cannot]bool)
	}
	c.cannot[cannot{s.target.peer, s.target.block.Side, s.target.block.Name, s.kind}] = true
}

// allowed are the targets that may be disturbed at all.
func (f *field) allowed() []*target {
	return slices.DeleteFunc(slices.Clone(f.targets), func(t *target) bool { return !t.allowed })
}
