package session

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// seeds is how many random conversations each of these tests holds.
const seeds = 120

// talker plays a pool user by chance: legal steps, until one lie.
type talker struct {
	*liar
	rand    *rand.Rand
	station *station
	legs    map[uint16]*toldLeg
	opened  int
	lives   []*liar // all its associations
	did     []string
}

// toldLeg is a leg as its liar should know it.
type toldLeg struct {
	token Token
	sent  int64
	ended bool
}

func (k *talker) note(format string, args ...any) {
	k.did = append(k.did, fmt.Sprintf(format, args...))
}

func (k *talker) connect() {
	k.liar = k.r.liar("liar", k.station, 0x66)
	k.lives = append(k.lives, k.liar)
	k.legs = make(map[uint16]*toldLeg)
	k.hello()
}

// pick is one of the streams in use; ok is false when there is none.
func (k *talker) pick() (stream uint16, leg *toldLeg, ok bool) {
	for n := 0; n < 20 && len(k.legs) > 0; n++ {
		stream = uint16(1 + k.rand.IntN(6))
		if leg = k.legs[stream]; leg != nil {
			return stream, leg, true
		}
	}
	return 0, nil, false
}

// credit is how far the element lets the leg send.
func (k *talker) credit(stream uint16) int64 {
	credit := int64(k.r.o.legs)
	for _, m := range k.heard[stream] {
		if m.typ == typeAck || m.typ == typeResumed {
			credit = max(credit, m.credit)
		}
	}
	return credit
}

// legal does one thing that a pool user may do.
func (k *talker) legal() {
	stream, leg, ok := k.pick()
	switch n := k.rand.IntN(12); {
	case n < 2 || !ok:
		if stream = uint16(1 + k.rand.IntN(6)); k.legs[stream] == nil && len(k.heard[stream]) == 0 {
			k.opened++
			k.legs[stream] = &toldLeg{token: token16(byte(k.opened * 3))}
			k.tell(stream, &message{typ: typeOpen, token: k.legs[stream].token, leg: 1, hold: time.Minute})
			k.note("open %d", stream)
		}
	case n < 6 && !leg.ended:
		line := strings.Repeat("d", k.rand.IntN(4000)) + "\n"
		if leg.sent+int64(len(line)) <= k.credit(stream) {
			leg.sent += int64(len(line))
			k.data(stream, line)
			k.note("%d bytes on %d", len(line), stream)
		}
	case n < 8:
		received := int64(len(k.bytes[stream]))
		k.tell(stream, &message{typ: typeAck, received: received, credit: received + int64(k.rand.IntN(20_000))})
		k.note("ack %d on %d", received, stream)
	case n < 9 && !leg.ended:
		leg.ended = true
		k.tell(stream, &message{typ: typeFinish, total: leg.sent})
		k.note("finish %d", stream)
	case n < 10:
		delete(k.legs, stream)
		if k.lasts[stream] {
			break
		}
		k.tell(stream, &message{typ: []uint8{typeClosed, typeReset}[k.rand.IntN(2)]})
		k.note("end %d", stream)
	case n < 11 && k.rand.IntN(4) == 0:
		k.comeBack()
	default:
		k.r.w.RunFor(time.Duration(k.rand.IntN(5000)) * time.Microsecond)
	}
}

// comeBack breaks the association and resumes its legs on a new one, from where they are.
func (k *talker) comeBack() {
	k.note("break")
	old, legs := k.liar, k.legs
	k.a.Abort()
	k.connect()
	for stream := range uint16(7) {
		if leg := legs[stream]; leg != nil {
			received := int64(len(old.bytes[stream]))
			k.tell(stream, &message{typ: typeResume, token: leg.token, leg: 1, received: received, credit: received + 5000})
		}
	}
	k.note("come back with %d legs", len(legs))
}

// odd is a position or a credit: near what may be, and far from it.
func odd(r *rand.Rand, near int64) int64 {
	list := []int64{0, 1, near - 1, near, near + 1, near * 2, 1 << 20, maxCredit, maxCredit + near, maxCredit + near + 1, 1<<62 - 1, 1 << 62, -1}
	return list[r.IntN(len(list))]
}

