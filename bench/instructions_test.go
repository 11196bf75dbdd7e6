//go:build linux

package main

import "testing"

func TestSumThreads(t *testing.T) {
	said := "PID 11502: poolproxy run\n\n  Totals:       Ir \n   Th 1  3,832,702 \n   Th 2        967 \n   Th 13 12\n\n sending command\n"
	if n, err := sumThreads(said); n != 3833681 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := sumThreads("no such process"); err == nil {
		t.Error("nothing was summed up")
	}
}
