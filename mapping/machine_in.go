package mapping

import (
	"encoding/binary"
	"fmt"
	"time"
)

// event is what a chunk means to the owner of a machine.
type event struct {
	kind    eventKind
	message Message // eventMessage; Data lies in the bytes that were read
}

type eventKind uint8

const (
	eventNone    eventKind = iota // the machine has seen to it itself
	eventUp                       // the peer has introduced itself
	eventMessage                  // a message has come
)

// read takes the chunk at the beginning of b, which came at now. n is how many bytes it took: 0 when b holds no whole chunk.
// The error wraps ErrProtocol; the association is then to be aborted.
func (m *machine) read(now time.Time, b []byte) (ev event, n int, err error) {
	c, n, err := parseChunk(b, m.peer)
	if err != nil || n == 0 {
		return event{}, 0, err
	}
	if !m.up {
		if c.kind != chunkInit {
			return event{}, 0, fmt.Errorf("%w: %s before INIT", ErrProtocol, kindName(c.kind))
		}
		m.up, m.peer = true, c.init
		m.watch.Start(now)
		return event{kind: eventUp}, n, nil
	}
	m.watch.Received(now)
	switch c.kind {
	case chunkData:
		message, err := m.data(&c)
		if err != nil {
			return event{}, 0, err
		}
		return event{eventMessage, message}, n, nil
	case chunkAck:
		err = m.acknowledged(&c)
	case chunkHeartbeat:
		m.echo(&c)
	case chunkHeartbeatAck:
		err = m.answered(now, &c)
	default:
		err = fmt.Errorf("%w: second INIT", ErrProtocol)
	}
	if err != nil {
		n = 0
	}
	return event{}, n, err
}

// data takes a DATA chunk.
func (m *machine) data(c *chunk) (Message, error) {
	if err := m.checkOrder(c); err != nil {
		return Message{}, err
	}
	m.owed++
	m.owedBy += len(c.body) + c.pages
	return Message{Stream: c.stream, PPID: c.ppid, Data: c.body, Unordered: c.unordered}, nil
}

// checkOrder counts a DATA chunk. Over TCP nothing can be lost or overtaken, so a number that is not the next one is a defect
// of the peer, and is not passed on.
func (m *machine) checkOrder(c *chunk) error {
	if m.peer&noTSN == 0 && c.tsn != m.inTSN {
		return fmt.Errorf("%w: DATA with TSN %d, expected %d", ErrProtocol, c.tsn, m.inTSN)
	}
	m.inTSN++
	if m.peer&noStream != 0 || c.unordered {
		return nil
	}
	if want := m.inSSN.next(c.stream); c.ssn != want {
		return fmt.Errorf("%w: DATA on stream %d with number %d, expected %d", ErrProtocol, c.stream, c.ssn, want)
	}
	return nil
}

// acknowledged takes an ACK of either form: a TSN acknowledges all up to it, none the oldest message.
func (m *machine) acknowledged(c *chunk) error {
	switch {
	case c.hasTSN && !m.sent.ackTSN(c.tsn, m.queue.taken):
		return fmt.Errorf("%w: ACK for TSN %d, which was never sent", ErrProtocol, c.tsn)
	case !c.hasTSN && !m.sent.ackNext(m.queue.taken):
		return fmt.Errorf("%w: ACK, and nothing was unacknowledged", ErrProtocol)
	}
	return nil
}

// echo answers a HEARTBEAT with its own TLV.
func (m *machine) echo(c *chunk) {
	if m.queue.taken >= m.echoEnd {
		m.echoes = 0
	}
	m.put(&chunk{kind: chunkHeartbeatAck, body: c.body}, nil)
	m.echoes += chunkHeader + len(c.body)
	m.echoEnd = m.queue.end()
}

// answered takes a HEARTBEAT ACK. Heartbeats are answered in the order they were sent, each once.
func (m *machine) answered(now time.Time, c *chunk) error {
	length := int(binary.BigEndian.Uint16(c.body[2:]))
	info := c.body[infoHeader:length]
	if len(m.asked) == 0 || len(info) != heartbeatLen || binary.BigEndian.Uint64(info) != uint64(m.asked[0]) {
		return fmt.Errorf("%w: HEARTBEAT ACK with information that we did not send", ErrProtocol)
	}
	m.watch.Answered(now, m.start.Add(m.asked[0]))
	m.asked = append(m.asked[:0], m.asked[1:]...)
	return nil
}
