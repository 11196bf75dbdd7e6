package workload

import (
	"context"
	"testing"
	"time"
)

// A hold happens once, until it is said that it shall happen again.
func TestHoldsAgain(t *testing.T) {
	h, r := Holds{t.TempDir()}, &Request{Session: 5, Number: 3}
	if err := h.Again(r); err != nil {
		t.Fatal("what was never held:", err)
	}
	if !h.begin(r) || h.begin(r) {
		t.Fatal("it is to be held once")
	}
	if err := h.Again(r); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	if h.Wait(ctx, r) == nil {
		t.Error("nobody holds it")
	}
	if !h.begin(r) {
		t.Error("it is not held again")
	}
}
