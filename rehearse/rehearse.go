// Package rehearse compares what clients were answered with what another element answers to the same messages: it finds the first byte that
// differs for each kind of message, says what that is where it is certain, and whether a reply that was cut there would have been
// joined. It is pure: what was said and answered comes in, a report goes out.
package rehearse

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/poolproxy/poolproxy/protocol"
)

// Exchange is a message of a client, the reply that the client got to it, and what the element for rehearsals has answered. The bytes are the
// caller's, and are not changed.
type Exchange struct {
	Said   []byte // as the client sent it
	Client []byte // the whole reply
	Again  []byte // what the other element has answered, whole or not
	Whole  bool   // Again is a whole reply
	Silent bool   // the message has no reply; nothing is compared
}

// Kind is what became of the messages of one kind.
type Kind struct {
	Kind      string      `json:"kind"`      // as the protocol calls it: "GET /users/*", "PING", "line GET"
	Replies   int         `json:"replies"`   // that were compared
	Same      int         `json:"same"`      // byte for byte
	Different int         `json:"different"` // the others: also those that did not come in full
	Joined    int         `json:"joined"`    // of the different ones: those that would be joined all the same, had the client's been cut
	Bytes     int64       `json:"bytes"`     // that the client got
	First     *Difference `json:"first"`     // the first one that would not be joined, else the first of all; nil: there is none

	numbers []pair // of one session, at the place that differs
	of      uint64 // which session
}

// Difference is the first byte of a reply that differs.
type Difference struct {
	Session   uint64 `json:"session"`
	Message   int    `json:"message"`    // of the session: 1, 2, 3 ...
	Request   string `json:"request"`    // as the log would call it
	Offset    int64  `json:"offset"`     // in the reply
	Client    string `json:"client"`     // bytes around it, quoted as in Go
	Rehearsal string `json:"rehearsal"`  // the same
	Cause     string `json:"cause"`      // what differs, where that is certain; "": it is not recognised
	NotJoined string `json:"not_joined"` // why a reply that was cut would not be joined; "": it would be
}

// mostKinds bounds how many kinds are told apart; otherKinds is what the others are.
const (
	mostKinds  = 200
	otherKinds = "others"
)

// Tally compares sessions, one after another.
type Tally struct {
	protocol protocol.Protocol
	kinds    map[string]*Kind
	order    []*Kind
}

// NewTally returns a Tally of sessions that speak p.
func NewTally(p protocol.Protocol) *Tally {
	return &Tally{protocol: p, kinds: make(map[string]*Kind)}
}

// kind is where a message counts.
func (t *Tally) kind(name string) *Kind {
	k := t.kinds[name]
	if k == nil && len(t.order) >= mostKinds {
		name = otherKinds
		k = t.kinds[name]
	}
	if k == nil {
		k = &Kind{Kind: name}
		t.kinds[name] = k
		t.order = append(t.order, k)
	}
	return k
}

// Session takes the messages of one session, from its first on.
func (t *Tally) Session(id uint64, all []Exchange) {
	w := &walk{protocol: t.protocol, requests: t.protocol.Requests(), replies: t.protocol.Replies()}
	for i := range all {
		e := &all[i]
		req := w.request(e.Said)
		if e.Silent {
			continue
		}
		at, same := differ(e.Client, e.Again)
		same = same && e.Whole
		k := t.kind(kindOf(t.protocol, req, e.Said))
		delivered, err := w.reply(req, e.Client, !same)
		k.Replies++
		k.Bytes += int64(len(e.Client))
		if same {
			k.Same++
			continue
		}
		k.Different++
		d := t.difference(e, at)
		d.Session, d.Message, d.Request = id, i+1, labelOf(req)
		k.note(id, e, at)
		if err == nil {
			err = w.join(req, e, delivered)
		}
		if err != nil {
			d.NotJoined = err.Error()
		} else {
			k.Joined++
		}
		if k.First == nil || k.First.NotJoined == "" && d.NotJoined != "" {
			k.First = d
		}
	}
}

// Stream takes a session of which nothing is known but bytes: all that the client has must come again, in the same order.
func (t *Tally) Stream(id uint64, said, client, again []byte) {
	at, _ := differ(client, again)
	k := t.kind("stream")
	k.Replies, k.Bytes = k.Replies+1, k.Bytes+int64(len(client))
	if at == len(client) {
		k.Same++
		return
	}
	k.Different++
	e := &Exchange{Said: said, Client: client, Again: again}
	d := t.difference(e, at)
	d.Session, d.Message, d.Request, d.NotJoined = id, 1, "stream", "all that the client has must come again"
	k.note(id, e, at)
	if k.First == nil {
		k.First = d
	}
}

// Kinds are all kinds that there were: those with differences first, then by how many messages they have.
func (t *Tally) Kinds() []Kind {
	out := make([]Kind, 0, len(t.order))
	for _, k := range t.order {
		if k.First != nil && strings.HasSuffix(k.First.Cause, aNumber) {
			if c := counter(k.numbers); c != "" {
				k.First.Cause = strings.TrimSuffix(k.First.Cause, aNumber) + c
			}
		}
		out = append(out, *k)
	}
	slices.SortStableFunc(out, func(a, b Kind) int {
		return cmp.Or(cmp.Compare(b.Different-b.Joined, a.Different-a.Joined), cmp.Compare(b.Different, a.Different), cmp.Compare(b.Replies, a.Replies))
	})
	return out
}

// differ is the offset of the first byte that differs; same: there is none, and both are as long.
func differ(a, b []byte) (at int, same bool) {
	n := min(len(a), len(b))
	if bytes.Equal(a[:n], b[:n]) {
		return n, len(a) == len(b)
	}
	for a[at] == b[at] {
		at++
	}
	return at, false
}

// Bytes before the one that differs, and from it on, that are shown.
const (
	shownBefore = 16
	shownFrom   = 24
)

// around shows a few bytes, readable.
func around(p []byte, at int) string {
	from, to := max(0, at-shownBefore), min(len(p), at+shownFrom)
	if from >= to {
		return `""`
	}
	text := strconv.QuoteToASCII(string(p[from:to]))
	if from > 0 {
		text = "…" + text
	}
	if to < len(p) {
		text += "…"
	}
	return text
}

// difference describes the first byte that differs.
func (t *Tally) difference(e *Exchange, at int) *Difference {
	d := &Difference{Offset: int64(at), Client: around(e.Client, at), Rehearsal: around(e.Again, at)}
	switch {
	case at == len(e.Again) && at < len(e.Client) && len(e.Again) == 0:
		d.Cause = "nothing was answered"
	case at == len(e.Again) && at < len(e.Client):
		d.Cause = "the rehearsal's ends here"
	case at == len(e.Client) && at < len(e.Again):
		d.Cause = "the client's ends here"
	case at == len(e.Client):
		d.Cause = "the same bytes, but the rehearsal's reply has not ended with them"
	default:
		d.Cause = cause(t.protocol.Name(), e.Client, e.Again, at)
	}
	return d
}

// Sum is what all kinds come to.
func (t *Tally) Sum() (sum Kind) {
	for _, k := range t.order {
		sum.Replies, sum.Same, sum.Different = sum.Replies+k.Replies, sum.Same+k.Same, sum.Different+k.Different
		sum.Joined, sum.Bytes = sum.Joined+k.Joined, sum.Bytes+k.Bytes
	}
	return sum
}
