//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// onReopen calls f for each SIGUSR1, until what it returns is called.
func onReopen(f func()) (end func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1)
	go func() { // ends with the channel; end waits for it
		defer close(done)
		for range signals {
			f()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
