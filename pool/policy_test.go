package pool

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// sized is a pool of n elements e0, e1 …, of different values.
func sized(policy Policy, n int) *Pool {
	var elements []Element
	for i := range n {
		elements = append(elements, Element{Name: fmt.Sprint("e", i), Priority: uint32(i * 7 % 11), Weight: uint32(1 + i*5%13), Load: uint32(i*3%17) << 20,
			Degradation: uint32(1 + i%5)})
	}
	return New("sized", policy, elements)
}

// with is a pool of elements a, b … that are made by the given function from their values.
func with(policy Policy, set func(e *Element, value uint32), values ...uint32) *Pool {
	var elements []Element
	for i, v := range values {
		e := Element{Name: string(rune('a' + i)), Weight: 1}
		set(&e, v)
		elements = append(elements, e)
	}
	return New("p", policy, elements)
}

func weight(e *Element, v uint32)   { e.Weight = v }
func priority(e *Element, v uint32) { e.Priority = v }
func load(e *Element, v uint32)     { e.Load = v }

// resolve is the answer to a handle resolution, as the names of the elements.
func resolve(t *testing.T, p *Pool, most int) string {
	t.Helper()
	elements, err := p.Resolve(start, most)
	if err != nil {
		t.Error(err)
	}
	var b strings.Builder
	for _, e := range elements {
		b.WriteString(e.Name)
	}
	return b.String()
}

// wants checks choices one after the other.
func wants(t *testing.T, p *Pool, want string) {
	t.Helper()
	if got := choices(p, start, len(want)); got != want {
		t.Errorf("%v: %s, not %s", p.Policy(), got, want)
	}
}

// wantsList checks answers to handle resolutions one after the other.
func wantsList(t *testing.T, p *Pool, most int, want ...string) {
	t.Helper()
	for i, w := range want {
		if got := resolve(t, p, most); got != w {
			t.Errorf("%v, answer %d: %s, not %s", p.Policy(), i+1, got, w)
		}
	}
}

// RFC 5356 §4.1.2: the list begins at the head, which advances by one with each answer.
func TestRoundRobinLists(t *testing.T) {
	p := of(RoundRobin, "abcd")
	wantsList(t, p, 9, "abcd", "bcda", "cdab")
	wantsList(t, p, 2, "da", "ab")
	wants(t, p, "bcd")
	wantsList(t, p, 0, "", "")
	wantsList(t, p, -1, "")
	p.Failed(start, "b")
	wantsList(t, p, 9, "acd", "cda", "dac")
}

// RFC 5356 §4.5.2: decreasing; §4.5.3: the highest that is active.
func TestPriorityLists(t *testing.T) {
	p := with(Priority, priority, 0, 3, math.MaxUint32, 3, 1)
	wantsList(t, p, 9, "cbdea", "cbdea")
	wantsList(t, p, 2, "cb")
	p.Failed(start, "c")
	wantsList(t, p, 9, "bdea", "dbea", "bdea")
	wants(t, p, "dbdb")
}

// valued is a pool of elements a, b … with these priorities and weights.
func valued(values ...[2]uint32) *Pool {
	var elements []Element
	for i, v := range values {
		elements = append(elements, Element{Name: string(rune('a' + i)), Priority: v[0], Weight: v[1]})
	}
	return New("p", Priority, elements)
}

