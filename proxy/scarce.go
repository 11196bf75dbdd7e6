package proxy

import (
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// When the process has too few descriptors left (loop.Rationed) clients wait in the kernel to be accepted, a pool_element refuses legs as if it
// had all that it takes, and what is left is for sessions that move, and half of it for associations, so that sessions can be resumed. It is over
// when others have gone. With mapping none each session has a claim on a descriptor while its server is not connected.

// scarceAgain is how often it is said.
const scarceAgain = 10 * time.Second

// watchDescriptors has it said when there are too few.
func (s *Shard) watchDescriptors() {
	if r, is := s.loop.(loop.Rationed); is {
		r.OnScarce(s.tooFew)
	}
}

// claim keeps n descriptors more back for servers that are yet to be connected to.
func (s *Shard) claim(n int) {
	if r, is := s.loop.(loop.Rationed); is {
		r.Claim(n)
	}
}

// scarce reports whether there are too few.
func (s *Shard) scarce() bool {
	r, is := s.loop.(loop.Rationed)
	if !is || !r.Scarce() {
		return false
	}
	s.tooFew(0)
	return true
}

// tooFew says, not too often, that there are too few, and what helps. most is how many there may be; 0: it is not told.
func (s *Shard) tooFew(most int) {
	now := s.loop.Now()
	if last := s.common.scarce.Load(); last != 0 && now.UnixNano()-last < int64(scarceAgain) {
		return
	}
	s.common.scarce.Store(now.UnixNano())
	var told []any
	if most > 0 {
		told = append(told, "limit", most)
	}
	s.log.Warn("this process has too few descriptors left: who comes anew waits until others have gone; what is left is for sessions that move. "+
		"Give it more (LimitNOFILE of its service, ulimit -n), or lower limits.sessions", append(told, "sessions", s.common.sessions())...)
}
