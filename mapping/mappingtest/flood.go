package mappingtest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// floodPatience bounds a Flood; emulated machines are slow.
const floodPatience = 8 * time.Minute

// Flood sends count messages each way at once over so many streams, 1 byte to longest, which the association has to take. Every one must come
// whole, unchanged, and in order on its stream.
func Flood(t *testing.T, f Factory, count, streams, longest int) {
	x := &fixture{T: t, Env: f(t)}
	t.Cleanup(x.stop)
	user, element := x.pair(beats)
	ends := []*flooder{{r: user, side: x.User, seed: 1, peer: 2}, {r: element, side: x.Element, seed: 2, peer: 1}}
	for _, e := range ends {
		e.listen(x, count, streams, longest)
	}
	for _, e := range ends {
		e.side.Do(e.more)
	}
	for _, e := range ends {
		if !e.side.Await(func() bool { return e.received == count || x.Failed() }, floodPatience) {
			x.Fatalf("%d of %d messages came within %v", e.received, count, floodPatience)
		}
	}
}

// flooder is one end: it sends as fast as it is let, and checks what comes.
type flooder struct {
	r        *Recorder
	side     *Side
	seed     uint64 // of what is sent
	peer     uint64 // of what has to come
	sent     int
	received int
	more     func()
	next     []int // on each stream: the next message's place among all
}

// listen prepares the end: from then on what comes, and room in the queue, are its reasons to send more.
func (e *flooder) listen(x *fixture, count, streams, longest int) {
	e.side.Do(func() {
		if most := e.r.Association.Capabilities().MaxMessage; most < longest {
			x.Errorf("%s: the association takes messages of %d bytes at most, not of %d", e.r.name, most, longest)
		}
		e.next = make([]int, streams)
		for i := range e.next {
			e.next[i] = i
		}
		e.more = func() {
			for e.sent < count && e.r.Association.Queued() < 2*mapping.LowWater {
				x.send(e.r, mapping.Message{Stream: uint16(e.sent % streams), PPID: mapping.PPIDEnd, Data: noise(e.seed, e.sent, longest)})
				e.sent++
			}
		}
		e.r.OnReceive = func(m mapping.Message) {
			e.r.Messages = nil
			e.check(x, m, streams, longest)
			e.more()
		}
		e.r.OnDrained = e.more
	})
}

// check takes a message: the next one of its stream.
func (e *flooder) check(x *fixture, m mapping.Message, streams, longest int) {
	at := int(m.Stream)
	if at >= streams || !bytes.Equal(m.Data, noise(e.peer, e.next[at], longest)) {
		x.Errorf("%s: stream %d: %d bytes that are not message %d", e.r.name, at, len(m.Data), e.next[min(at, streams-1)])
		return
	}
	e.next[at] += streams
	e.received++
}

// noise is the i-th message of a seed: most are short, one in two hundred is of any length, one in a thousand has the full one.
func noise(seed uint64, i, longest int) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	n := 1 + r.IntN(1<<r.IntN(13))
	switch {
	case i%1000 == 7:
		n = longest - r.IntN(2)
	case i%200 == 3:
		n = min(n<<r.IntN(9)+r.IntN(5), longest)
	}
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n]
}
