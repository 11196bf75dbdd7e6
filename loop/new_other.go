//go:build !linux

package loop

// New makes the fastest loop that this system has: here, a Goroutines.
func New() (Runner, error) { return NewGoroutines(), nil }
