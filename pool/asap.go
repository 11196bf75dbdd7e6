package pool

import (
	"errors"
	"fmt"

	"github.com/poolproxy/poolproxy/asap"
)

var (
	// ErrNoPolicy is wrapped for a policy that RFC 5356 does not have, as a private one of a registrar's: its elements are still good in
	// the order in which they came.
	ErrNoPolicy = errors.New("not a policy of RFC 5356")

	// ErrInconsistent is wrapped for an element whose policy is not its pool's (RFC 5354 §3.12.6).
	ErrInconsistent = errors.New("inconsistent pool policy")
)

// types are the numbers of the policies in ASAP. Application has none.
var types = [...]asap.PolicyType{
	RoundRobin:           asap.RoundRobin,
	Priority:             asap.Priority,
	WeightedRoundRobin:   asap.WeightedRoundRobin,
	Random:               asap.Random,
	WeightedRandom:       asap.WeightedRandom,
	LeastUsed:            asap.LeastUsed,
	LeastUsedDegradation: asap.LeastUsedDegradation,
	PriorityLeastUsed:    asap.PriorityLeastUsed,
	RandomizedLeastUsed:  asap.RandomizedLeastUsed,
}

// PolicyOf is the policy of a pool as ASAP tells it; nil is round robin (RFC 5352 §2.2.6). Its values are nobody's.
func PolicyOf(told *asap.Policy) (Policy, error) {
	if told == nil {
		return RoundRobin, nil
	}
	for p, t := range types {
		if t == told.Kind {
			return Policy(p), nil
		}
	}
	return RoundRobin, fmt.Errorf("%v: %w", told.Kind, ErrNoPolicy)
}

// Take takes the element's values from what ASAP tells of it, in a pool of this policy. After an error they are what they were.
func (e *Element) Take(p Policy, told asap.Policy) error {
	if int(p) >= len(types) {
		return fmt.Errorf("%v: %w", p, ErrNoPolicy)
	}
	if told.Kind != types[p] {
		return fmt.Errorf("element %.100q: %v, the pool has %v: %w", e.Name, told.Kind, p, ErrInconsistent)
	}
	e.Weight, e.Priority, e.Load, e.Degradation = told.Weight, told.Priority, told.Load, told.Degradation
	return nil
}

// Tell is what ASAP tells of the element's values, in a pool of this policy.
func (e *Element) Tell(p Policy) (asap.Policy, error) {
	if int(p) >= len(types) {
		return asap.Policy{}, fmt.Errorf("%v: %w", p, ErrNoPolicy)
	}
	told := asap.Policy{Kind: types[p]}
	for _, name := range p.Needs() {
		switch name {
		case "weight":
			told.Weight = e.Weight
		case "priority":
			told.Priority = e.Priority
		case "load":
			told.Load = e.Load
		case "degradation":
			told.Degradation = e.Degradation
		}
	}
	return told, nil
}
