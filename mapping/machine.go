package mapping

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/heartbeat"
	"github.com/poolproxy/poolproxy/loop"
)

// machine is the rules of the TCP mapping for one association: bytes from the peer and the time go in; messages, and bytes to
// write, come out. It touches no connection, and reads no clock. How the rules fill the gaps of the draft is written down in
// docs/protocol.md.
type machine struct {
	start    time.Time // the zero of heartbeat info
	watch    heartbeat.Monitor
	initLeft int // bytes of our INIT that are not written yet; it goes ahead of the queue
	queue    outQueue
	sent     sentRing
	outSSN   streamNumbers

	up     bool  // the peer's INIT has come
	peer   words // what it said
	inTSN  uint32
	inSSN  streamNumbers
	owed   int // DATA chunks that we have yet to acknowledge
	owedBy int // bytes of user data in them

	asked   []time.Duration // heartbeats not yet answered, as their info tells them, oldest first
	echoes  int             // bytes of HEARTBEAT ACKs since the queue was last rid of all of them
	echoEnd uint64          // position behind the last of these
}

// Bounds of a machine.
const (
	copyBelow    = 2 << 10   // messages shorter than this are copied behind each other, bytes
	ackAtOnce    = 256 << 10 // user data delivered after which an ACK does not wait for company, bytes
	shortAcks    = 4096      // short ACKs queued at a time
	maxAsked     = 64        // heartbeats unanswered while other things come
	chokeAt      = 64 << 10  // unwritten HEARTBEAT ACKs past which nothing more is read, bytes
	heartbeatLen = 8         // bytes of our heartbeat info
	maxUnacked   = 1 << 18   // messages written and not acknowledged: well above what a peer that acknowledges in time can leave
)

// initChunk is our INIT: flags 0, our DATA carries all three words.
var initChunk = []byte{chunkInit, 0, 0, chunkHeader}

func newMachine(now time.Time, h Heartbeat, pool *loop.Pool) machine {
	return machine{
		start:    now,
		watch:    heartbeat.Monitor{Interval: h.Interval, Misses: h.Misses},
		initLeft: len(initChunk),
		queue:    outQueue{pool: pool},
	}
}

// send queues one message; the rules are those of Association.Send.
func (m *machine) send(msg *Message, from *loop.Buffer) error {
	switch {
	case msg.Unordered:
		return fmt.Errorf("%w: TCP", ErrUnordered)
	case msg.Lifetime != 0:
		return fmt.Errorf("%w: TCP, lifetime %v", ErrLifetime, msg.Lifetime)
	case len(msg.Data) > maxData:
		return fmt.Errorf("%w: %d bytes, at most %d fit a chunk", ErrTooLong, len(msg.Data), maxData)
	}
	m.queueData(msg, msg.Data, 0, from)
	return nil
}

// queueData queues the chunk of a message that can be sent: its data is body, or it is the pages bytes that lie in the pipe of from.
func (m *machine) queueData(msg *Message, body []byte, pages int, from *loop.Buffer) {
	c := chunk{kind: chunkData, tsn: uint32(m.sent.next), stream: msg.Stream, ssn: m.outSSN.next(msg.Stream),
		ppid: msg.PPID, body: body, pages: pages}
	m.put(&c, from)
	m.sent.push(msg.Context, m.queue.end())
}

// put queues a chunk. The body is copied unless it is worth more than a copy and lies in from.
func (m *machine) put(c *chunk, from *loop.Buffer) {
	if c.pages == 0 && (from == nil || len(c.body) < copyBelow) {
		if room := m.queue.room(padded(chunkHeader + dataWords + len(c.body))); room != nil {
			m.queue.extend(len(c.append(room, 0)))
			return
		}
	}
	var head [chunkHeader + dataWords]byte
	m.queue.copy(c.appendHead(head[:0], 0))
	if c.pages > 0 {
		m.queue.pages(c.pages, from)
	} else if from == nil || len(c.body) < copyBelow {
		m.queue.copy(c.body)
	} else {
		m.queue.refer(c.body, from)
	}
	m.queue.copy(c.pad())
}

// acknowledge queues the ACKs that are owed: one for everything delivered, or, to a peer that numbers nothing, one for each.
// After it was called often enough nothing is owed; see shortAcks.
func (m *machine) acknowledge() {
	if m.owed == 0 {
		return
	}
	c := chunk{kind: chunkAck}
	if m.peer&noTSN == 0 {
		c.hasTSN, c.tsn = true, m.inTSN-1
		m.put(&c, nil)
		m.owed, m.owedBy = 0, 0
		return
	}
	for i := 0; i < shortAcks && m.owed > 0; i++ {
		m.put(&c, nil)
		m.owed--
	}
	m.owedBy = 0
}

// gather fills bufs with the bytes to be written next and returns the filled part: our INIT at first, and the queue once the
// peer's has come. wrote must tell how many were written.
func (m *machine) gather(bufs [][]byte) [][]byte {
	n := 0
	if m.initLeft > 0 {
		bufs[0] = initChunk[len(initChunk)-m.initLeft:]
		n = 1
	}
	if m.up {
		n += len(m.queue.gather(bufs[n:]))
	}
	return bufs[:n]
}

func (m *machine) wrote(n int) {
	first := min(n, m.initLeft)
	m.initLeft -= first
	m.queue.wrote(n - first)
}

// tick does what is due at now and says when to call it again (zero: not at all). The error wraps ErrSilent. It is called
// first when the association comes up.
func (m *machine) tick(now time.Time) (time.Time, error) {
	do, at := m.watch.Next(now)
	switch do {
	case heartbeat.GiveUp:
		return at, fmt.Errorf("%w: nothing came for %v, %d heartbeats unanswered", ErrSilent, m.watch.Silence(now), m.watch.Unanswered())
	case heartbeat.Speak:
		if len(m.asked) == maxAsked {
			return at, fmt.Errorf("%w: %d heartbeats unanswered, though other chunks come", ErrProtocol, maxAsked)
		}
		m.ask(now)
	}
	m.queue.shrink()
	m.sent.shrink()
	return at, nil
}

// ask queues a HEARTBEAT; its info is the time since the association began, in nanoseconds.
func (m *machine) ask(now time.Time) {
	sent := now.Sub(m.start)
	m.asked = append(m.asked, sent)
	var tlv [infoHeader + heartbeatLen]byte
	binary.BigEndian.PutUint16(tlv[:], infoType)
	binary.BigEndian.PutUint16(tlv[2:], uint16(len(tlv)))
	binary.BigEndian.PutUint64(tlv[infoHeader:], uint64(sent))
	m.put(&chunk{kind: chunkHeartbeat, body: tlv[:]}, nil)
}

// choked reports that the peer has us answer more heartbeats than it reads answers: nothing more should be read from it.
func (m *machine) choked() bool { return m.echoes > chokeAt && m.queue.taken < m.echoEnd }

// retrieve lists what is not acknowledged.
func (m *machine) retrieve() Retrieved { return m.sent.retrieve(m.queue.taken) }
