package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/session"
)

// spokesman is a failover callback that says something to every new server and looks at what it answers. Where the schedule allows it
// is unwell at times, or expects too much.
type spokesman struct {
	sim *simulation
}

var errUnwell = errors.New("the callback does not feel well")

// Call implements session.Callback.
func (x *spokesman) Call(at session.Moment, answer func(session.Reaction, error)) {
	m := x.sim
	m.checkMoment(at)
	react := func() {
		if m.fails && m.rand.IntN(8) == 0 {
			answer(session.Reaction{}, errUnwell)
			return
		}
		answer(x.reaction(), nil)
	}
	if m.rand.IntN(2) == 0 {
		react()
		return
	}
	m.user.Schedule(&loop.Timer{Func: react}, m.user.Now().Add(m.between(0, 20*time.Millisecond)))
}

// reaction says a request, and expects the right reply to just that.
func (x *spokesman) reaction() session.Reaction {
	m := x.sim
	m.calls++
	r := &request{kind: 'K', number: m.calls, reply: m.rand.IntN(100)}
	m.dialect.encode(r, m.rand.IntN(100))
	m.said = append(m.said, r.bytes)
	return session.Reaction{Send: r.bytes, Expect: func(reply []byte) error {
		if m.dialect.opaque() {
			return x.whole(r, reply)
		}
		if _, web := m.dialect.(*web); web {
			if !bytes.HasPrefix(reply, []byte("HTTP/1.1 200 OK\r\n")) {
				m.violated("callback %d got %.60q", r.number, reply)
			}
		} else if !x.right(r, reply) {
			m.violated("callback %d got %.60q", r.number, reply)
		}
		if m.fails && m.rand.IntN(8) == 0 {
			return errUnwell
		}
		return nil
	}}
}

func (x *spokesman) right(r *request, reply []byte) bool {
	d := x.sim.dialect
	return bytes.Equal(reply, d.answer(0, r, nil, nil)) || x.sim.differs && bytes.Equal(reply, d.answer(1, r, nil, nil))
}

// whole waits for all of the reply where nobody knows where it ends.
func (x *spokesman) whole(r *request, reply []byte) error {
	if !bytes.HasSuffix(reply, []byte("\n")) {
		return errors.New("not yet")
	}
	if !x.right(r, reply) {
		x.sim.violated("callback %d got %.60q", r.number, reply)
	}
	return nil
}

// checkMoment looks at what a callback is told.
func (m *simulation) checkMoment(at session.Moment) {
	for _, c := range m.clients {
		if c.conn == nil || c.conn.Local().String() != at.Client {
			continue
		}
		for _, r := range c.requests {
			if at.Request != nil && bytes.Equal(r.bytes, at.Request) && r.answered && m.failover.Replay != session.ReplaySession {
				m.violated("a callback is told that request %d of client %d is in flight, which has its answer", r.number, c.index)
			}
		}
		m.checkLogin(c, at)
		return
	}
}

// checkLogin compares the login that a callback is told of with the last one that its client has an answer to.
func (m *simulation) checkLogin(c *client, at session.Moment) {
	d, ok := m.dialect.(*talks)
	if !ok || !d.states {
		return
	}
	told := -1
	if text := at.State["login"]["number"]; text != "" {
		told, _ = strconv.Atoi(text)
	}
	var sure *request
	voided := false
	for _, r := range c.requests {
		if group(r) == 1 && r.answered {
			sure, voided = r, false
		}
		voided = voided || r.kind == 'V' && !r.sent.IsZero()
	}
	switch {
	case sure == nil, told > sure.number, told == sure.number && sure.kind == 'L', told < 0 && (sure.kind == 'V' || voided):
		return
	}
	m.violated("a callback is told that client %d has the login %d, but its client had an answer to %d", c.index, told, sure.number)
}

// goingOn is a failover callback that has interrupted replies continued: in place of the request it asks the new server for the rest.
type goingOn struct {
	sim *simulation
}

// Continues implements session.Continuer.
func (x *goingOn) Continues(request []byte) bool {
	return bytes.HasPrefix(request, []byte("S ")) || bytes.HasPrefix(request, []byte("U "))
}

// Call implements session.Callback.
func (x *goingOn) Call(at session.Moment, answer func(session.Reaction, error)) {
	var want session.Reaction
	if at.Request != nil && x.Continues(at.Request) {
		r, err := x.sim.dialect.decode(at.Request)
		if err != nil {
			x.sim.violated("a callback is told of the request %.60q", at.Request)
		}
		p := fmt.Appendf(nil, "G %d %d %d %d\n", r.client, r.number, r.reply, at.ReplyBytes)
		x.sim.said = append(x.sim.said, p)
		want = session.Reaction{Send: p, Continue: true}
	}
	answer(want, nil)
}

// goOn takes a request for the rest of a reply.
func (c *serverConn) goOn(r *request, raw []byte) error {
	m := c.server.sim
	mine := m.clients[r.client].requests[r.number]
	from, err := strconv.Atoi(strings.Fields(string(raw))[4])
	whole := m.dialect.answer(c.server.variant, mine, raw, m.rand)
	switch {
	case err != nil:
		return err
	case from >= len(whole):
		return errors.New("a callback goes on behind the end")
	case r.number <= c.last:
		return errors.New("a callback goes on with what was before")
	case c.called < m.callbacks:
		return errors.New("a callback goes on before the others were done")
	}
	if c.client < 0 {
		if err := c.checkNote(r.client); err != nil {
			return err
		}
	}
	c.client, c.last, c.worked = r.client, r.number, true
	m.tracef("server%d goes on with %d %d at %d", c.server.element.index, r.client, r.number, from)
	c.answer = whole[from:]
	return nil
}
