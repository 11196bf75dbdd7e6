// Package verdicts has a test of every fate, to see that each comes out of the lab as what it is.
package verdicts

import (
	"fmt"
	"os"
	"testing"
)

func TestPass(t *testing.T) {
	fmt.Println("printed")
	if content, err := os.ReadFile("testdata/word"); err != nil || string(content) != "here\n" {
		t.Errorf("testdata: %q, %v", content, err)
	}
}

func TestSkip(t *testing.T) { t.Skip("a reason") }

func TestFail(t *testing.T) {
	t.Run("good", func(*testing.T) {})
	t.Run("bad", func(t *testing.T) { t.Error("a fault") })
}

// TestRace passes, unless the race detector is there and works.
func TestRace(t *testing.T) {
	n, done := 0, make(chan struct{})
	go func() {
		n++
		close(done)
	}()
	n++
	<-done
}

func TestPanic(t *testing.T) {
	if os.Getenv("PANIC") != "" {
		panic("a panic")
	}
}
