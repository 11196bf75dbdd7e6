//go:build linux

package sctplab

import (
	"testing"
	"time"
)

// Package registrar registers at a real registrar, and resolves.
func TestRegistrar(t *testing.T) {
	l := Open(t)
	s := Named("registrar")
	s.Programs = append([]string{Build(t, "./handlespace")}, Rsplib...)
	r := l.Run(t, s)
	r.Check(t)
}

func TestTakeover(t *testing.T) {
	l := Open(t)
	s := Named("takeover")
	s.Programs = append([]string{Build(t, "./handlespace")}, Rsplib...)
	s.Limit = 90 * time.Second
	r := l.Run(t, s)
	r.Check(t)
}
