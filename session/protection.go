package session

import "fmt"

// Protection says whether a session would survive the death of its server at this moment.
type Protection string

const (
	Protected   Protection = "protected"   // it would be moved
	Degraded    Protection = "degraded"    // it could be moved, but there is nowhere to go
	Unprotected Protection = "unprotected" // it would be ended
	Moving      Protection = "moving"      // it has no server at the moment
)

// protection asks the same rules that decide when the server does die.
func (s *Session) protection() (p Protection, reason string) {
	if s.closing {
		return Protected, "" // what is left is between the client and this sidecar
	}
	if s.leg == nil || s.leg.lost || !s.leg.begun {
		return Moving, ""
	}
	s.remember()
	next, err := s.plan(s.leg.highest)
	switch {
	case err != nil:
		return Unprotected, err.Error()
	case len(next.units) > 0:
		return Degraded, fmt.Sprintf("in a transaction since %s: it would fail, and the session go on", s.unitSince.UTC().Format("15:04:05"))
	case len(next.losses) > 0:
		return Degraded, next.losses[0].reason + "; it would be answered by an error, and the session go on"
	}
	if !s.u.c.Pool.Others(s.u.c.Loop.Now(), s.from) {
		return Degraded, "no other element of the pool is believed alive"
	}
	return Protected, ""
}
