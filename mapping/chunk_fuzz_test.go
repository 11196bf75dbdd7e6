package mapping

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// FuzzChunks gives a machine arbitrary bytes, split at arbitrary points. It must not panic; the split must not matter; what
// it accepted must encode to chunks that mean the same; and what it has to write must be bounded by what came.
func FuzzChunks(f *testing.F) {
	init := []byte{chunkInit, 0, 0, 4}
	for _, seed := range []string{
		"0000001500000000000100000000000068656c6c6f0000000000002000000001000000000000000b0b000010000d000968656c6c6f000000",
		"040000100001000c0001020304050607", "050000100001000c0001020304050607", "0300000800000000" + "03000004", "01000004", "02000004",
	} {
		f.Add(append(bytes.Clone(init), unhex(f, seed)...), byte(3))
	}
	f.Add(unhex(f, "010700040000000968656c6c6f00000000000004"), byte(1))
	f.Fuzz(func(t *testing.T, wire []byte, step byte) {
		whole, out, wholeErr := feed(t, wire, len(wire))
		parts, _, partsErr := feed(t, wire, 1+int(step))
		if !reflect.DeepEqual(whole, parts) || (wholeErr == nil) != (partsErr == nil) {
			t.Fatalf("in one piece %v, %v; in pieces %v, %v", whole, wholeErr, parts, partsErr)
		}
		if out > 2*len(wire)+100 {
			t.Fatalf("%d bytes made it write %d", len(wire), out)
		}
		recode(t, wire)
	})
}

// feed gives wire to a machine, step bytes at a time, and returns the messages and how many bytes it wants to write.
func feed(t *testing.T, wire []byte, step int) (got []Message, out int, err error) {
	var pool loop.Pool
	m := newMachine(time.Unix(0, 0), Heartbeat{Interval: time.Second, Misses: 3}, &pool)
	if err := m.send(&Message{Data: []byte("ours")}, nil); err != nil {
		t.Fatal(err)
	}
	var have []byte
	for len(wire) > 0 {
		n := min(step, len(wire))
		have, wire = append(have, wire[:n]...), wire[n:]
		for {
			ev, n, err := m.read(m.start, have)
			if err != nil {
				return got, m.queue.size, err
			}
			if n == 0 {
				break
			}
			if ev.kind == eventMessage {
				ev.message.Data = bytes.Clone(ev.message.Data)
				got = append(got, ev.message)
			}
			have = have[n:]
		}
		m.acknowledge()
		m.wrote(m.initLeft)
	}
	return got, m.queue.size, nil
}

// recode parses chunks, writes and parses them again.
func recode(t *testing.T, wire []byte) {
	peer := words(0)
	for {
		c, n, err := parseChunk(wire, peer)
		if err != nil || n == 0 {
			return
		}
		wire = wire[n:]
		again, n2, err := parseChunk(c.append(nil, peer), peer)
		if err != nil || n2 != n || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v (%d bytes) came back as %+v (%d bytes): %v", c, n, again, n2, err)
		}
		if c.kind == chunkInit {
			peer = c.init
		}
	}
}
