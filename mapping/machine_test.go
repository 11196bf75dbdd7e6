package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

var begin = time.Unix(1_000_000, 0)

var beats = Heartbeat{Interval: time.Second, Misses: 3}

// side is a machine without a connection: what it writes is kept until another takes it.
type side struct {
	machine
	t    testing.TB
	pool loop.Pool
	in   []byte // bytes come and not read yet
	bufs [64][]byte
	got  func(Message)
}

func newSide(t testing.TB) *side {
	s := &side{t: t, got: func(Message) {}}
	s.machine = newMachine(begin, beats, &s.pool)
	return s
}

// output takes up to n bytes that s has to write.
func (s *side) output(n int) []byte {
	var out []byte
	for {
		bufs := s.gather(s.bufs[:])
		if len(bufs) == 0 || n == 0 {
			return out
		}
		count := min(n, len(bufs[0]))
		out = append(out, bufs[0][:count]...)
		s.wrote(count)
		n -= count
	}
}

// carry moves what from has to write to s, without allocating once s.in is large enough, and has s read it.
func (s *side) carry(now time.Time, from *side) {
	for {
		bufs := from.gather(from.bufs[:])
		if len(bufs) == 0 {
			break
		}
		n := 0
		for _, b := range bufs {
			s.in = append(s.in, b...)
			n += len(b)
		}
		from.wrote(n)
	}
	used := s.input(now, s.in)
	s.in = s.in[:copy(s.in, s.in[used:])]
}

func (s *side) input(now time.Time, b []byte) (used int) {
	for {
		ev, n, err := s.read(now, b[used:])
		if err != nil {
			s.t.Fatal(err)
		}
		if n == 0 {
			return used
		}
		used += n
		if ev.kind == eventMessage {
			s.got(ev.message)
		}
	}
}

// upPair returns two machines that have introduced themselves.
func upPair(t testing.TB) (a, b *side) {
	a, b = newSide(t), newSide(t)
	a.carry(begin, b)
	b.carry(begin, a)
	return a, b
}

func mustSend(t testing.TB, m *machine, msg Message) {
	t.Helper()
	if err := m.send(&msg, nil); err != nil {
		t.Fatal(err)
	}
}

