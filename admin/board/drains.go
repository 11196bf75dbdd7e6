package board

import (
	"cmp"
	"slices"
)

// Drain is an element that is being drained: a row of the table of drains.
type Drain struct {
	Element  string   `json:"element"`
	Why      string   `json:"why"`
	Pools    []string `json:"pools"`    // that have it
	Own      bool     `json:"own"`      // it is a pool_element of this process
	Sessions int      `json:"sessions"` // of this process's pool_users that are still there
	Legs     int      `json:"legs"`     // of others', at the pool_element
	Reasons  []Reason `json:"reasons"`  // why these are still there; Protection is ""
}

// Drains are the elements that are drained, by name.
func (v *View) Drains() []Drain {
	all := map[string]*Drain{}
	named := func(name string) *Drain {
		if all[name] == nil {
			all[name] = &Drain{Element: name, Pools: []string{}}
		}
		return all[name]
	}
	for i := range v.Elements {
		if e := &v.Elements[i]; e.Draining != "" {
			d := named(e.Name)
			d.Why = cmp.Or(d.Why, e.Draining)
			d.Pools = append(d.Pools, e.Pool)
		}
	}
	for _, s := range v.Sides {
		if s.Drained {
			d := named(s.Name)
			d.Own, d.Legs, d.Why = true, s.Sessions+s.Held, cmp.Or(d.Why, "it was asked for at this sidecar")
		}
	}
	if len(all) == 0 {
		return nil
	}
	why, short := map[string]map[Reason]int{}, shortener{}
	for i := range v.Sessions {
		s := &v.Sessions[i]
		d := all[s.Element]
		if d == nil || s.Leaves == "" {
			continue
		}
		d.Sessions++
		if why[s.Element] == nil {
			why[s.Element] = map[Reason]int{}
		}
		why[s.Element][Reason{Reason: short.of(cmp.Or(s.Stays, "it is about to leave"))}]++
	}
	var rows []Drain
	for name, d := range all {
		d.Reasons = append([]Reason{}, counted(why[name])...) // a list also where there are none
		rows = append(rows, *d)
	}
	slices.SortFunc(rows, func(a, b Drain) int { return cmp.Compare(a.Element, b.Element) })
	return rows[:min(len(rows), mostRows)]
}
