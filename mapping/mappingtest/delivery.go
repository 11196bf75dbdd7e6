package mappingtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// pattern is n bytes that depend on which message they are.
func pattern(n, which int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*(2*which+1) + which)
	}
	return b
}

// sample is the i-th message of a test: streams interleave, sizes jump about.
func sample(i int) mapping.Message {
	sizes := []int{0, 1, 3, 128, 2047, 2048, 5000, 40_000}
	streams := []uint16{0, 1, 7, 300, 16383} // as many as every mapping has
	return mapping.Message{
		Stream:  streams[i%len(streams)],
		PPID:    []uint32{mapping.PPIDASAP, mapping.PPIDMore, mapping.PPIDEnd, 0xffffffff}[i%4],
		Data:    pattern(sizes[(i*7)%len(sizes)], i),
		Context: uint64(i),
	}
}

func same(got, sent mapping.Message) bool {
	return got.Stream == sent.Stream && got.PPID == sent.PPID && bytes.Equal(got.Data, sent.Data) && !got.Unordered && got.Context == 0
}

func testDelivery(x *fixture) {
	const count = 400
	user, element := x.pair(beats)
	x.User.Do(func() {
		for i := range count {
			x.send(user, sample(i))
		}
	})
	x.Element.Do(func() {
		for i := range count {
			x.send(element, sample(count+i))
		}
	})
	x.await(x.Element, "all messages at the element", func() bool { return len(element.Messages) == count })
	x.await(x.User, "all messages at the user", func() bool { return len(user.Messages) == count })
	var fromUser, fromElement []mapping.Message
	for i := range count {
		fromUser, fromElement = append(fromUser, sample(i)), append(fromElement, sample(count+i))
	}
	x.arrived("element", element.Messages, fromUser)
	x.arrived("user", user.Messages, fromElement)
	x.await(x.User, "acknowledgement", func() bool { return len(left(user)) == 0 && user.Association.Queued() == 0 })
}

// arrived tells whether the messages came as they were sent: in that order, unless streams overtake each other; then on each stream.
func (x *fixture) arrived(where string, got, sent []mapping.Message) {
	x.Helper()
	if x.Overtaking {
		byStream := func(a, b mapping.Message) int { return int(a.Stream) - int(b.Stream) }
		slices.SortStableFunc(got, byStream)
		slices.SortStableFunc(sent, byStream)
	}
	for i := range sent {
		if !same(got[i], sent[i]) {
			x.Fatalf("%s: message %d is not what was sent", where, i)
		}
	}
}

func testSizes(x *fixture) {
	user, element := x.pair(beats)
	longest := 0
	x.User.Do(func() { longest = user.Association.Capabilities().MaxMessage })
	sizes := []int{0, 1, 4095, 4096, 65000, longest - 1, longest}
	x.User.Do(func() {
		for i, n := range sizes {
			m := mapping.Message{Stream: 2, Data: pattern(n, i)}
			if n > loop.LargeBuffer {
				x.send(user, m)
				continue
			}
			b := x.User.Loop.Buffers().Get(loop.LargeBuffer)
			m.Data = b.Bytes[:copy(b.Bytes, m.Data)]
			if err := user.Association.Send(m, b); err != nil {
				x.Errorf("send of %d bytes: %v", n, err)
			}
			b.Drop()
		}
	})
	x.await(x.Element, "all sizes", func() bool { return len(element.Messages) == len(sizes) })
	for i, n := range sizes {
		if !bytes.Equal(element.Messages[i].Data, pattern(n, i)) {
			x.Errorf("a message of %d bytes arrived as %d bytes, or others", n, len(element.Messages[i].Data))
		}
	}
}

func testBeforeUp(x *fixture) {
	x.listen(beats, func(r *Recorder) { x.send(r, mapping.Message{Data: []byte("from the element")}) })
	user := x.dial(x.at, beats, mapping.Message{Data: []byte("from the user")})
	x.await(x.User, "the element's message", func() bool { return len(user.Messages) == 1 })
	x.await(x.Element, "the user's message", func() bool { return len(x.accepted) == 1 && len(x.accepted[0].Messages) == 1 })
}

func testRefusals(x *fixture) {
	user, _ := x.pair(beats)
	x.User.Do(func() {
		can := user.Association.Capabilities()
		try := func(m mapping.Message, want error) {
			if err := user.Association.Send(m, nil); !errors.Is(err, want) {
				x.Errorf("sending gave %v, want %v", err, want)
			}
		}
		if !can.Unordered {
			try(mapping.Message{Unordered: true}, mapping.ErrUnordered)
		}
		if !can.Lifetime {
			try(mapping.Message{Lifetime: time.Second}, mapping.ErrLifetime)
		}
		try(mapping.Message{Data: make([]byte, can.MaxMessage+1)}, mapping.ErrTooLong)
		if can.Streams < 1 {
			x.Errorf("%d streams", can.Streams)
		}
		if _, err := user.Association.Status(); err != nil && !errors.Is(err, mapping.ErrStatus) {
			x.Errorf("Status: %v", err)
		}
		user.Close()
		user.Association.Close()
		try(mapping.Message{}, mapping.ErrDown)
		user.Association.Abort()
		user.Association.Abort()
	})
}

