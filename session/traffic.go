package session

import (
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// Traffic counts the clients' messages by whether their session would have survived, with nothing lost, the death of its server while
// they were in flight. A stream of which nothing is known counts bytes only.
type Traffic struct {
	ProtectedMessages, ProtectedBytes     uint64
	UnprotectedMessages, UnprotectedBytes uint64
}

func (t *Traffic) add(protected bool, messages, bytes int) {
	if protected {
		t.ProtectedMessages += uint64(messages)
		t.ProtectedBytes += uint64(bytes)
		return
	}
	t.UnprotectedMessages += uint64(messages)
	t.UnprotectedBytes += uint64(bytes)
}

// Plus is the sum of both.
func (t Traffic) Plus(other Traffic) Traffic {
	return Traffic{t.ProtectedMessages + other.ProtectedMessages, t.ProtectedBytes + other.ProtectedBytes,
		t.UnprotectedMessages + other.UnprotectedMessages, t.UnprotectedBytes + other.UnprotectedBytes}
}

// Traffic is what all clients have sent so far.
func (u *User) Traffic() Traffic { return u.traffic }

// countMessage counts a complete message.
func (s *Session) countMessage(m *retrieval.Message[*request]) {
	f := &s.u.c.Failover
	r := m.About.Request
	if r.Expect == protocol.ExpectUnknown { // it was counted as it came
		return
	}
	keeps := f.Ack != AckDelivered || r.Expect == protocol.ExpectNone
	protected := s.whole && (!s.unsafe || f.Unsafe == UnsafeReplay)
	if f.Replay == ReplayUnacked {
		protected = keeps && !m.Lost && (r.Safe || f.Unsafe == UnsafeReplay)
	}
	s.u.traffic.add(protected, 1, int(m.End-m.Start))
}

// countStream counts bytes of which nothing is known.
func (s *Session) countStream(n int) {
	protected := s.whole || s.u.c.Failover.Replay == ReplayUnacked && s.out.accepted == 0
	s.u.traffic.add(protected, 0, n)
}
