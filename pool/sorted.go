package pool

import (
	"errors"
	"fmt"
	"time"
)

// ErrPolicy is wrapped by what is said of an application's policy that did not do its work.
var ErrPolicy = errors.New("the application's policy failed, elements are chosen by round robin")

// Values are the policy values of one element, as an application's policy sees them.
type Values struct {
	Name                                string // of the element
	Weight, Priority, Load, Degradation uint32
	Given                               uint32 // how often it was handed out since it was last registered
}

// NewSorted makes a pool whose policy is the application's (draft-conrad-rserpool-service-00 §5.3): sort is given the values of the
// elements that may be chosen, in no particular order, and returns them sorted, the one to be chosen first. It may sort them in
// place; names alone count in what it returns.
//
// It is called for each choice, on the goroutine that asks, so it must return at once; it is called by several goroutines at a time, and
// must not keep what it was given. No lock is held meanwhile, but to ask the same pool for a choice would never end. If it panics,
// or returns anything but what it was given, each once, the choice is made by round robin, and the error says so (ErrPolicy).
func NewSorted(handle string, sort func([]Values) []Values, elements []Element) *Pool {
	p := New(handle, Application, elements)
	p.sort = sort
	return p
}

// ask has the application's policy sort the members that may be chosen, if it is one. Nil is no order.
func (p *Pool) ask(now time.Time, w Wish) (names []string, err error) {
	if p.Policy() != Application {
		return nil, nil
	}
	values := p.values(now, w)
	if len(values) == 0 {
		return nil, nil
	}
	given := make(map[string]bool, len(values))
	for _, v := range values {
		given[v.Name] = true
	}
	sorted, err := call(p.sort, values)
	if err == nil && len(sorted) != len(given) {
		err = fmt.Errorf("it returned %d elements of %d", len(sorted), len(given))
	}
	for i := 0; i < len(sorted) && err == nil; i++ {
		if name := sorted[i].Name; !given[name] {
			err = fmt.Errorf("it returned %.100q, which it was not given or has returned before", name)
		} else {
			given[name] = false
			names = append(names, name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("pool %q: %w: %w", p.Handle, ErrPolicy, err)
	}
	return names, nil
}

// call calls the application.
func call(sort func([]Values) []Values, values []Values) (sorted []Values, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panicked: %.200s", fmt.Sprint(r))
		}
	}()
	return sort(values), nil
}

// values are those of the members that may be chosen now. There are none if another's order comes before the policy.
func (p *Pool) values(now time.Time, w Wish) (values []Values) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.preferred(now, w) != nil {
		return nil
	}
	for _, h := range []health{alive, again} {
		for i := range p.elements {
			if m := &p.elements[i]; w.may(m, h, now) {
				values = append(values, Values{m.Name, m.Weight, m.Priority, m.Load, m.Degradation, m.given})
			}
		}
		if values != nil {
			break
		}
	}
	return values
}

// indexes are where the members of these names are. It is called with p.mu held.
func (p *Pool) indexes(names []string) (all []int) {
	if names == nil {
		return nil
	}
	at := make(map[string]int, len(p.elements))
	for i := range p.elements {
		at[p.elements[i].Name] = i
	}
	for _, name := range names {
		if i, ok := at[name]; ok {
			all = append(all, i)
		}
	}
	return all
}
