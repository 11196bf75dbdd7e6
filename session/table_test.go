package session

import "testing"

// An association may have fewer streams than numbers exist: none of the others is given away, and those that are free are used again.
func TestTableOfFewStreams(t *testing.T) {
	for most, want := range map[int]int{1: 0, 4: 3, 300: 299, 0: 65535, 65536: 65535} {
		x := table[int]{most: most}
		n := 0
		for {
			stream, ok := x.add(new(int))
			if !ok {
				break
			}
			if n++; int(stream) != n {
				t.Fatalf("of %d: stream %d is the %dth", most, stream, n)
			}
		}
		if n != want {
			t.Errorf("of %d streams %d were given away, want %d", most, n, want)
		}
		if n > 0 {
			x.remove(1, true)
			if stream, ok := x.add(new(int)); !ok || stream != 1 {
				t.Errorf("of %d: got stream %d, %v again, not 1", most, stream, ok)
			}
		}
	}
}
