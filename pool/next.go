package pool

import "time"

// Next names the element to go to for somebody whom the one called last does not serve (draft-conrad-rserpool-service-00 §5.1). The
// failover order of that one comes before the policy, those that are believed alive before those that have failed; and last itself is
// named only if there is no other. Unlike Choose it has nobody wait for the end of a pause: who asks will try what he is told. With ok
// false the pool has no element that gives service.
func (p *Pool) Next(now time.Time, last string) (c Choice, ok bool) {
	w := Wish{After: last, Not: func(name string) bool { return name == last }}
	names, err := p.ask(now, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.wished(now, w); ok {
		return c, true
	}
	r := p.round(now, &w, names)
	i := r.pickOr(either)
	if i < 0 {
		r.wish = &Wish{}
		i = r.pick()
	}
	if i < 0 {
		return Choice{Err: err}, false
	}
	r.took(i)
	p.next = r.head
	return Choice{Element: p.elements[i].Element, Err: err}, true
}
