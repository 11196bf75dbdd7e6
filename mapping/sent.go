package mapping

// sentRing remembers, for every message that is not yet acknowledged, its sender's Context and where in the byte stream it
// ends. The bytes themselves are kept by the sender (package retrieval). Messages are numbered from 0; the TSN is the
// low 32 bits of the number.
type sentRing struct {
	ring  []sentMessage // length is a power of two, or 0
	acked uint64        // number of the first message not acknowledged
	next  uint64        // number of the next message to be sent
}

type sentMessage struct {
	context uint64
	end     uint64 // position in the byte stream behind the chunk
}

func (r *sentRing) at(number uint64) *sentMessage { return &r.ring[number&uint64(len(r.ring)-1)] }

// len is how many messages are not acknowledged.
func (r *sentRing) len() int { return int(r.next - r.acked) }

// push adds the next message.
func (r *sentRing) push(context, end uint64) {
	if r.next-r.acked == uint64(len(r.ring)) {
		r.grow()
	}
	*r.at(r.next) = sentMessage{context, end}
	r.next++
}

func (r *sentRing) grow() {
	bigger := sentRing{ring: make([]sentMessage, max(2*len(r.ring), 16)), acked: r.acked, next: r.next}
	for n := r.acked; n < r.next; n++ {
		*bigger.at(n) = *r.at(n)
	}
	*r = bigger
}

// ackNext forgets the oldest message; written is the position up to which bytes were written. It reports false if no message
// was written that is not acknowledged.
func (r *sentRing) ackNext(written uint64) bool {
	if r.acked == r.next || r.at(r.acked).end > written {
		return false
	}
	r.acked++
	return true
}

// ackTSN forgets all messages up to the one with this TSN, and reports false if that was never written. A TSN acknowledged
// before is accepted and changes nothing. TSNs compare as serial numbers (RFC 1982), as in SCTP.
func (r *sentRing) ackTSN(tsn uint32, written uint64) bool {
	number := int64(r.acked) + int64(int32(tsn-uint32(r.acked)))
	if number < 0 || number >= int64(r.next) {
		return false
	}
	if uint64(number) < r.acked {
		return true
	}
	if r.at(uint64(number)).end > written {
		return false
	}
	r.acked = uint64(number) + 1
	return true
}

// retrieve lists what is not acknowledged, in order; written as in ackNext.
func (r *sentRing) retrieve(written uint64) (left Retrieved) {
	for n := r.acked; n < r.next; n++ {
		if m := r.at(n); m.end <= written {
			left.Unacknowledged = append(left.Unacknowledged, m.context)
		} else {
			left.Unsent = append(left.Unsent, m.context)
		}
	}
	return left
}

// shrink gives the memory of a burst back. It is for quiet moments.
func (r *sentRing) shrink() {
	if r.acked == r.next && len(r.ring) > 256 {
		r.ring = nil
	}
}
