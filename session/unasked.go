package session

import (
	"fmt"

	"github.com/poolproxy/poolproxy/protocol"
)

// What servers say unasked, and what this side has to tell of itself, is for the client, too; but never in the middle of a reply.

// unasked passes on what answers no request of ours: it is the client's.
func (r *restore) unasked(p []byte, cut protocol.Cut) {
	s := r.s
	s.unasked = s.unasked || !cut.Push
	s.script.pushes(true)
	if s.whole {
		s.pass(r.leg, p)
	} else {
		s.between(p)
	}
	r.advance()
}

// between gives the client what does not belong into the middle of a reply.
func (s *Session) between(p []byte) {
	switch {
	case len(p) == 0:
	case s.partial.Bytes == 0:
		s.tell(p)
	case len(s.behind)+len(p) > maxBehind:
		s.refuse(fmt.Sprintf("the server said more than %d bytes unasked in the middle of a reply", maxBehind))
	default:
		s.behind = append(s.behind, p...)
	}
}

// giveBehind is called between two replies.
func (s *Session) giveBehind() {
	if len(s.behind) > 0 && !s.done {
		p := s.behind
		s.behind = nil
		s.tell(p)
	}
}
