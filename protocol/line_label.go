package protocol

import (
	"fmt"
	"math/bits"
)

// sizeLabels are ready-made labels for messages by the power of two that holds them, so that a label costs no allocation.
type sizeLabels [65]string

func newSizeLabels(word string) *sizeLabels {
	var l sizeLabels
	for i := range l {
		switch {
		case i < 10:
			l[i] = fmt.Sprintf("%s of up to %d bytes", word, 1<<i)
		case i < 20:
			l[i] = fmt.Sprintf("%s of up to %d KiB", word, 1<<(i-10))
		case i < 63:
			l[i] = fmt.Sprintf("%s of up to %d MiB", word, 1<<(i-20))
		default:
			l[i] = word + " of any size"
		}
	}
	return &l
}

// of returns the label for a message of n bytes, n > 0.
func (l *sizeLabels) of(n int64) string { return l[bits.Len64(uint64(n-1))] }
