// Package dnstest runs real name servers for tests.
package dnstest

import (
	"testing"
	"time"
)

// WaitFor polls until it is so, with a deadline.
func WaitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in 30 s not seen: %s", what)
		}
	}
}
