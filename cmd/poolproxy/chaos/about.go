package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/poolproxy/poolproxy/session"
)

// refuses is why nothing can be done in this deployment, and what to write where so that it can. nil: something can.
func (a *Attack) refuses(f *field) error {
	allowed := f.allowed()
	if a.Pool != "" && len(f.targets) == 0 {
		return a.unknownPool(f)
	}
	if len(allowed) == 0 {
		return a.notAllowed(f)
	}
	for _, t := range allowed {
		if a.forbids(f, t) == "" || slices.ContainsFunc(t.elements, func(e *element) bool { return e.disturbed }) {
			return nil // what others do there ends, and then it may be
		}
	}
	return a.stuck(f)
}

// unknownPool says which pools there are.
func (a *Attack) unknownPool(f *field) error {
	known := slices.DeleteFunc(slices.Sorted(maps.Keys(f.pools)), func(handle string) bool { return handle == "" })
	text := "they have none"
	if len(known) > 0 {
		text = "they have " + list(known)
	}
	return fmt.Errorf("none of these processes (%s) has pool %q: %s. Check -pool, and -admin", a.addresses(), a.Pool, text)
}

// addresses are those of the processes, for people.
func (a *Attack) addresses() string {
	var all []string
	for _, p := range a.Peers {
		all = append(all, p.Address)
	}
	return list(all)
}

// notAllowed says what to write where.
func (a *Attack) notAllowed(f *field) error {
	if len(f.targets) == 0 {
		return fmt.Errorf("there is nothing to disturb: the processes (%s) have neither pool_users nor pool_elements; check -admin", a.addresses())
	}
	what := "nothing here may be disturbed"
	if a.Pool != "" {
		what = fmt.Sprintf("pool %q may not be disturbed", a.Pool)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: nobody has allowed it. In the configuration of the process write\n", what)
	var lines []string
	for _, t := range f.blocks(false) {
		where := fmt.Sprintf("%s %q", t.block.Side, t.block.Name)
		if t.block.Side == sideUser { // what is allowed there is the pool's affair
			where = fmt.Sprintf("pool %q", t.block.Pool)
		}
		if line := fmt.Sprintf("    chaos = true    in %s, at %s\n", printable(where), t.peer.Address); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	b.WriteString(strings.Join(lines, ""))
	b.WriteString("in one of these blocks or in all of them, and have it read again (poolproxy reload); docs/chaos.md says what it allows")
	return errors.New(b.String())
}

// blocks are the blocks that are targets, each once, that allow it or do not.
func (f *field) blocks(allowed bool) (all []*target) {
	for _, t := range f.targets {
		same := func(x *target) bool {
			return x.peer == t.peer && x.block.Side == t.block.Side && x.block.Name == t.block.Name
		}
		if t.allowed == allowed && !slices.ContainsFunc(all, same) {
			all = append(all, t)
		}
	}
	return all
}

// stuck says why nothing may be disturbed now.
func (a *Attack) stuck(f *field) error {
	if len(f.allowed()) == 0 {
		return errors.New("nothing may be disturbed now: it was allowed, and is no more (chaos = true was taken out of the configuration)")
	}
	var why []string
	reachable := 0
	for _, t := range f.allowed() {
		reason := a.forbids(f, t)
		if reason == "" {
			reachable++
		} else if !slices.Contains(why, reason) {
			why = append(why, reason)
		}
	}
	if reachable > 0 {
		return fmt.Errorf("there is nothing of the kinds %s to hit now: no association, or no session; is there a client?", strings.Join(a.Kinds, ","))
	}
	return errors.New("nothing may be disturbed now: " + printable(strings.Join(why, "; ")))
}

// about says what will be done.
func (a *Attack) about(f *field) {
	var b strings.Builder
	fmt.Fprintf(&b, "Every %v at the earliest, for %v: one of %s; for %v to %v each, with -seed %d\n", a.Every, a.For, strings.Join(a.Kinds, ", "),
		a.HoldMin, a.HoldMax, a.Seed)
	at := fmt.Sprintf("at most %s at a time", plural(a.Radius, "element"))
	if a.RadiusSaid {
		at += ", even if it is the last one of its pool where -radius is as large as the pool"
	} else {
		at += ", never the last living one of a pool"
	}
	fmt.Fprintf(&b, "%s; of its associations or legs at most %d each time, but a freeze is for all\n", at, a.Count)
	for _, handle := range slices.Sorted(maps.Keys(f.pools)) {
		f.aboutPool(&b, f.pools[handle])
	}
	for _, t := range f.blocks(true) {
		fmt.Fprintf(&b, "  disturbed:     %s %q at %s\n", t.block.Side, printable(t.block.Name), t.peer.Address)
	}
	for _, t := range f.blocks(false) {
		fmt.Fprintf(&b, "  left alone:    %s %q at %s: it has not chaos = true\n", t.block.Side, printable(t.block.Name), t.peer.Address)
	}
	b.WriteString("Ctrl-C undoes everything and ends.\n")
	a.say(Event{Event: "about", Text: b.String()})
}

// aboutPool says how a pool stands: what does not live now, and what would not survive.
func (f *field) aboutPool(b *strings.Builder, pool *poolField) {
	if !slices.ContainsFunc(f.targets, func(t *target) bool { return t.elements[0].pool == pool }) {
		return
	}
	living := 0
	for _, e := range pool.elements {
		if e.lives() {
			living++
		}
	}
	by := f.protection(pool.handle)
	fmt.Fprintf(b, "  pool %q: %s, %d living; ", printable(cmp.Or(pool.handle, "(not known)")), plural(len(pool.elements), "element"), living)
	total := 0
	for _, n := range by {
		total += n
	}
	fmt.Fprintf(b, "%s, %d protected\n", plural(total, "session"), by[session.Protected])
	if n := by[session.Unprotected]; n > 0 {
		fmt.Fprintf(b, "    %s NOT PROTECTED now: what happens to them here a failure would do to them, too; poolproxy status says why\n", plural(n, "session"))
	}
}

// protection counts the sessions of a pool by whether they would survive.
func (f *field) protection(pool string) map[session.Protection]int {
	by := make(map[session.Protection]int)
	for _, p := range f.processes {
		users := make(map[string]bool)
		for _, u := range p.status.Users {
			users[u.Name] = u.Pool == pool
		}
		for _, s := range p.status.Sessions {
			if users[s.User] {
				by[session.Protection(s.Protection)]++
			}
		}
	}
	return by
}
