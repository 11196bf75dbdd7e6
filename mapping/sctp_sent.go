package mapping

// sctpSent remembers the Context of every message that the kernel was given and may give back. The kernel knows a message by a number
// of 32 bits (its "context", RFC 6458 §5.3.4); numbers begin with 1.
type sctpSent struct {
	first    uint32 // number of contexts[0], less 1
	contexts []sctpContext
	before   uint32          // the last number that was sent when the kernel had nothing more to tell
	returned map[uint32]bool // numbers that the kernel has given back of a lost association; true: it was on the wire
	over     bool            // nothing more is given back
}

type sctpContext struct {
	context uint64
	ours    bool // a message of the mapping itself, or one whose lifetime is over
}

// number is that of the message which is sent next.
func (s *sctpSent) number() uint32 { return s.first + uint32(len(s.contexts)) + 1 }

// push adds the message that was sent. The kernel's buffer has no room for as many as are remembered.
func (s *sctpSent) push(context uint64, ours bool) {
	if len(s.contexts) == sctpRing {
		n := copy(s.contexts, s.contexts[sctpRing/2:])
		s.contexts = s.contexts[:n]
		s.first += sctpRing / 2
	}
	s.contexts = append(s.contexts, sctpContext{context, ours})
}

// told notes that the kernel has nothing more to tell.
func (s *sctpSent) told() { s.before = s.first + uint32(len(s.contexts)) }

// dry notes that the kernel has said: all are acknowledged, and reports whether that is news. It may have said so before the latest ones
// were sent; all that were sent when it had last told everything are meant for certain.
func (s *sctpSent) dry() (news bool) {
	n := int(int32(s.before - s.first))
	if n <= 0 {
		return false
	}
	s.first = s.before
	s.contexts = s.contexts[:copy(s.contexts, s.contexts[n:])]
	if len(s.contexts) == 0 && cap(s.contexts) > 256 {
		s.contexts = nil
	}
	return true
}

// failed notes a message, or a part of one, that the kernel gives back. Unless the association is lost, its lifetime is over.
func (s *sctpSent) failed(n *notification, lost bool) {
	if !lost {
		if i := n.context - s.first - 1; i < uint32(len(s.contexts)) {
			s.contexts[i].ours = true
		}
		return
	}
	if s.returned == nil {
		s.returned = make(map[uint32]bool)
	}
	s.returned[n.context] = s.returned[n.context] || n.sent
}

// left lists what was not acknowledged, in the order it was sent: as long as the kernel has not said, all that it has.
func (s *sctpSent) left() (left Retrieved) {
	for i, c := range s.contexts {
		sent, back := s.returned[s.first+uint32(i)+1]
		switch {
		case c.ours || s.over && !back:
		case back && !sent:
			left.Unsent = append(left.Unsent, c.context)
		default:
			left.Unacknowledged = append(left.Unacknowledged, c.context)
		}
	}
	return left
}
