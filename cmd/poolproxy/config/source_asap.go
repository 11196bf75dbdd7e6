package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/registrar"
)

// mostRegistrars is how many registrars may be listed.
const mostRegistrars = 16

// asapKind is source "asap".
type asapKind struct {
	c   registrar.Config
	rfc bool // the registrars speak as the RFC says, and not as rsplib does
}

// dialects are the words for how registrars speak ASAP.
var dialects = []choice[bool]{{"rsplib", false}, {"rfc", true}}

func newASAPKind() *asapKind {
	return &asapKind{c: registrar.Config{Life: registrar.DefaultLife, Interval: registrar.DefaultInterval, Times: registrar.DefaultTimes()}}
}

func (k *asapKind) shape(r *reader) *shape {
	t := &k.c.Times
	return &shape{
		what: "an ASAP source",
		attributes: map[string]setter{
			"registrars":             r.registrars(&k.c.Registrars),
			"listen":                 r.listen(&k.c.Listen),
			"dialect":                word(r, &k.rfc, dialects),
			"lease":                  r.duration(&k.c.Life, time.Second, mostTime),
			"interval":               r.duration(&k.c.Interval, 100*time.Millisecond, mostTime),
			"empty_after":            r.duration(&k.c.Empty, time.Second, mostTime),
			"resolution_timeout":     r.duration(&t.T1, 100*time.Millisecond, time.Minute),
			"registration_timeout":   r.duration(&t.T2, 100*time.Millisecond, time.Minute),
			"deregistration_timeout": r.duration(&t.T3, 100*time.Millisecond, time.Minute),
			"hunt_timeout":           r.duration(&t.T5, 100*time.Millisecond, time.Minute),
		},
		required: []string{"registrars"},
	}
}

func (k *asapKind) made(r *reader, s *sourceBlock) pool.Source {
	c, unit := k.c, time.Second
	if !k.rfc {
		c.Dialect, unit = asap.RSPLIB(), time.Millisecond
	}
	if c.Life%unit != 0 {
		r.fail(s.seen["lease"], fmt.Sprintf(`"lease" must be a multiple of %s`, durationText(unit)), "ASAP knows nothing shorter in this dialect.")
	}
	if s.stale <= c.Interval {
		at, set := s.seen["stale_after"]
		if !set {
			at = s.seen["interval"]
		}
		r.fail(at, fmt.Sprintf("stale_after (%s) must be longer than interval (%s)", durationText(s.stale), durationText(c.Interval)),
			"Else there would be an alarm each time an answer is still good.")
	}
	made, err := registrar.New(c)
	if err != nil {
		r.fail(s.at, "There can be no such source", fmt.Sprintf("Check its registrars and times. (%v)", err))
		return nil
	}
	return made
}

func (k *asapKind) poolOf(r *reader, p *poolBlock, at hcl.Range) {
	if n := len(p.Handle); n > registrar.MaxHandle {
		r.fail(at, fmt.Sprintf("Pool %q has a name that is too long for registrars", p.Handle), fmt.Sprintf("It has %d bytes, and may have %d.", n, registrar.MaxHandle))
	}
}

// registrars reads the addresses of registrars.
func (r *reader) registrars(dst *[]netip.AddrPort) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write a list of addresses: %s = ["10.0.0.1:%d"].`, a.Name, asap.Port)
		items, ok := r.some(a, mostRegistrars, hint)
		if !ok {
			return
		}
		for _, item := range items {
			var at netip.AddrPort
			s, ok := r.text(a.Name, item, hint)
			if ok {
				r.parseAddress(&at, s, a.Name, item.Range(), hint, false)
			}
			switch {
			case !at.IsValid(): // reported
			case at.Addr().IsUnspecified():
				r.fail(item.Range(), fmt.Sprintf("No registrar is at %v", at), hint)
			case slices.Contains(*dst, at):
				r.fail(item.Range(), fmt.Sprintf("The registrar %v is there twice", at), "Leave one of them out.")
			default:
				*dst = append(*dst, at)
			}
		}
	}
}
