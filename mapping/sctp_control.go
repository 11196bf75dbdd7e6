package mapping

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/heartbeat"
)

// PPIDControl marks the messages of the SCTP mapping itself, between two sidecars; see docs/protocol.md, "Over SCTP".
const PPIDControl uint32 = 0x70700004

// What a control message is; its first byte.
const (
	controlHello  = 1 // the first message of each side; its version follows
	controlAsk    = 2 // a heartbeat: 8 bytes follow, which are the asker's business
	controlAnswer = 3 // the answer: the same 8 bytes
	controlEmpty  = 4 // a message without user data, which SCTP cannot carry: its PPID follows
	controlFirst  = 5 // the first message that a side sends: its PPID and its data follow
)

const sctpVersion = 1

// sctpTalk is the rules of the control messages of one association: what is said, when the peer is up, when it is silent.
type sctpTalk struct {
	start time.Time // the zero of heartbeat info
	watch heartbeat.Monitor
	up    bool // the peer has introduced itself
	asked int  // heartbeats since the last answer
}

// hello is our introduction.
func (*sctpTalk) hello() []byte { return []byte{controlHello, sctpVersion} }

// ask is a heartbeat.
func (t *sctpTalk) ask(now time.Time) []byte {
	t.asked++
	return binary.BigEndian.AppendUint64([]byte{controlAsk}, uint64(now.Sub(t.start)))
}

// wrap is what a message is sent as that cannot go as it is: one without user data, or the first of all.
func (*sctpTalk) wrap(kind byte, m *Message) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, m.PPID), m.Data...)
}

// said is what a control message means to the association.
type said struct {
	answer  []byte // to be sent back, if not nil
	wrapped bool   // it holds a message: ppid and data, which lies in what was read
	first   bool   // the first one that the peer has sent
	ppid    uint32
	data    []byte
}

// read takes a control message that came at now. The error wraps ErrProtocol.
func (t *sctpTalk) read(now time.Time, b []byte) (said, error) {
	if err := t.check(b); err != nil {
		return said{}, err
	}
	switch b[0] {
	case controlHello:
		t.up = true
		t.watch.Start(now)
	case controlAsk:
		return said{answer: append([]byte{controlAnswer}, b[1:]...)}, nil
	case controlAnswer:
		sent := t.start.Add(time.Duration(binary.BigEndian.Uint64(b[1:])))
		if t.asked == 0 || sent.After(now) || sent.Before(t.start) {
			return said{}, fmt.Errorf("%w: the answer to a heartbeat that was not sent", ErrProtocol)
		}
		t.asked--
		t.watch.Answered(now, sent)
	case controlEmpty, controlFirst:
		return said{wrapped: true, first: b[0] == controlFirst, ppid: binary.BigEndian.Uint32(b[1:]), data: b[5:]}, nil
	}
	return said{}, nil
}

// check tells what is wrong with a control message, if anything is.
func (t *sctpTalk) check(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: an empty control message", ErrProtocol)
	}
	size, known := map[byte]int{controlHello: 2, controlAsk: 9, controlAnswer: 9, controlEmpty: 5, controlFirst: 5}[b[0]]
	switch {
	case !known:
		return fmt.Errorf("%w: control message %d", ErrProtocol, b[0])
	case len(b) < size || len(b) > size && b[0] != controlFirst:
		return fmt.Errorf("%w: control message %d of %d bytes, not %d", ErrProtocol, b[0], len(b), size)
	case (b[0] == controlHello) == t.up:
		return fmt.Errorf("%w: control message %d before the introduction, or a second one", ErrProtocol, b[0])
	case b[0] == controlHello && b[1] != sctpVersion:
		return fmt.Errorf("%w: version %d of the SCTP mapping, this side speaks %d", ErrProtocol, b[1], sctpVersion)
	}
	return nil
}

// tick does what is due; see machine.tick. ask is a heartbeat to be sent, if not nil.
func (t *sctpTalk) tick(now time.Time) (ask []byte, at time.Time, err error) {
	do, at := t.watch.Next(now)
	switch do {
	case heartbeat.GiveUp:
		return nil, at, fmt.Errorf("%w: nothing came for %v, %d heartbeats unanswered", ErrSilent, t.watch.Silence(now), t.watch.Unanswered())
	case heartbeat.Speak:
		if t.asked == maxAsked {
			return nil, at, fmt.Errorf("%w: %d heartbeats unanswered, though other messages come", ErrProtocol, maxAsked)
		}
		ask = t.ask(now)
	}
	return ask, at, nil
}