// RFC 2782: those of the best priority take turns by their weights, those of a worse one none while one of the best is alive.
func TestPriorityWeights(t *testing.T) {
	p := valued([2]uint32{9, 5}, [2]uint32{1, 2}, [2]uint32{9, 1}, [2]uint32{1, 1}, [2]uint32{9, 1})
	wants(t, p, "aacaeaaaacaeaa") // weights 5, 1, 1, as in TestWeightedRoundRobinOfOnes
	p.Failed(start, "a")
	wants(t, p, "cece")
	p.Failed(start, "c")
	p.Failed(start, "e")
	wants(t, p, "bdbbdb")
	p.Alive("a")
	wants(t, p, "aaa")
	p.Alive("c")
	p.Alive("e")
	if got := choices(p, start, 7000); strings.Count(got, "a") < 4995 || strings.Count(got, "a") > 5000 || strings.Count(got, "c") < 995 {
		t.Errorf("a %d, c %d of 7000", strings.Count(got, "a"), strings.Count(got, "c"))
	}
	retell(p, Element{Name: "b", Priority: 9, Weight: 2}) // it rises
	if got := choices(p, start, 9); strings.Count(got, "b") != 2 || strings.Count(got, "a") != 5 {
		t.Errorf("b has risen: %s", got)
	}
}

// RFC 2782: weight 0 is a very small chance beside others, equality where nobody has more, and a service all the same.
func TestPriorityWeightOfNothing(t *testing.T) {
	p := valued([2]uint32{1, 0}, [2]uint32{1, 3}, [2]uint32{1, 1})
	if got := choices(p, start, 401); strings.Count(got, "a") != 1 || strings.Count(got, "b") != 300 || strings.Count(got, "c") != 100 {
		t.Errorf("a %d, b %d, c %d of 401", strings.Count(got, "a"), strings.Count(got, "b"), strings.Count(got, "c"))
	}
	p.Failed(start, "b")
	p.Failed(start, "c")
	wants(t, p, "aa")
	wants(t, valued([2]uint32{1, 0}, [2]uint32{1, 0}, [2]uint32{0, 7}), "abab")
	p = valued([2]uint32{1, math.MaxUint32}, [2]uint32{1, math.MaxUint32}, [2]uint32{1, 0})
	if got := choices(p, start, 10_000); strings.Count(got, "a") != 5000 {
		t.Errorf("the largest weights: %d of a", strings.Count(got, "a"))
	}
}

func TestReads(t *testing.T) {
	for _, p := range append(Standard(), Application) {
		for _, value := range []string{"weight", "priority", "load", "degradation"} {
			if got := p.Reads(value); got != (slices.Contains(p.Needs(), value) || p == Priority && value == "weight") {
				t.Errorf("%v reads %s: %t", p, value, got)
			}
		}
	}
	if Priority.Reads("load") || RoundRobin.Reads("weight") || !Priority.Reads("priority") || slices.Contains(Priority.Needs(), "weight") {
		t.Error("what is told on the wire is RFC 5356's, what is read is more")
	}
}

// RFC 5356 §5.1.2: ascending by load, none twice, in turn where the load is equal.
func TestLeastUsed(t *testing.T) {
	p := with(LeastUsed, load, 5, 2, 9, 2, 2)
	wantsList(t, p, 9, "bdeac", "debac", "ebdac", "bdeac")
	wants(t, p, "debdeb")
	p.Failed(start, "d")
	wants(t, p, "ebeb")
	retell(p, Element{Name: "c", Load: 1})
	wants(t, p, "cccc")
	wantsList(t, p, 3, "ceb")
	wants(t, with(LeastUsed, load, math.MaxUint32, math.MaxUint32-1), "bbb")
}

// RFC 5356 §5.3.1 has this example: 50 % and 10 % more come before 50 % and 50 % more. The sums pass 32 bits.
func TestPriorityLeastUsed(t *testing.T) {
	half, tenth := uint32(math.MaxUint32/2), uint32(math.MaxUint32/10)
	p := New("p", PriorityLeastUsed, []Element{{Name: "b", Load: half, Degradation: half}, {Name: "a", Load: half, Degradation: tenth},
		{Name: "d", Load: math.MaxUint32, Degradation: math.MaxUint32}, {Name: "c", Load: math.MaxUint32, Degradation: 1},
		{Name: "A", Load: tenth, Degradation: half}})
	wantsList(t, p, 9, "aAbcd", "Aabcd", "aAbcd")
	wants(t, p, "AaAa")
}

