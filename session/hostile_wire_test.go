package session

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// A wire is an association of the side under test, looked at from beside it: what comes from its peer may be changed on the way, as if
// the peer had said something else, and every message that is handed over is judged by a model of docs/protocol.md, which knows nothing
// of the code under test but what it says. The peer is the real other side, so all that comes before the first lie is legal.
type wire struct {
	mapping.Association                 // the real one
	h                   mapping.Handler // the side under test
	t                   *court
	liar                bool     // its peer may lie
	down                bool     // it has ended
	hello               *message // the peer's, when it has been handed over
	credit              int64    // the first credit that the side under test has given

	legs   map[uint16]*suit // by stream
	echoes map[uint16][]byte
	busy   bool                  // a message is being handed over
	saw    []said                // what the side under test said meanwhile
	ended  bool                  // and whether it has ended the association
	twist  func(spoken) []spoken // what becomes of the next message of the peer; nil: it goes as it came
}

// spoken is a message on its way to the side under test.
type spoken struct {
	stream uint16
	ppid   uint32
	data   []byte
}

func (m spoken) String() string {
	var s message
	if m.ppid == mapping.PPIDSession && s.parse(m.data) == nil {
		return fmt.Sprintf("on %d %+v", m.stream, s)
	}
	return fmt.Sprintf("on %d PPID %x, %d bytes, %.40x", m.stream, m.ppid, len(m.data), m.data)
}

// said is a message of the session protocol that the side under test has sent.
type said struct {
	stream uint16
	m      message
}

// suit is a leg as the model sees it.
type suit struct {
	w                            *wire // the association that carries it; nil: it is out of touch
	stream                       uint16
	token                        Token
	user                         Token
	number                       uint32
	over                         bool  // the side under test has said its last message
	took, granted                int64 // of the peer's direction: taken so far, and the credit that was given
	start, sent, highest, credit int64 // of the other one: acknowledged by the peer, sent, and the peer's credit
	end, lost, gaveUp            bool
	holds                        int
}

// verdict is what the protocol has the side under test do with a message.
type verdict struct {
	what    judgement
	codes   []Code // of a refusal
	maybe   bool   // or nothing
	why     string
	forgive bool // the model does not know
}

type judgement uint8

const (
	fine      judgement = iota
	endsAll             // the association is to be ended
	endsLeg             // the leg is to be reset, code 6
	isRefused           // OPEN or RESUME is to be refused
)

func mustEnd(why string) verdict     { return verdict{what: endsAll, why: why} }
func mustReset(why string) verdict   { return verdict{what: endsLeg, why: why} }
func mustRefuse(c ...Code) verdict   { return verdict{what: isRefused, codes: c} }
func (v verdict) orNothing() verdict { v.maybe = true; return v }

// court is the model of one side with all its associations.
type court struct {
	r        *rig
	judge    func(*wire, spoken) verdict
	liars    map[netip.Addr]bool // where peers lie
	wires    []*wire
	tokens   map[Token]*suit
	ended    map[Token]uint32
	counts   map[judgement]int
	maxQueue int
	problems []string
}

func newCourt(r *rig) *court {
	return &court{r: r, liars: make(map[netip.Addr]bool), tokens: make(map[Token]*suit), ended: make(map[Token]uint32), counts: make(map[judgement]int)}
}