// lie is any message, anywhere.
func lie(r *rand.Rand, l *liar, near int64, tokens []Token) string {
	stream := []uint16{0, 1, 2, 3, 6, 7, 0xffff}[r.IntN(7)]
	switch r.IntN(8) {
	case 0:
		n := r.IntN(60_000)
		l.data(stream, big(n))
		return fmt.Sprintf("%d bytes of data on %d", n, stream)
	case 1:
		p := make([]byte, r.IntN(60))
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		ppid := []uint32{mapping.PPIDSession, mapping.PPIDSession, mapping.PPIDASAP, 0, r.Uint32()}[r.IntN(5)]
		l.send(stream, ppid, p)
		return fmt.Sprintf("garbage %x with PPID %x on %d", p, ppid, stream)
	}
	m := message{typ: uint8(r.IntN(13)), code: Code(r.IntN(12)), token: tokens[r.IntN(len(tokens))], leg: uint32(r.IntN(3)),
		hold: time.Duration(r.Uint32()) * time.Millisecond, received: odd(r, near), credit: odd(r, near), total: odd(r, near),
		version: uint8(r.IntN(3)), oldest: uint8(r.IntN(3)), listens: r.IntN(2) == 0, text: big(r.IntN(300))}
	l.tell(stream, &m)
	return fmt.Sprintf("on %d %+v", stream, m)
}

// refusals counts what an Element has refused one of its users, as that heard it.
func (l *liar) refusals() (n int) {
	for _, list := range l.heard {
		for _, m := range list {
			if m.typ == typeRefused || m.typ == typeReset && m.code == CodeProtocol {
				n++
			}
		}
	}
	return n
}

// Any legal conversation, then any message, then more: the Element never panics, other associations' sessions are served to the
// byte, memory stays within the credit, and each refusal is logged.
func TestAnyLieOfPoolUser(t *testing.T) {
	for seed := range uint64(seeds) {
		r := newRig(t, options{seed: seed + 1})
		s := r.stations[0]
		h := r.honest()
		k := &talker{liar: &liar{r: r}, rand: r.w.Rand(), station: s}
		k.connect()
		h.ask()
		at := k.rand.IntN(40)
		for step := range at + 20 {
			if step == at {
				tokens := []Token{h.c.session.token, token16(3), token16(6), token16(0xcc)}
				k.note("LIE: %s", lie(k.rand, k.liar, int64(len(k.bytes[1])), tokens))
			} else {
				k.legal()
			}
			if n, most := stored(s.host), (k.opened+2)*4*(r.o.legs+loop.LargeBuffer)+(256<<10); n > most {
				t.Errorf("the element holds %d bytes, more than %d", n, most)
			}
		}
		r.w.RunFor(time.Second)
		h.unharmed()
		heard, said := 0, 0
		for _, l := range k.lives {
			heard += l.refusals()
			if l.down != nil && !r.logged("association refused") {
				t.Errorf("%v, and it is not logged", l.down)
			}
		}
		for _, line := range r.logs {
			if strings.Contains(line, " refused") || strings.Contains(line, "leg ended") {
				said++
			}
		}
		if heard > said {
			t.Errorf("%d refusals, %d logged", heard, said)
		}
		r.close()
		if t.Failed() {
			t.Fatalf("seed %d: %s", seed, strings.Join(k.did, "\n"))
		}
	}
}

// The same of an element: the User never panics, sessions at other elements are served to the byte, memory is bounded, and when
// the liar is gone its session has ended, or goes on elsewhere.
func TestAnyLieOfElement(t *testing.T) {
	fates := make(map[string]int)
	for seed := range uint64(seeds) {
		r, h, victim, last := mixedRig(t, options{seed: seed + 1})
		rand := r.w.Rand()
		for range rand.IntN(6) {
			victim.says("GET "+big(rand.IntN(3000))+"\n", false)
			r.w.RunFor(time.Duration(rand.IntN(3000)) * time.Microsecond)
		}
		var did []string
		for range 1 + rand.IntN(3) {
			if l := last(); l != nil {
				did = append(did, lie(rand, l, int64(len(l.bytes[1])), []Token{token16(1), victim.session.token}))
			}
			r.w.RunFor(time.Duration(rand.IntN(2000)) * time.Microsecond)
			if n, most := stored(r.host), 3*4*(r.o.memory+loop.LargeBuffer)+(256<<10); n > most {
				t.Errorf("the user holds %d bytes, more than %d", n, most)
			}
		}
		h.unharmed()
		r.stations[0].host.Kill()
		r.w.RunFor(10 * time.Second)
		fate := "ended"
		if !victim.reset && !victim.finished && !victim.closed {
			fate = "went on"
			victim.says("GET on\n", false)
			r.until("the liar's session goes on", func() bool {
				return strings.HasSuffix(string(victim.got), "re GET on\n") || victim.reset || victim.finished
			})
		}
		fates[fate]++
		r.close()
		if t.Failed() {
			t.Fatalf("seed %d: %s", seed, strings.Join(did, "\n"))
		}
	}
	if fates["went on"] < seeds/4 {
		t.Errorf("the lies are not what they were meant to be: %v", fates)
	}
}
