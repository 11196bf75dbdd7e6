package pool

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// churn is a pool of weighted turns in which a, b and c stay, with weights 5, 3 and 1, while others of weight 2 come and go.
type churn struct {
	p      *Pool
	random *rand.Rand
	others []Element
	next   int
}

func newChurn(policy Policy) *churn {
	c := &churn{p: New("p", policy, nil), random: rand.New(rand.NewPCG(1, 2))}
	c.told()
	return c
}

// come has one more element come, go has any go that is not to stay.
func (c *churn) come() {
	c.next++
	c.others = append(c.others, Element{Name: fmt.Sprint("x", c.next), Weight: 2})
}

func (c *churn) go1() {
	if n := len(c.others); n > 0 {
		i := c.random.IntN(n)
		c.others = slices.Delete(c.others, i, i+1)
	}
}

func (c *churn) told() {
	c.p.Update(append([]Element{{Name: "a", Weight: 5}, {Name: "b", Weight: 3}, {Name: "c", Weight: 1}}, c.others...))
}

// Whoever comes and goes, and however often: those that stay have their shares of all that was there at each turn, and so have those that
// come and go.
func TestSharesWhileElementsComeAndGo(t *testing.T) {
	for name, change := range map[string]func(c *churn, turn int){
		"another one each turn": func(c *churn, turn int) { c.go1(); c.come(); c.told() },
		"another one each 4 turns, at once": func(c *churn, turn int) {
			if turn%4 == 0 {
				c.go1()
				c.come()
				c.told()
			}
		},
		"one goes, then one comes": func(c *churn, turn int) {
			switch turn % 7 {
			case 0:
				c.go1()
				c.told()
			case 3:
				c.come()
				c.told()
			}
		},
		"by chance": func(c *churn, turn int) {
			switch n := c.random.IntN(10); {
			case n == 0 && len(c.others) < 20:
				c.come()
				c.told()
			case n == 1:
				c.go1()
				c.told()
			}
		},
		"they fail and come back, too": func(c *churn, turn int) {
			if c.random.IntN(3) == 0 {
				c.go1()
				c.come()
				c.told()
			}
			c.p.Alive("a")
			if turn%100 < 30 {
				c.p.Failed(start, "a")
			}
		},
		"other weights": func(c *churn, turn int) {
			for i := range c.others {
				c.others[i].Weight = uint32(1 + c.random.IntN(1000)*(turn/50%2))
			}
			if turn%5 == 0 {
				c.come()
				c.told()
			} else if turn%5 == 2 {
				c.go1()
				c.told()
			}
		},
	} {
		for _, policy := range []Policy{WeightedRoundRobin, Priority} {
			c := newChurn(policy)
			counts, shares := make(map[string]float64), make(map[string]float64)
			for turn := range 20_000 {
				change(c, turn)
				sum := 0.0
				for _, s := range c.p.States() {
					if s.Failures == 0 {
						sum += float64(s.Weight)
					}
				}
				for _, s := range c.p.States() {
					if s.Failures == 0 {
						shares[s.Name[:1]] += float64(s.Weight) / sum
					}
				}
				e, _, _ := c.p.Choose(start)
				counts[e.Name[:1]]++
			}
			for who, share := range shares {
				if off := math.Abs(counts[who] - share); off > 4+0.002*share {
					t.Errorf("%v, %s: %s has %.0f turns, and its share is %.1f", policy, name, who, counts[who], share)
				}
			}
		}
	}
}

// However the pool is played with, what is owed stays within bounds, and nothing is kept of priorities that nobody has.
func TestCreditStaysSmall(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, policy := range []Policy{WeightedRoundRobin, Priority} {
		p := New("p", policy, nil)
		for round := range 500 {
			var elements []Element
			for i := range 1 + random.IntN(40) {
				if random.IntN(3) > 0 {
					weight := []uint32{0, 1, 7, 1000, math.MaxUint32}[random.IntN(5)]
					elements = append(elements, Element{Name: fmt.Sprint(i), Weight: weight, Priority: random.Uint32N(3) + uint32(round)})
				}
			}
			p.Update(elements)
			for range random.IntN(50) {
				p.ChooseFor(start, Wish{Not: func(string) bool { return random.IntN(round%5+1) > 1 }})
			}
			p.Update(elements[:len(elements)/2])
			for i := range p.elements {
				if m := &p.elements[i]; m.credit > mostOwed || m.credit < -mostOwed || m.joins {
					t.Fatalf("round %d: element %d is owed %.1f turns", round, i, float64(m.credit)/turn)
				}
			}
			for class, owed := range p.owed {
				if owed > mostLeft || owed < -mostLeft || policy == Priority && (class < uint32(round) || class > uint32(round)+2) {
					t.Fatalf("round %d: %.1f turns are left of priority %d", round, float64(owed)/turn, class)
				}
			}
		}
	}
}

// Elements that fail for a long time, or are of no use to most sessions, come back into step with the others at once.
func TestTurnsAfterFailure(t *testing.T) {
	p := with(WeightedRoundRobin, weight, 1000, 1, 1)
	choices(p, start, 500)
	p.Failed(start, "a") // b and c have been given nothing, or one turn: that was in turns of the large sum
	got := choices(p, start, 20)
	if n := strings.Count(got, "b"); n < 9 || n > 11 {
		t.Errorf("of equals: %s", got)
	}
}