// RFC 5356 §5.2.2: load + counter × degradation; the counter is 0 after a registration, and counts each time that it is handed out.
func TestLeastUsedDegradation(t *testing.T) {
	p := New("p", LeastUsedDegradation, []Element{{Name: "a", Load: 10, Degradation: 5}, {Name: "b", Load: 12, Degradation: 20}})
	wants(t, p, "abaaaaba") // a 10; b 12; a 15, 20, 25, 30 (b is at 32); b 32; a 35
	retell(p, Element{Name: "a", Load: 10, Degradation: 5})
	wants(t, p, "aaaaaaaaa") // b is at 52
	p = New("p", LeastUsedDegradation, []Element{{Name: "a", Degradation: 3}, {Name: "b", Degradation: 3}, {Name: "c", Load: 4, Degradation: 1}})
	wantsList(t, p, 2, "ab", "ba") // each answer counts for both
	wantsList(t, p, 9, "cab")      // 4, 6, 6
	if got := p.elements[0].given; got != 3 {
		t.Errorf("a was handed out %d times", got)
	}
	p = New("p", LeastUsedDegradation, []Element{{Name: "a", Degradation: math.MaxUint32, Load: math.MaxUint32}, {Name: "b"}})
	p.elements[0].given = math.MaxUint32 // the largest sum is none too many
	wants(t, p, "bbb")
	if m := &p.elements[0]; m.cost(p.policy) != math.MaxUint32*(math.MaxUint32+1) {
		t.Errorf("%d", m.cost(p.policy))
	}
	p.Failed(start, "b")
	wants(t, p, "aa")
	if p.elements[0].given != math.MaxUint32 {
		t.Error("the counter went round")
	}
}

// An element that was away for long is not given everything when it is back, though nobody has registered anew.
func TestDegradationKeepsPace(t *testing.T) {
	p := New("p", LeastUsedDegradation, []Element{{Name: "a", Degradation: 1}, {Name: "b", Degradation: 1}, {Name: "c", Degradation: 1}})
	p.Failed(start, "a")
	if got := choices(p, start, 1000); strings.Contains(got, "a") || strings.Count(got, "b") != 500 {
		t.Errorf("%d of b", strings.Count(got, "b"))
	}
	if a, b := p.elements[0].given, p.elements[1].given; a != 499 || b != 500 { // it would be next
		t.Errorf("a counts as given %d times, b %d", a, b)
	}
	p.Alive("a")
	if got := strings.Count(choices(p, start, 30), "a"); got < 10 || got > 12 {
		t.Errorf("a is back and gets %d of 30", got)
	}
	before := p.elements[0].given
	for range 30 { // a is well, and only of no use to these sessions
		p.ChooseFor(start, Wish{Not: func(name string) bool { return name == "a" }})
	}
	if got := p.elements[0].given; got != before {
		t.Errorf("a was passed over by others' wish, and counts as given %d times, not %d", got, before)
	}
}

// RFC 5356 §4.2.1: with all weights 1 it is round robin.
func TestWeightedRoundRobinOfOnes(t *testing.T) {
	a, b := with(RoundRobin, weight, 1, 1, 1, 1, 1), with(WeightedRoundRobin, weight, 1, 1, 1, 1, 1)
	if x, y := choices(a, start, 50), choices(b, start, 50); x != y {
		t.Errorf("%s\n%s", x, y)
	}
	wants(t, with(WeightedRoundRobin, weight, 5, 1, 1), "aabacaaaabacaa")
	wantsList(t, with(WeightedRoundRobin, weight, 1, 5, 3), 9, "bca", "cba", "bac", "acb")
}