func TestPingPongAllocatesNothing(t *testing.T) {
	a, b := upPair(t)
	data := make([]byte, 128)
	received := 0
	a.got = func(Message) { received++ }
	b.got = func(m Message) {
		if err := b.send(&Message{Stream: m.Stream, PPID: PPIDEnd, Data: m.Data}, nil); err != nil {
			t.Fatal(err)
		}
	}
	round := func() {
		mustSend(t, &a.machine, Message{Stream: 7, PPID: PPIDEnd, Data: data})
		a.acknowledge()
		b.carry(begin, a)
		b.acknowledge()
		a.carry(begin, b)
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	if received == 0 || a.queue.size != 0 || a.pool.Out() != 0 || b.pool.Out() != 0 {
		t.Errorf("%d received, %d bytes queued, %d and %d bytes of memory held", received, a.queue.size, a.pool.Out(), b.pool.Out())
	}
}

// TestRules feeds single chunks to a machine that is up and has sent two messages, of which one is written.
func TestRules(t *testing.T) {
	info := "0001000c0000000000000000"
	tests := map[string]struct {
		init string // the peer's INIT
		wire string
		want string // error; empty: none
	}{
		"DATA in order": {"01000004", "00000010" + "00000000" + "00010000" + "00000000" +
			"00000010" + "00000001" + "00010001" + "00000000", ""},
		"DATA out of order":     {"01000004", "00000010" + "00000001" + "00010000" + "00000000", "DATA with TSN 1, expected 0"},
		"DATA, stream number":   {"01000004", "00000010" + "00000000" + "00050001" + "00000000", "DATA on stream 5 with number 1, expected 0"},
		"unordered, any number": {"01000004", "00040010" + "00000000" + "00050063" + "00000000", ""},
		"no words, no numbers":  {"01070004", "00000004" + "00000004", ""},
		"TSN only":              {"01060004", "00000008" + "00000000" + "00000008" + "00000001", ""},
		"ACK of the written":    {"01000004", "0300000800000000", ""},
		"ACK twice":             {"01000004", "0300000800000000" + "0300000800000000", ""},
		"ACK of the unwritten":  {"01000004", "0300000800000001", "ACK for TSN 1, which was never sent"},
		"ACK ahead":             {"01000004", "0300000800000002", "ACK for TSN 2, which was never sent"},
		"ACK from before":       {"01000004", "03000008ffffffff", "ACK for TSN 4294967295, which was never sent"},
		"short ACK":             {"01000004", "03000004", ""},
		"short ACK too many":    {"01000004", "03000004" + "03000004", "ACK, and nothing was unacknowledged"},
		"second INIT":           {"01000004", "01000004", "second INIT"},
		"reserved type":         {"01000004", "06000004", "chunk type 6 is not known"},
		"answer, none asked":    {"01000004", "05000010" + info, "HEARTBEAT ACK with information that we did not send"},
		"heartbeat":             {"01000004", "04000010" + info, ""},
		"DATA before INIT":      {"", "00000010" + "00000000" + "00010000" + "00000000", "DATA before INIT"},
		"HEARTBEAT before INIT": {"", "04000010" + info, "HEARTBEAT before INIT"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSide(t)
			s.input(begin, unhex(t, tt.init))
			mustSend(t, &s.machine, Message{Data: []byte("one")})
			s.output(1 << 20)
			mustSend(t, &s.machine, Message{Data: []byte("two")})
			err := readAll(&s.machine, unhex(t, tt.wire))
			if tt.want == "" && err == nil {
				return
			}
			if !errors.Is(err, ErrProtocol) || err.Error() != ErrProtocol.Error()+": "+tt.want {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func readAll(m *machine, b []byte) error {
	for {
		_, n, err := m.read(begin, b)
		if err != nil || n == 0 {
			return err
		}
		b = b[n:]
	}
}

// TestFlags: whatever words the peer leaves out, its messages arrive, and it gets the form of ACK that it asked for.
func TestFlags(t *testing.T) {
	for w := words(0); w <= allWords; w++ {
		s := newSide(t)
		var got []string
		s.got = func(m Message) { got = append(got, fmt.Sprintf("%d %d %s", m.Stream, m.PPID, m.Data)) }
		wire := (&chunk{kind: chunkInit, init: w}).append(nil, 0)
		for i, text := range []string{"a", "b"} {
			wire = (&chunk{kind: chunkData, tsn: uint32(i), stream: 3, ssn: uint16(i), ppid: 9, body: []byte(text)}).append(wire, w)
		}
		s.input(begin, wire)
		stream, ppid := 3, 9
		if w&noStream != 0 {
			stream = 0
		}
		if w&noPPID != 0 {
			ppid = 0
		}
		want := []string{fmt.Sprintf("%d %d a", stream, ppid), fmt.Sprintf("%d %d b", stream, ppid)}
		if !slices.Equal(got, want) {
			t.Errorf("flags %d: got %q, want %q", w, got, want)
		}
		ack := "0300000800000001"
		if w&noTSN != 0 {
			ack = "0300000403000004"
		}
		s.acknowledge()
		if out := s.output(1 << 20); !bytes.Equal(out[len(initChunk):], unhex(t, ack)) {
			t.Errorf("flags %d: wrote %x, want INIT and %s", w, out, ack)
		}
	}
}

func TestRetrieve(t *testing.T) {
	s := newSide(t)
	s.input(begin, initChunk)
	s.output(1 << 20)
	for i := range 5 {
		mustSend(t, &s.machine, Message{Data: []byte("1234"), Context: uint64(100 + i)}) // 20 bytes each
	}
	check := func(unsent, unacked []uint64) {
		t.Helper()
		if r := s.retrieve(); !slices.Equal(r.Unsent, unsent) || !slices.Equal(r.Unacknowledged, unacked) {
			t.Fatalf("retrieved %+v, want unsent %v, unacknowledged %v", r, unsent, unacked)
		}
	}
	check([]uint64{100, 101, 102, 103, 104}, nil)
	s.output(59) // all but the last byte of the third
	check([]uint64{102, 103, 104}, []uint64{100, 101})
	s.input(begin, unhex(t, "0300000800000000"))
	check([]uint64{102, 103, 104}, []uint64{101})
	s.output(1)
	check([]uint64{103, 104}, []uint64{101, 102})
	s.output(40)
	s.input(begin, unhex(t, "0300000800000003"))
	check(nil, []uint64{104})
}

// TestWrap passes the ends of TSN and of a stream's sequence number.
func TestWrap(t *testing.T) {
	a, b := upPair(t)
	const before = 1<<32 - 3
	a.sent.acked, a.sent.next, b.inTSN = before, before, before&0xffffffff
	a.outSSN.page(4)[0], b.inSSN.page(4)[0] = 65534, 65534
	count := 0
	b.got = func(Message) { count++ }
	for range 6 {
		mustSend(t, &a.machine, Message{Stream: 0, Data: []byte("x")})
		mustSend(t, &a.machine, Message{Stream: 65535, Data: []byte("x")})
	}
	a.outSSN.page(4)[0], b.inSSN.page(4)[0] = 65534, 65534
	for range 4 {
		mustSend(t, &a.machine, Message{Stream: 4 << 8, Data: []byte("x")})
	}
	b.carry(begin, a)
	b.acknowledge()
	a.carry(begin, b)
	if r := a.retrieve(); count != 16 || len(r.Unsent)+len(r.Unacknowledged) != 0 {
		t.Fatalf("%d of 16 arrived; left %+v", count, r)
	}
}

func TestHeartbeats(t *testing.T) {
	a, b := upPair(t)
	at, err := a.tick(begin)
	if err != nil || !at.Equal(begin.Add(time.Second)) {
		t.Fatalf("first due at %v, %v", at, err)
	}
	a.tick(at)
	b.carry(at, a)
	back := at.Add(30 * time.Millisecond)
	a.carry(back, b)
	if rtt, _, _ := a.watch.RTT(); rtt != 30*time.Millisecond {
		t.Errorf("RTT %v", rtt)
	}
	now := back
	for {
		next, err := a.tick(now)
		if err != nil {
			if !errors.Is(err, ErrSilent) || now.Sub(back) != 3*time.Second+30*time.Millisecond {
				t.Fatalf("given up after %v: %v", now.Sub(back), err)
			}
			return
		}
		now = next
	}
}

// TestUnanswered: a peer that talks but never answers heartbeats is found out, and costs no more memory.
func TestUnanswered(t *testing.T) {
	s := newSide(t)
	s.input(begin, unhex(t, "01070004"))
	now := begin
	for range maxAsked + 1 {
		now = now.Add(time.Second)
		if _, err := s.tick(now); err != nil {
			if !errors.Is(err, ErrProtocol) || len(s.asked) != maxAsked {
				t.Fatalf("%d asked: %v", len(s.asked), err)
			}
			return
		}
		s.input(now, []byte{chunkData, 0, 0, 4})
	}
	t.Fatal("never found out")
}

// TestChoked: heartbeats are not answered without end to a peer that does not read.
func TestChoked(t *testing.T) {
	a, b := upPair(t)
	for range 5 {
		tlv := make([]byte, 60<<10)
		tlv[1], tlv[2], tlv[3] = infoType, 60<<10>>8, 0
		a.put(&chunk{kind: chunkHeartbeat, body: tlv}, nil)
	}
	b.carry(begin, a)
	if !b.choked() {
		t.Fatal("not choked")
	}
	out := b.output(1 << 20)
	if b.choked() || len(out) != 5*(60<<10+chunkHeader) || b.pool.Out() != 0 {
		t.Fatalf("%d bytes of answers; choked %v, %d bytes held", len(out), b.choked(), b.pool.Out())
	}
}

// TestHeld: a large message is written from where it lies, and let go when it is written.
func TestHeld(t *testing.T) {
	a, b := upPair(t)
	var got []byte
	b.got = func(m Message) { got = append(got, m.Data...) }
	block := a.pool.Get(loop.LargeBuffer)
	for i := range block.Bytes {
		block.Bytes[i] = byte(i * 7)
	}
	want := block.Bytes[11 : 11+50_001]
	if err := a.send(&Message{Data: want}, block); err != nil {
		t.Fatal(err)
	}
	block.Drop()
	if out := a.pool.Out(); out != loop.LargeBuffer+loop.SmallBuffer {
		t.Errorf("%d bytes held while queued", out)
	}
	b.input(begin, a.output(1<<20))
	if !bytes.Equal(got, want) || a.pool.Out() != 0 {
		t.Errorf("%d bytes arrived, %d bytes held", len(got), a.pool.Out())
	}
}

func TestRefusals(t *testing.T) {
	s := newSide(t)
	tests := []struct {
		m    Message
		want error
	}{
		{Message{Unordered: true}, ErrUnordered},
		{Message{Lifetime: time.Second}, ErrLifetime},
		{Message{Data: make([]byte, maxData+1)}, ErrTooLong},
		{Message{Data: make([]byte, maxData)}, nil},
	}
	for _, tt := range tests {
		if err := s.send(&tt.m, nil); !errors.Is(err, tt.want) {
			t.Errorf("%v, want %v", err, tt.want)
		}
	}
	if s.sent.next != 1 {
		t.Errorf("%d messages queued", s.sent.next)
	}
}
