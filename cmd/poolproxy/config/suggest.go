package config

import (
	"bytes"
	"slices"
)

// nearest is the name that was probably meant: one of the same letters in another order, or the one fewest typing errors away, if they
// are few for its length. "" is none.
func nearest(given string, names []string) string {
	best, found := 3, ""
	for _, name := range names {
		if len(given) == len(name) && bytes.Equal(letters(given), letters(name)) {
			return name
		}
		if d := distance(given, name); d < best && d <= max((len(name)+1)/3, 1) {
			best, found = d, name
		}
	}
	return found
}

// letters are those of a word, in order.
func letters(s string) []byte {
	b := []byte(s)
	slices.Sort(b)
	return b
}

// distance is the number of characters to add, drop or change to make one word the other (Levenshtein). It is for the short names
// of a configuration; one that is absurdly long is far from all of them.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