func (t *court) complain(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

// watch puts a wire before an association.
func (t *court) watch(a mapping.Association, liar bool) *wire {
	w := &wire{t: t, Association: a, liar: liar, legs: make(map[uint16]*suit), echoes: make(map[uint16][]byte)}
	t.wires = append(t.wires, w)
	return w
}

// accept has the Element take up an association with a wire before it.
func (t *court) accept(e *Element, a mapping.Association) mapping.Handler {
	w := t.watch(a, t.liars[a.Remote().Addr()])
	if w.h = e.Accept(w); w.h == nil {
		return nil
	}
	return w
}

// Dial implements mapping.Dialer, for a User: there is a wire before each association.
func (t *court) Dial(l loop.Loop, to netip.AddrPort, c mapping.Config, h mapping.Handler) mapping.Association {
	w := t.watch(nil, t.liars[to.Addr()])
	w.h = h
	w.Association = mapping.TCPMapping{}.Dial(l, to, c, w)
	return w
}

// Up implements mapping.Handler.
func (w *wire) Up() { w.h.Up() }

// Drained implements mapping.Handler.
func (w *wire) Drained() { w.h.Drained() }

// Down implements mapping.Handler.
func (w *wire) Down(err error) {
	w.lose()
	w.h.Down(err)
}

// lose notes that the association has ended.
func (w *wire) lose() {
	w.down = true
	for _, s := range w.legs {
		s.w = nil
	}
	clear(w.legs)
}

// Receive takes a message of the real peer (mapping.Handler).
func (w *wire) Receive(m mapping.Message) {
	list := []spoken{{m.Stream, m.PPID, slices.Clone(m.Data)}}
	if w.twist != nil && w.hello != nil {
		list = w.twist(list[0])
	}
	for _, x := range list {
		w.hand(x)
	}
}

// hand hands a message over, and compares what becomes of it with the model.
func (w *wire) hand(m spoken) {
	if w.down {
		return
	}
	v := w.t.judge(w, m)
	w.t.counts[v.what]++
	w.busy, w.saw, w.ended = true, nil, false
	w.h.Receive(mapping.Message{Stream: m.stream, PPID: m.ppid, Data: m.data})
	w.busy = false
	w.check(m, v)
}

// check compares what has become of a message with the verdict.
func (w *wire) check(m spoken, v verdict) {
	answered := func(typ uint8, codes ...Code) bool {
		return slices.ContainsFunc(w.saw, func(s said) bool {
			return s.stream == m.stream && s.m.typ == typ && (len(codes) == 0 || slices.Contains(codes, s.m.code))
		})
	}
	reset, refused := answered(typeReset, CodeProtocol), answered(typeRefused)
	switch {
	case v.forgive:
	case v.what == endsAll && !w.ended, v.what != endsAll && w.ended && w.t.maxQueue < fewAnswers:
		w.t.complain("%v: the association was ended: %v; the protocol: %v %s", m, w.ended, v.what, v.why)
	case v.what == endsLeg && !reset && !v.maybe, v.what != endsLeg && reset:
		w.t.complain("%v: the leg was reset: %v; the protocol: %v %s", m, reset, v.what, v.why)
	case v.what == isRefused && !answered(typeRefused, v.codes...) && !v.maybe, v.what == fine && refused:
		w.t.complain("%v: it was refused: %v with %v; the protocol: %v %v %s", m, refused, w.saw, v.what, v.codes, v.why)
	case (v.what == endsLeg || v.what == endsAll) && !v.maybe && !w.t.r.logged("broke the session protocol"):
		w.t.complain("%v: the log says nothing", m)
	}
}

// Send implements mapping.Association, for the side under test.
func (w *wire) Send(m mapping.Message, from *loop.Buffer) error {
	if w.down {
		return mapping.ErrDown
	}
	w.t.sends(w, m)
	err := w.Association.Send(m, from)
	w.t.maxQueue = max(w.t.maxQueue, w.Queued())
	return err
}

// Close implements mapping.Association.
func (w *wire) Close() {
	w.lose()
	w.Association.Close()
}

// Abort implements mapping.Association.
func (w *wire) Abort() {
	w.ended = true
	w.lose()
	w.Association.Abort()
}

// sends follows what the side under test says, and sees to it that it keeps to the protocol itself, whatever it was told.
func (t *court) sends(w *wire, m mapping.Message) {
	s := w.legs[m.Stream]
	if m.PPID == mapping.PPIDMore || m.PPID == mapping.PPIDEnd {
		if s == nil || s.over {
			t.complain("data is sent on stream %d, which carries no leg", m.Stream)
			return
		}
		s.sent += int64(len(m.Data))
		s.highest = max(s.highest, s.sent)
		if s.sent > s.credit {
			t.complain("%d bytes are sent beyond the peer's credit", s.sent-s.credit)
		}
		return
	}
	if m.PPID != mapping.PPIDSession {
		return
	}
	var x message
	if err := x.parse(m.Data); err != nil {
		t.complain("a message is sent that cannot be parsed: %v", err)
		return
	}
	if w.busy {
		w.saw = append(w.saw, said{m.Stream, x})
	}
	t.follow(w, s, m.Stream, &x)
}

// follow takes note of a message that the side under test has sent on a leg.
func (t *court) follow(w *wire, s *suit, stream uint16, x *message) {
	switch {
	case x.typ == typeHello:
		w.credit = x.credit
	case x.typ == typeDrain:
	case x.typ == typeOpen || x.typ == typeResume:
		t.begins(w, stream, x)
	case s == nil:
		if x.typ != typeClosed { // the answer to the peer's last, which the model has taken off the stream already
			t.complain("%+v is sent on stream %d, which carries no leg", *x, stream)
		}
	case s.over:
		t.complain("%+v is sent behind the last message", *x)
	case x.terminal():
		s.over = true
		if x.typ == typeRefused && x.code != CodeServer && t.tokens[s.token] == s { // it has never begun
			delete(t.tokens, s.token)
		}
		t.forget(s)
	case x.typ == typeAck || x.typ == typeResumed:
		s.granted = max(s.granted, x.credit)
		if x.received > s.took {
			t.complain("%d is acknowledged, with %d received", x.received, s.took)
		}
	case x.typ == typeGiveUp:
		s.gaveUp = true
	}
}

// begins notes that the side under test, a pool user, has opened or resumed a leg.
func (t *court) begins(w *wire, stream uint16, x *message) {
	if w.legs[stream] != nil {
		t.complain("a leg is begun on stream %d, which is in use", stream)
	}
	s := t.tokens[x.token]
	if x.typ == typeOpen || s == nil {
		s = &suit{token: x.token, number: x.leg, granted: w.credit, credit: w.hello.credit}
		t.tokens[x.token] = s
	}
	s.w, s.stream = w, stream
	if x.typ == typeResume {
		s.lost, s.granted = true, max(s.granted, x.credit)
	}
	w.legs[stream] = s
}

// forget notes that a leg has ended: nothing of it is held any more.
func (t *court) forget(s *suit) {
	if t.tokens[s.token] == s {
		delete(t.tokens, s.token)
		t.ended[s.token] = max(t.ended[s.token], s.number)
	}
}

// free takes a leg off its stream.
func (w *wire) free(stream uint16) {
	if s := w.legs[stream]; s != nil {
		s.w = nil
		delete(w.legs, stream)
	}
}