func testBackpressure(x *fixture) {
	x.need(x.Freeze != nil, "a slow reader")
	user, element := x.pair(beats)
	x.Freeze()
	sent := 0
	// Again and again, until what the transport holds by itself is full, too, and it has taken nothing for a while.
	for before := -1; before != sent; {
		before = sent
		x.pass(x.User, 50*time.Millisecond, func() {
			for user.Association.Queued() < 2*mapping.LowWater {
				x.send(user, mapping.Message{Stream: 1, Data: pattern(16<<10, sent)})
				sent++
			}
		})
	}
	x.User.Do(func() { user.Drains = 0 })
	x.Thaw()
	x.await(x.User, "Drained", func() bool { return user.Drains == 1 })
	x.await(x.Element, "everything", func() bool { return len(element.Messages) == sent })
	for i, m := range element.Messages {
		if !bytes.Equal(m.Data, pattern(16<<10, i)) {
			x.Fatalf("message %d of %d is not what was sent", i, sent)
		}
	}
	x.User.Do(func() {
		if user.Drains != 1 {
			x.Errorf("Drained %d times", user.Drains)
		}
	})
}

// testRetrieve has the element abort after some messages: what the user retrieves must be the tail of what it sent, and miss nothing
// that the element had not received; where the peer's kernel acknowledges, nothing that this had not.
func testRetrieve(x *fixture) {
	const count, until = 300, 50
	user, element := x.pair(beats)
	x.Element.Do(func() {
		element.OnReceive = func(mapping.Message) {
			if len(element.Messages) == until {
				element.Abort()
			}
		}
	})
	x.User.Do(func() {
		for i := range count {
			x.send(user, mapping.Message{Stream: uint16(i), Data: pattern(2000, i), Context: uint64(i)})
		}
	})
	x.await(x.User, "Down", user.down)
	x.User.Do(func() {
		if !errors.Is(user.Err, loop.ErrReset) {
			x.Errorf("Down(%v)", user.Err)
		}
		rest := left(user)
		if len(rest) < count-until && !x.KernelAcks || !slices.Equal(rest, numbers(count-len(rest), count)) {
			x.Errorf("retrieved %d messages: %v", len(rest), rest)
		}
		if err := user.Association.Send(mapping.Message{}, nil); !errors.Is(err, mapping.ErrDown) {
			x.Errorf("Send after Down: %v", err)
		}
	})
}

func numbers(from, to int) (all []uint64) {
	for i := from; i < to; i++ {
		all = append(all, uint64(i))
	}
	return all
}

func testRetrieveNothing(x *fixture) {
	user, element := x.pair(beats)
	x.User.Do(func() {
		for i := range 10 {
			x.send(user, mapping.Message{Data: []byte{byte(i)}, Context: uint64(i)})
		}
	})
	x.await(x.User, "acknowledgement", func() bool { return len(left(user)) == 0 })
	x.Element.Do(element.Abort)
	x.await(x.User, "Down", user.down)
	x.User.Do(func() {
		if rest := left(user); len(rest) != 0 {
			x.Errorf("retrieved %v", rest)
		}
	})
	if len(element.Messages) != 10 {
		x.Errorf("%d received", len(element.Messages))
	}
}

func testCloseFlushes(x *fixture) {
	const count = 200
	user, element := x.pair(beats)
	x.Element.Do(func() { // the other direction must not turn the close into a reset
		element.OnReceive = func(m mapping.Message) {
			if err := element.Association.Send(mapping.Message{Data: m.Data}, nil); err != nil {
				x.Errorf("send: %v", err)
			}
		}
	})
	x.User.Do(func() {
		for i := range count {
			x.send(user, mapping.Message{Data: pattern(3000, i)})
		}
		user.Close()
	})
	x.await(x.Element, "Down", element.down)
	if !errors.Is(element.Err, io.EOF) || len(element.Messages) != count {
		x.Errorf("%d of %d received, then Down(%v)", len(element.Messages), count, element.Err)
	}
}

func testAbort(x *fixture) {
	user, element := x.pair(beats)
	x.User.Do(func() { user.Abort() })
	x.await(x.Element, "Down", element.down)
	if !errors.Is(element.Err, loop.ErrReset) {
		x.Errorf("Down(%v)", element.Err)
	}
}

// testEndInReceive closes and aborts in the middle of a burst: the Recorder complains if it hears more.
func testEndInReceive(x *fixture) {
	for _, end := range []func(*Recorder){(*Recorder).Close, (*Recorder).Abort} {
		user, element := x.pair(beats)
		x.Element.Do(func() {
			element.OnReceive = func(mapping.Message) {
				if len(element.Messages) == 3 {
					end(element)
				}
			}
		})
		x.User.Do(func() {
			for i := range 50 {
				x.send(user, mapping.Message{Data: fmt.Appendf(nil, "message %d", i)})
			}
		})
		x.await(x.User, "Down", user.down)
		x.Element.Do(func() {
			if len(element.Messages) != 3 {
				x.Errorf("%d messages", len(element.Messages))
			}
		})
	}
}

// testTwoAnswering: two sides that answer each other without end must leave time for others.
func testTwoAnswering(x *fixture) {
	user, element := x.pair(beats)
	answer := func(r *Recorder) func(mapping.Message) {
		return func(m mapping.Message) {
			r.Messages = r.Messages[:0]
			_ = r.Association.Send(mapping.Message{Data: m.Data}, nil) // ErrDown at the end of the test
		}
	}
	x.Element.Do(func() { element.OnReceive = answer(element) })
	x.User.Do(func() {
		user.OnReceive = answer(user)
		x.send(user, mapping.Message{Data: []byte("ball")})
	})
	other, _ := x.pair(beats)
	x.User.Do(func() {
		if other.Ups != 1 || user.down() {
			x.Errorf("%d Up, Down(%v)", other.Ups, user.Err)
		}
		user.Abort()
	})
}
