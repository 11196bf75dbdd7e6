package session

import (
	"fmt"
	"strings"

	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// state is one thing that a new server has to be told before it can carry a session on: a login, a setting, a subscription.
type state struct {
	key    string
	send   []byte
	tell   []byte // for the client, once it is set
	never  string // why it cannot be set again; "" if it can
	values map[string]string
	end    int64 // of the client's request, an offset in its stream
	first  int64 // the same of the request that first set the key
}

// states are kept in the order in which they were last set, one of a key.
type states struct {
	list  []state
	bytes int // what they take: see size
}

// overflow is the one key of all that there was no room for. No protocol has it: it begins with a space.
const overflow = " more"

// maxOwn is the longest request that is kept to set a state again.
const maxOwn = 64 << 10

// complete keeps a copy of a request that will have to be sent again to set its state, before it can be released.
func (s *Session) complete(m *retrieval.Message[*request]) {
	c := connectionOf(m.About.Request)
	var unit *protocol.Unit
	if c != nil {
		unit = c.Unit()
	}
	if s.inUnit != unit {
		s.inUnit, s.unitSince = unit, s.u.c.Loop.Now()
	}
	if c == nil {
		return
	}
	if unit != nil && unit.Ended && m.About.Expect == protocol.ExpectNone {
		unit.Mute = true
	}
	for _, change := range c.Changes() {
		if change.Send == nil && !change.Void && change.Never == "" && m.End-m.Start <= maxOwn && s.store.Start() <= m.Start {
			m.About.own = s.store.Copy(nil, m.Start, m.End)
			break
		}
	}
	if s.whole && m.About.Expect == protocol.ExpectNone {
		s.apply(m, c)
	}
}

// carried notes that a message without a reply was carried out, as far as that can be known. Until then it sets its state by itself:
// behind the messages that came before it.
func (s *Session) carried(m *retrieval.Message[*request]) {
	m.Released = true
	if c := connectionOf(m.About.Request); c != nil && !s.whole {
		s.apply(m, c)
	}
}

// carriedBefore releases the one-way messages before m: the server that has answered m has read them, whatever it has acknowledged
// yet. Behind a state that m has set they would mean something else to another server.
func (s *Session) carriedBefore(m *retrieval.Message[*request]) {
	if s.whole {
		return
	}
	for before := range s.store.Kept() {
		if before.Start >= m.Start {
			return
		}
		if before.Complete() && before.About.Expect == protocol.ExpectNone {
			s.carried(before)
		}
	}
}

// changed notes what a request that was carried out has changed in the state of its connection.
func (s *Session) changed(m *retrieval.Message[*request]) {
	if c := connectionOf(m.About.Request); c != nil && c.Outcome() == protocol.OutcomeDone {
		s.apply(m, c)
	}
}

func (s *Session) apply(m *retrieval.Message[*request], c protocol.Connection) {
	for _, change := range c.Changes() {
		x := state{key: change.Key, send: change.Send, tell: change.Tell, never: change.Never, values: change.Values, end: m.End}
		if x.send == nil {
			x.send = m.About.own
		}
		switch {
		case change.Void:
			s.states.void(change.Key)
			continue
		case x.send == nil && x.never == "":
			x.never = fmt.Sprintf("%s is longer than %d bytes", m.About.Label, maxOwn)
		}
		if s.states.without(x.key)+x.size() > s.u.c.Memory {
			x = state{key: overflow, end: m.End, never: "it passed retrieval.memory"}
		}
		s.states.set(x)
	}
	m.About.own = nil
}

// set adds a state behind all others; an earlier one of the same key goes.
func (l *states) set(x state) {
	x.first = x.end
	for i := range l.list {
		if l.list[i].key == x.key {
			x.first = l.list[i].first
		}
	}
	l.remove(func(key string) bool { return key == x.key })
	l.list = append(l.list, x)
	l.bytes += x.size()
}

// void removes the state of the key, and all whose keys begin with it and a space; of "" it removes everything.
func (l *states) void(key string) {
	l.remove(func(other string) bool { return key == "" || other == key || strings.HasPrefix(other, key+" ") })
}

func (l *states) remove(is func(key string) bool) {
	kept := l.list[:0]
	for _, x := range l.list {
		if is(x.key) {
			l.bytes -= x.size()
		} else {
			kept = append(kept, x)
		}
	}
	clear(l.list[len(kept):])
	l.list = kept
}

// size is what a state takes: its bytes, and what it costs to remember it.
func (x *state) size() int { return len(x.send) + len(x.tell) + len(x.key) + messageBytes }

// without is what all states take but that of the key.
func (l *states) without(key string) int {
	for i := range l.list {
		if l.list[i].key == key {
			return l.bytes - l.list[i].size()
		}
	}
	return l.bytes
}

// upTo are the states that were set up to the offset.
func (l *states) upTo(end int64) []state {
	for i := range l.list {
		if l.list[i].end > end {
			return l.list[:i]
		}
	}
	return l.list
}

// possible says why the states cannot be set at another server; nil if they can.
func (l *states) possible() error {
	for i := range l.list {
		if l.list[i].never != "" {
			return fmt.Errorf("the state of the connection cannot be restored: %s", l.list[i].never)
		}
	}
	return nil
}

// values are what state blocks have captured, for callbacks.
func (l *states) values() map[string]map[string]string {
	var all map[string]map[string]string
	for i := range l.list {
		if x := &l.list[i]; x.values != nil {
			if all == nil {
				all = make(map[string]map[string]string)
			}
			all[x.key] = x.values
		}
	}
	return all
}

// connectionOf is what the protocol says about the request and its connection, nil if it says nothing.
func connectionOf(r *protocol.Request) protocol.Connection {
	if r == nil || r.Detail == nil {
		return nil
	}
	c, _ := r.Detail.(protocol.Connection)
	return c
}

func failedOutcome(r *protocol.Request) bool {
	c := connectionOf(r)
	return c != nil && c.Outcome() == protocol.OutcomeFailed
}
