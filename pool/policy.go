package pool

import (
	"fmt"
	"slices"
	"strings"
)

// Policy is a pool member selection policy: the nine of RFC 5356, and the application's own.
type Policy uint8

const (
	RoundRobin           Policy = iota // RFC 5356 §4.1
	Priority                           // §4.5: the element with the largest number that is alive; equals in turn, by their weights
	WeightedRoundRobin                 // §4.2: smooth, see round.took
	Random                             // §4.3
	WeightedRandom                     // §4.4
	LeastUsed                          // §5.1: the least load; in turn where it is equal
	LeastUsedDegradation               // §5.2: the least load + times given × degradation; in turn where it is equal
	PriorityLeastUsed                  // §5.3: the least load + degradation; in turn where it is equal
	RandomizedLeastUsed                // §5.4: WeightedRandom by what is left of each element's load

	Application // a function of the application sorts them (draft-conrad-rserpool-service-00 §5.3), see NewSorted
)

// policies has the word of each policy, and the values of elements that it reads.
var policies = [...]struct {
	word  string
	needs []string
}{
	RoundRobin:           {"round_robin", nil},
	Priority:             {"priority", []string{"priority"}},
	WeightedRoundRobin:   {"weighted_round_robin", []string{"weight"}},
	Random:               {"random", nil},
	WeightedRandom:       {"weighted_random", []string{"weight"}},
	LeastUsed:            {"least_used", []string{"load"}},
	LeastUsedDegradation: {"least_used_degradation", []string{"load", "degradation"}},
	PriorityLeastUsed:    {"priority_least_used", []string{"load", "degradation"}},
	RandomizedLeastUsed:  {"randomized_least_used", []string{"load"}},
	Application:          {"application", []string{"weight", "priority", "load", "degradation"}},
}

func (p Policy) String() string {
	if int(p) < len(policies) {
		return policies[p].word
	}
	return fmt.Sprintf("policy %d", uint8(p))
}

// Needs names the values of elements that the policy is about: "weight", "priority", "load", "degradation". They are those that RFC 5356 has
// it tell. The slice is not to be changed.
func (p Policy) Needs() []string {
	if int(p) < len(policies) {
		return policies[p].needs
	}
	return nil
}

// Reads reports whether the policy looks at that value of elements: what it Needs, and Priority at the weights of equals, too (RFC 2782).
func (p Policy) Reads(value string) bool {
	return slices.Contains(p.Needs(), value) || p == Priority && value == "weight"
}

// Draws reports whether the policy is a matter of chance, so that its pool wants a Seed.
func (p Policy) Draws() bool {
	return p == Random || p == WeightedRandom || p == RandomizedLeastUsed
}

// Standard lists the policies of RFC 5356, in its order.
func Standard() []Policy {
	return []Policy{RoundRobin, WeightedRoundRobin, Random, WeightedRandom, Priority,
		LeastUsed, LeastUsedDegradation, PriorityLeastUsed, RandomizedLeastUsed}
}

// ParsePolicy finds a policy of RFC 5356 by its word. The error lists them.
func ParsePolicy(word string) (Policy, error) {
	var words []string
	for _, p := range Standard() {
		if p.String() == word {
			return p, nil
		}
		words = append(words, p.String())
	}
	return RoundRobin, fmt.Errorf("there is no policy %.100q: the policies are %s", word, strings.Join(words, ", "))
}