// RFC 5356 §4.2.2: in each round an element has as many turns as its weight, and they are spread evenly: it is never a whole turn ahead of
// its share, and with so few elements never two behind.
func TestWeightedRoundRobinIsSmooth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		weights, sum := make([]uint32, 1+random.IntN(8)), 0
		for i := range weights {
			weights[i] = uint32(random.IntN(20))
			sum += int(weights[i])
		}
		p := with(WeightedRoundRobin, weight, weights...)
		counts := make([]int, len(weights))
		for n := range 3 * sum {
			e, _, ok := p.Choose(start)
			if !ok {
				t.Fatalf("%v: nobody", weights)
			}
			counts[e.Name[0]-'a']++
			for i, c := range counts {
				if ahead := float64(c) - float64(n+1)*float64(weights[i])/float64(sum); ahead >= 1 || ahead <= -2 {
					t.Fatalf("%v: after %d choices %d of %d, ahead by %v", weights, n+1, c, i, ahead)
				}
			}
		}
		for i, c := range counts {
			if c != 3*int(weights[i]) {
				t.Fatalf("%v: %v", weights, counts)
			}
		}
	}
}

// An element that was away, or whose weight changes, brings the round out of step for nobody: what each was owed it is still owed.
func TestWeightedRoundRobinChanges(t *testing.T) {
	p := with(WeightedRoundRobin, weight, 1000, 1, 1)
	choices(p, start, 300)
	retell(p, Element{Name: "a", Weight: 1}) // b and c were owed nearly a third of a turn each
	wants(t, p, "bcabca")
	retell(p, Element{Name: "b", Weight: 1, Priority: 3})
	p.Choose(start)
	retell(p, Element{Name: "b", Weight: 1}) // the weight is what it was
	wants(t, p, "cabc")
	p.Failed(start, "c")
	wants(t, p, "abab")
	choices(p, start, 1000)
	p.Alive("c")
	if got := choices(p, start, 6); strings.Count(got, "c") > 3 || strings.Count(got, "c") < 2 {
		t.Errorf("c is back: %s", got)
	}
	p = with(WeightedRoundRobin, weight, math.MaxUint32, math.MaxUint32, 1)
	if got := choices(p, start, 10_000); strings.Count(got, "a") != 5000 {
		t.Errorf("the largest weights: %d of a", strings.Count(got, "a"))
	}
}

// RFC 5356 §3.2: an element of weight 0 gives no service, not even when it is the only one.
func TestWeightOfNothing(t *testing.T) {
	for _, policy := range []Policy{WeightedRoundRobin, WeightedRandom} {
		p := with(policy, weight, 0, 2, 0)
		wants(t, p, "bbb")
		wantsList(t, p, 9, "b")
		if p.Others(start, "b") || !p.Others(start, "a") {
			t.Errorf("%v: who else is there?", policy)
		}
		p.Failed(start, "b")
		p.Failed(start, "b")
		p.Failed(start, "a") // which nobody waits for
		if _, wait, ok := p.Choose(start); ok || wait != 2*FirstPause {
			t.Errorf("%v: %v, %t", policy, wait, ok)
		}
		later := start.Add(LastPause)
		if e, ok := p.Suspect(later); !ok || e.Name != "b" {
			t.Errorf("%v: a look at %q", policy, e.Name)
		}
		if e, ok := p.Suspect(later); ok {
			t.Errorf("%v: a look at %q", policy, e.Name)
		}
		p = with(policy, weight, 0, 0)
		if _, wait, ok := p.Choose(start); ok || wait != LastPause {
			t.Errorf("%v: %v, %t", policy, wait, ok)
		}
		if !retell(p, Element{Name: "b", Weight: 1}) || retell(p, Element{Name: "x", Weight: 1}) {
			t.Errorf("%v: who is there?", policy)
		}
		wants(t, p, "bb")
	}
	for _, policy := range []Policy{RoundRobin, Random, Priority, LeastUsed} { // where weight is not looked at
		if got := resolve(t, with(policy, weight, 0, 0), 9); len(got) != 2 {
			t.Errorf("%v: %s", policy, got)
		}
	}
}

