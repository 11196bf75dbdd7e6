package session

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// plot draws what happens, and what the liar says.
type plot struct {
	*rapid.T
	r    *rig
	t    *court
	host *looptest.Host // of the side under test
	liar *looptest.Host

	old    []spoken // what the liar has said before
	tokens []Token  // of sessions that are not the liar's
	did    []string
	lies   int
}

func (p *plot) note(format string, args ...any) { p.did = append(p.did, fmt.Sprintf(format, args...)) }

func (p *plot) pick(what string, n int) int { return rapid.IntRange(0, n-1).Draw(p.T, what) }

func oneOf[T any](p *plot, what string, list ...T) T { return list[p.pick(what, len(list))] }

// wire is an association of the liar's that is up; nil: there is none.
func (p *plot) wire() *wire {
	var up []*wire
	for _, w := range p.t.wires {
		if w.liar && !w.down && w.hello != nil {
			up = append(up, w)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[p.pick("association", len(up))]
}

// stream is one of those that mean something, or one that means nothing.
func (p *plot) stream(w *wire) uint16 {
	list := []uint16{control}
	for s := range w.legs {
		list = append(list, s, s, s)
	}
	slices.Sort(list)
	return oneOf(p, "stream", append(list, 1, 2, 300, 0xffff)...)
}

// position is near one that means something on the leg, or far from all.
func (p *plot) position(s *suit) int64 {
	if s == nil {
		s = &suit{}
	}
	near := oneOf(p, "near", 0, s.took, s.granted, s.start, s.sent, s.highest, s.credit, s.start+maxCredit, 1<<30, 1<<31, 1<<32, 1<<62, -1<<63)
	return near + int64(p.pick("off", 3)) - 1
}

// token is of some session, or of none.
func (p *plot) token() Token {
	list := append(slices.Clone(p.tokens), token16(0xcc))
	for t := range p.t.tokens {
		list = append(list, t)
	}
	for t := range p.t.ended {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b Token) int { return slices.Compare(a[:], b[:]) })
	return oneOf(p, "token", list...)
}

// anything is any message.
func (p *plot) anything(w *wire) spoken {
	m := spoken{stream: p.stream(w), ppid: mapping.PPIDSession}
	s := w.legs[m.stream]
	switch p.pick("kind", 10) {
	case 0:
		return p.bytes(m, s)
	case 1:
		m.ppid = mapping.PPIDASAP
		m.data = p.words()
	case 2:
		m.ppid = oneOf(p, "ppid", mapping.PPIDSession, mapping.PPIDASAP, 0, 0x70700004, 1<<32-1)
		m.data = rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(p.T, "garbage")
	default:
		m.data = p.control(s)
	}
	return m
}

// bytes is data up to the credit, and beyond.
func (p *plot) bytes(m spoken, s *suit) spoken {
	m.ppid = oneOf(p, "end", mapping.PPIDMore, mapping.PPIDEnd)
	rest := int64(0)
	if s != nil {
		rest = s.granted - s.took
	}
	n := min(max(0, oneOf(p, "length", 0, 1, 7, rest-1, rest, rest+1, maxPiece, 65519)), 65519)
	m.data = []byte(strings.Repeat("x", int(n)))
	if n > 0 && p.pick("line", 2) == 0 {
		m.data[n-1] = '\n'
	}
	return m
}

// words is an ASAP message.
func (p *plot) words() []byte {
	n := oneOf(p, "cookie", 0, 1, sealSize-1, sealSize, 500, maxSealed-1, maxSealed, maxSealed+1, 60000)
	var m asap.Message
	switch p.pick("asap", 4) {
	case 0:
		m = asap.CookieEcho{Cookie: make([]byte, n)}
	case 1:
		m = asap.CookieMessage{Cookie: make([]byte, n)}
	case 2:
		card := cardOf(p.r, oneOf(p, "pool", "things", "stuff"))
		for range p.pick("order", 20) {
			card.Elements = append(card.Elements, card.Elements[0])
		}
		m = card
	default:
		return append([]byte{byte(oneOf(p, "type", 0x0b, 0x0c, 0x0d, 1, 5, 99)), 0, 0, byte(p.pick("length", 20))},
			rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(p.T, "rest")...)
	}
	b, err := asap.Append(nil, m)
	if err != nil {
		p.Fatal(err)
	}
	return b
}

// control is a message of the session protocol, with fields as they may be, or not, and perhaps cut, or too long.
func (p *plot) control(s *suit) []byte {
	m := message{typ: uint8(1 + p.pick("type", len(layout)-1))}
	m.code = Code(p.pick("code", 16))
	m.reads, m.listens, m.drains = p.pick("flag", 2) == 0, true, p.pick("drains", 2) == 0
	switch m.typ {
	case typeHello:
		m.version, m.oldest = byte(p.pick("version", 5)), byte(p.pick("oldest", 5))
		m.instance, m.credit = p.token(), oneOf(p, "credit", int64(0), 1000, maxCredit, maxCredit+1)
	case typeOpen, typeResume:
		m.token, m.hold = p.token(), oneOf(p, "hold", 0, time.Millisecond, time.Minute, (1<<32-1)*time.Millisecond)
		if s = p.t.tokens[m.token]; s == nil {
			s = &suit{number: p.t.ended[m.token]}
		}
		m.leg = uint32(int64(oneOf(p, "leg", 1, s.number, 1<<31, 1<<32-1)) + int64(p.pick("off", 3)) - 1)
		m.reads = p.pick("reads", 2) == 0
	}
	if m.typ == typeResume || m.typ == typeResumed || m.typ == typeAck || m.typ == typeLegFailed {
		m.received, m.credit = p.position(s), p.position(s)
	}
	m.total = p.position(s)
	b := m.append(nil)
	switch p.pick("shape", 12) {
	case 0:
		b = b[:p.pick("cut", len(b))]
	case 1:
		b = append(b, make([]byte, oneOf(p, "more", 1, 255, 256, 60000))...)
	case 2:
		b[p.pick("at", len(b))] ^= byte(1 << p.pick("bit", 8))
	case 3:
		binary.BigEndian.PutUint32(b, rapid.Uint32().Draw(p.T, "head"))
	}
	return b
}

// say has the liar say it now, as if it had come from its peer.
func (p *plot) say(w *wire, times int, list ...spoken) {
	p.host.Later(func() {
		for range times {
			for _, m := range list {
				w.hand(m)
			}
		}
	})
}

// lie does one thing that no right peer does.
func (p *plot) lie() {
	w := p.wire()
	if w == nil {
		return
	}
	p.lies++
	once := func(what string, f func(m spoken) []spoken) {
		p.note("LIE: the next message is %s", what)
		w.twist = func(m spoken) []spoken {
			w.twist = nil
			list := f(m)
			p.note("LIE: %v became %v", m, list)
			return list
		}
	}
	switch p.pick("lie", 12) {
	case 0, 1, 2, 3:
		m := p.anything(w)
		p.note("LIE: %v", m)
		p.say(w, 1, m)
		p.old = append(p.old, m)
	case 4:
		m := p.anything(w)
		once("another", func(spoken) []spoken { return []spoken{m} })
	case 5:
		once("lost", func(spoken) []spoken { return nil })
	case 6:
		once("doubled", func(m spoken) []spoken { return []spoken{m, m} })
	case 7:
		p.note("LIE: two messages in the wrong order")
		w.twist = func(first spoken) []spoken {
			w.twist = func(second spoken) []spoken { w.twist = nil; return []spoken{second, first} }
			return nil
		}
	case 8:
		stream := p.stream(w)
		once("on another stream", func(m spoken) []spoken { m.stream = stream; return []spoken{m} })
	case 9:
		at, bit := p.pick("at", 64), p.pick("bit", 8)
		once("changed", func(m spoken) []spoken {
			if len(m.data) > 0 {
				m.data[at%len(m.data)] ^= 1 << bit
			}
			return []spoken{m}
		})
	case 10:
		if len(p.old) > 0 {
			m := oneOf(p, "old", p.old...)
			p.note("LIE, again: %v", m)
			p.say(w, 1, m)
		}
	default:
		p.storm(w)
	}
}

// storm has the liar repeat itself, perhaps without reading any answer.
func (p *plot) storm(w *wire) {
	list := []spoken{p.anything(w)}
	if p.pick("pair", 2) == 0 {
		list = append(list, p.anything(w))
	}
	n := oneOf(p, "times", 10, 300, 3000)
	deaf := p.pick("deaf", 3) == 0
	p.note("LIE, %d times (it reads: %v): %v", n, !deaf, list)
	if deaf {
		p.liar.Freeze()
	}
	p.say(w, n, list...)
	p.r.w.RunFor(10 * time.Millisecond)
	if deaf {
		p.liar.Thaw()
	}
}

// remember has messages of the liar come again later.
func (p *plot) remember() {
	for _, w := range p.t.wires {
		if w.liar && w.twist == nil && len(p.old) < 20 {
			w.twist = func(m spoken) []spoken { w.twist = nil; p.old = append(p.old, m); return []spoken{m} }
		}
	}
}

// bounded sees to it that memory is what was promised: what is queued for peers, the credit of legs, and a little.
func (p *plot) bounded(legs int) {
	queued := 0
	for _, w := range p.t.wires {
		if !w.down {
			n := w.Queued()
			if queued += n; n > maxAnswers+maxQueued+loop.LargeBuffer {
				p.t.complain("%d bytes are queued on an association", n)
			}
		}
	}
	if n, most := stored(p.host), legs*4*(p.r.o.legs+loop.LargeBuffer)+2*queued+1<<20; n > most {
		p.t.complain("%d bytes are held, more than %d: %d legs, %d queued", n, most, legs, queued)
	}
}

// sentence fails the test if anything was complained of.
func (p *plot) sentence() {
	p.Helper()
	if len(p.t.problems) > 0 || p.r.t.Failed() {
		p.Fatalf("%s\nafter:\n%s", strings.Join(p.t.problems, "\n"), strings.Join(p.did, "\n"))
	}
}
