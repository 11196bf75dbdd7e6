package registrar

import (
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// atOnce is how many registrars are tried at once (RFC 5352 §3.6, SH1).
const atOnce = 3

// hunt is the server hunt of RFC 5352 §3.6.
type hunt struct {
	on     bool
	trying []*link
	at     int           // which registrar is tried next
	tried  int           // in this round
	t5     time.Time     // T5-Serverhunt
	wait   time.Duration // the length of T5
	why    error         // of the last failure
	told   bool          // that of this round
}

// seek begins to hunt, unless that is going on. There may be a home registrar that does not answer: it stays until another one does.
func (r *rules) seek() {
	if !r.hunt.on && r.needed() {
		r.hunt.on = true
		r.round()
	}
}

// round is SH1 and SH2.
func (r *rules) round() {
	r.hunt.tried, r.hunt.told, r.hunt.t5 = 0, false, r.now.Add(r.hunt.wait)
	r.tryMore()
}

func (r *rules) tryMore() {
	h, servers := &r.hunt, r.c.Registrars
	for len(h.trying) < atOnce && h.tried < len(servers) {
		to := servers[h.at]
		h.at = (h.at + 1) % len(servers)
		h.tried++
		if r.home != nil && r.home.remote == to && len(servers) > 1 {
			continue // it has not answered
		}
		for _, l := range slices.Clone(r.links) { // two associations between the same ports would be one
			if l.remote == to {
				r.drop(l)
			}
		}
		l := &link{remote: to}
		h.trying = append(h.trying, l)
		r.links = append(r.links, l)
		l.wire = r.dial(l)
	}
	if len(h.trying) == 0 {
		r.nobody()
	}
}

// found is SH3 and SH6.
func (r *rules) found(l *link) {
	r.endHunt(l)
	r.adopt(l)
	r.disown(l, func(reportKey) bool { return true })
	for _, e := range r.elements {
		r.enlist(e)
	}
}

// endHunt ends the hunt; all attempts are dropped, but for one that has succeeded.
func (r *rules) endHunt(but *link) {
	for _, l := range r.hunt.trying {
		if l != but {
			r.drop(l)
		}
	}
	r.hunt = hunt{wait: r.c.Times.T5, at: r.hunt.at}
}

// missed is SH4.
func (r *rules) missed(l *link, why error) {
	h := &r.hunt
	h.why = why
	h.trying = slices.DeleteFunc(h.trying, func(other *link) bool { return other == l })
	r.tryMore()
}

// huntDue is SH5.
func (r *rules) huntDue() {
	h := &r.hunt
	if !h.on || !r.passed(h.t5) {
		return
	}
	if !r.needed() {
		r.endHunt(nil)
		return
	}
	if len(h.trying) > 0 {
		h.why = fmt.Errorf("%w within %v", errNoAnswer, h.wait)
		for _, l := range h.trying {
			r.drop(l)
		}
		h.trying = nil
	}
	h.wait = min(2*h.wait, max(r.c.Times.Most, r.c.Times.T5))
	if r.nobody(); h.on {
		r.round()
	}
}

// nobody follows a round in which no registrar was found. One that does not answer is better than none: what was asked of it goes on, and
// when it is late again they are looked for again.
func (r *rules) nobody() {
	h := &r.hunt
	if h.told {
		return
	}
	h.told = true
	if r.home != nil {
		wait := h.wait
		r.endHunt(nil)
		r.hunt.wait = wait
		return
	}
	why := r.down()
	for _, p := range slices.Clone(r.pools) {
		r.unanswered(p, why)
	}
	for _, e := range slices.Clone(r.elements) {
		r.unheard(e, why)
	}
}

// down is that no registrar can be reached.
func (r *rules) down() error {
	which := fmt.Sprintf("%d registrars", len(r.c.Registrars))
	if len(r.c.Registrars) == 1 {
		which = fmt.Sprintf("the registrar %v", r.c.Registrars[0])
	}
	if r.hunt.why == nil {
		return fmt.Errorf("registrar: no association with %s: %w", which, pool.ErrSourceDown)
	}
	return fmt.Errorf("registrar: no association with %s: %w (%w)", which, pool.ErrSourceDown, r.hunt.why)
}