// Whatever the policy: no element twice, those that failed only if there is none else, and no time out of turn for a try.
func TestListsOfAll(t *testing.T) {
	for _, policy := range append(Standard(), Application) {
		p := sized(policy, 20)
		p.sort = func(v []Values) []Values { return v }
		p.Failed(start, "e4")
		for range 50 {
			elements, err := p.Resolve(start.Add(LastPause), 100)
			var names []string
			for _, e := range elements {
				names = append(names, e.Name)
			}
			slices.Sort(names)
			if n := len(slices.Compact(names)); err != nil || len(elements) != 19 || n != 19 || slices.Contains(names, "e4") {
				t.Fatalf("%v: %d elements, %v, %v", policy, len(elements), names, err)
			}
		}
		for _, s := range p.States() {
			p.Failed(start, s.Name)
		}
		before := p.States()
		if elements, err := p.Resolve(start, 100); len(elements) != 20 || err != nil {
			t.Errorf("%v: all have failed: %d, %v", policy, len(elements), err)
		}
		for i, s := range p.States() {
			if s.Retry != before[i].Retry {
				t.Errorf("%v: an answer is no try", policy)
			}
		}
	}
}

// The failover order of an element comes before every policy, and counts as a session for the one that it names.
func TestOrderBeforeEveryPolicy(t *testing.T) {
	for _, policy := range append(Standard(), Application) {
		p := ordered(RoundRobin)
		p.policy = policy
		p.sort = func(v []Values) []Values { t.Error("the application is asked"); return v }
		retell(p, Element{Name: "d", Weight: 1, Load: math.MaxUint32})
		retell(p, Element{Name: "c", Weight: 1})
		if c, ok := p.ChooseFor(start, Wish{After: "a"}); !ok || !c.Asked || c.Name != "d" || c.Err != nil || p.elements[3].given != 1 {
			t.Errorf("%v: %+v, given %d", policy, c, p.elements[3].given)
		}
		retell(p, Element{Name: "d", Weight: 0})
		if c, _ := p.ChooseFor(start, Wish{After: "a"}); (c.Name == "c") != (policy == WeightedRoundRobin || policy == WeightedRandom) {
			t.Errorf("%v: d has weight 0, and %s is chosen", policy, c.Name)
		}
	}
}

func TestPolicyNames(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range append(Standard(), Application) {
		if s := p.String(); seen[s] || s == "" {
			t.Errorf("%q", s)
		} else {
			seen[s] = true
		}
	}
	if len(seen) != 10 || Policy(200).String() != "policy 200" || Policy(200).Needs() != nil {
		t.Errorf("%d policies", len(seen))
	}
}

// Shards share a pool of any policy: run with -race.
func TestPoliciesFromManyGoroutines(t *testing.T) {
	for _, policy := range append(Standard(), Application) {
		p := sized(policy, 9)
		p.sort = byLoad
		var g sync.WaitGroup
		for k := range 4 {
			g.Go(func() {
				p.Seed([16]byte{byte(k)})
				for i := range 100 {
					now := start.Add(time.Duration(i) * time.Millisecond)
					e, _, ok := p.Choose(now)
					if ok && i%3 == 0 {
						p.Failed(now, e.Name)
					}
					if list, err := p.Resolve(now, 3); err != nil || len(list) == 0 {
						t.Errorf("%v: %v, %v", policy, list, err)
					}
					retell(p, Element{Name: e.Name, Weight: uint32(1 + i), Load: uint32(i)})
					p.Alive(e.Name)
				}
			})
		}
		g.Wait()
	}
}

// retell has a source tell new values of the element of this name, as at a registration. It is false if there is no such element.
func retell(p *Pool, told Element) (there bool) {
	var elements []Element
	for _, s := range p.States() {
		e := s.Element
		if e.Name == told.Name {
			there = true
			e.Priority, e.Weight, e.Load, e.Degradation = told.Priority, told.Weight, told.Load, told.Degradation
			e.Revision++
		}
		elements = append(elements, e)
	}
	p.Update(elements)
	return there
}
