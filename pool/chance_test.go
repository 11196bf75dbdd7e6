package pool

import (
	"math"
	"testing"
)

const draws = 100_000

// critical are the values that chi-square passes once in 1,000 times by chance, by degrees of freedom.
var critical = map[int]float64{1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 7: 24.32, 15: 37.70, 24: 51.18}

// seeded is the pool with a fixed seed.
func seeded(p *Pool) *Pool {
	p.Seed([16]byte{1, 2, 3, 15: 4})
	return p
}

// chiSquare is how far the counts are from the shares, and its degrees of freedom. A share of 0 must have no count.
func chiSquare(t *testing.T, counts []int, shares []float64) (x float64, freedom int) {
	t.Helper()
	var n int
	var all float64
	for i := range counts {
		n, all = n+counts[i], all+shares[i]
	}
	freedom = -1
	for i, c := range counts {
		expected := float64(n) * shares[i] / all
		if expected == 0 {
			if c != 0 {
				t.Errorf("element %d was drawn %d times: it has no share", i, c)
			}
			continue
		}
		freedom++
		x += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	return x, freedom
}

// fits checks that the counts are what the shares say.
func fits(t *testing.T, what string, counts []int, shares []float64) {
	t.Helper()
	x, freedom := chiSquare(t, counts, shares)
	limit, ok := critical[freedom]
	if !ok {
		t.Fatalf("%s: no critical value for %d degrees of freedom", what, freedom)
	}
	t.Logf("%s: chi-square %.2f with %d degrees of freedom, at most %.2f: %v", what, x, freedom, limit, counts)
	if x > limit {
		t.Errorf("%s: chi-square %.2f, at most %.2f: %v", what, x, limit, counts)
	}
}

// drawn counts the choices, by element.
func drawn(t *testing.T, p *Pool) []int {
	t.Helper()
	counts := make([]int, len(p.elements))
	for range draws {
		e, _, ok := p.Choose(start)
		if !ok {
			t.Fatal("nobody")
		}
		counts[e.Name[0]-'a']++
	}
	return counts
}

// RFC 5356 §4.3, §4.4.2, §5.4.1: each element has its share of the draws.
func TestShares(t *testing.T) {
	even := []float64{1, 1, 1, 1, 1}
	fits(t, "random", drawn(t, seeded(with(Random, weight, 9, 0, 1, 1, 1))), even)
	weighted := drawn(t, seeded(with(WeightedRandom, weight, 1, 2, 3, 0, 10, 84)))
	fits(t, "weighted_random", weighted, []float64{1, 2, 3, 0, 10, 84})
	fits(t, "weighted_random of ones", drawn(t, seeded(with(WeightedRandom, weight, 1, 1, 1, 1, 1))), even)
	fits(t, "the largest weights", drawn(t, seeded(with(WeightedRandom, weight, math.MaxUint32, math.MaxUint32, math.MaxUint32/2))), []float64{2, 2, 1})
	tenth := uint32(math.MaxUint32 / 10)
	fits(t, "randomized_least_used", drawn(t, seeded(with(RandomizedLeastUsed, load, 0, 5*tenth, 9*tenth, math.MaxUint32))), []float64{10, 5, 1, 0})
	full := uint32(math.MaxUint32)
	fits(t, "all at full load", drawn(t, seeded(with(RandomizedLeastUsed, load, full, full, full, full, full))), even)

	wants(t, seeded(with(RandomizedLeastUsed, load, full, full-1)), "bbbbbbbbbbbb")

	p := seeded(with(WeightedRandom, weight, 1, 2, 3, 4))
	p.Failed(start, "c")
	fits(t, "one has failed", drawn(t, p), []float64{1, 2, 0, 4})

	if x, freedom := chiSquare(t, weighted, []float64{1, 2, 3.3, 0.0001, 10, 84}); x < critical[freedom-1] { // the test can fail
		t.Errorf("a share that is 10 %% too large passes: %.2f", x)
	}
}

// Draws do not depend on those before: pairs of them have their shares, too.
func TestPairs(t *testing.T) {
	p := seeded(with(Random, weight, 1, 1, 1, 1, 1))
	counts, shares := make([]int, 25), make([]float64, 25)
	for i := range shares {
		shares[i] = 1
	}
	for range draws {
		a, _, _ := p.Choose(start)
		b, _, _ := p.Choose(start)
		counts[5*(a.Name[0]-'a')+b.Name[0]-'a']++
	}
	fits(t, "pairs", counts, shares)
}

// RFC 5356 §4.4.2: of several at once none is named twice, and the second has its share of what is left.
func TestSharesOfTheSecond(t *testing.T) {
	weights := []float64{1, 2, 3, 4, 0}
	p := seeded(with(WeightedRandom, weight, 1, 2, 3, 4, 0))
	first, second := make([]int, 5), make([]int, 5)
	for range draws {
		elements, err := p.Resolve(start, 2)
		if err != nil || len(elements) != 2 || elements[0].Name == elements[1].Name {
			t.Fatalf("%+v, %v", elements, err)
		}
		first[elements[0].Name[0]-'a']++
		second[elements[1].Name[0]-'a']++
	}
	shares := make([]float64, 5)
	for i, a := range weights {
		for j, b := range weights {
			if i != j {
				shares[j] += a / 10 * b / (10 - a)
			}
		}
	}
	fits(t, "the first of two", first, weights)
	fits(t, "the second of two", second, shares)
}

// The same seed draws the same, another one does not, so that sidecars do not all choose alike.
func TestSeeds(t *testing.T) {
	for _, policy := range Standard() {
		by := func(seed [16]byte) string {
			p := sized(policy, 9)
			p.Seed(seed)
			return choices(p, start, 100)
		}
		want := by([16]byte{7: 1, 8: 1})
		if again := by([16]byte{7: 1, 8: 1}); again != want {
			t.Errorf("%v:\n%s\n%s", policy, want, again)
		}
		for _, seed := range [][16]byte{{}, {7: 1}, {8: 1}, {7: 1, 8: 1, 15: 1}, {0: 1, 7: 1, 8: 1}} {
			if other := by(seed); (other != want) != policy.Draws() {
				t.Errorf("%v, %v:\n%s\n%s", policy, seed, want, other)
			}
		}
	}
}

// A predicate that changes its mind while it is asked is answered by nobody, not by a panic.
func TestMindChanges(t *testing.T) {
	p := with(WeightedRandom, weight, 1, 1, 1)
	calls := 0
	r := p.round(start, &Wish{Not: func(string) bool { calls++; return calls > 3 }}, nil)
	if i := r.pick(); i != -1 {
		t.Errorf("%d", i)
	}
}
