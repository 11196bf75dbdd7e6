package protocol

// How a session uses what is here. Changes are kept when the request's Outcome is OutcomeDone; on a new leg they go first, read
// by Requests of their own, their replies split by the leg's Replies and swallowed, an OutcomeFailed being a failed
// expectation. When a leg fails within a unit that has not ended, or whose requests are in flight, the unit is broken: its
// requests are answered by Lost, in their turn, up to the one that ends it, and are not sent. Of other requests in flight each
// that must not be repeated is answered by Lost, and the rest goes on. Replies with Cut.Push end no request.

// Connection is implemented by the Detail of requests in protocols whose connections have a state: what a new leg must be given
// before it can carry on, and what cannot be carried on at all. A Detail that does not implement it, or is nil, changes nothing
// and is of no unit.
type Connection interface {
	// Changes is what the request changes in the state of its connection, in this order, if its Outcome is OutcomeDone (or if it
	// has no reply). The slice is the protocol's.
	Changes() []StateChange

	// Unit is the unit of which the request is a part; nil: it stands alone.
	Unit() *Unit

	// Outcome is what its reply said; OutcomeUnknown before the reply's end.
	Outcome() Outcome

	// Blocks: the server may take as long as it likes to answer, by request; silence is no sign of death.
	Blocks() bool
}

// LostReplies is implemented by protocols in which a connection stays usable when a reply is lost: the error takes the place of
// just that reply.
type LostReplies interface {
	// Lost is the honest error in place of the reply to req, of which no byte went out; nil if req has no reply. doubt says that a
	// server may have carried out the request. The reason is a short text. The bytes are the caller's.
	Lost(req *Request, doubt bool, reason string) []byte
}

// StateChange is one change to the state of a connection. States are kept in the order in which they were last set, one of a key.
type StateChange struct {
	// Key is the kind: a later change of the same key takes the place of an earlier one. It may hold a name that the client
	// chose (a channel), but no secret.
	Key string

	// Void: the state of this key is gone, and all whose keys begin with Key and a space; of the empty Key, everything is.
	Void bool

	// Send is what sets this state on a new connection, one whole request; nil: the bytes of the client's own request.
	Send []byte

	// Tell is for the client, between two replies, once the state is set on a new connection: it makes up for what the
	// client may have missed meanwhile. Mostly nil.
	Tell []byte

	// Values are what was captured of the request, by name, for failover callbacks; nil if nothing was.
	Values map[string]string

	// Never says why the state cannot be had on another connection; "" if it can.
	Never string
}

// Outcome is what a reply said, as far as it matters for what follows.
type Outcome uint8

const (
	OutcomeUnknown Outcome = iota // no reply yet
	OutcomeDone                   // the request was carried out
	OutcomeFailed                 // the reply is an error
	OutcomeQueued                 // it waits for the end of its unit
	OutcomeAborted                // the end of a unit: nothing of it was carried out
)

// Unit is a run of requests that stand or fall together on one connection: a transaction, from its first WATCH or MULTI to its
// EXEC or DISCARD. All of its requests share one Unit, which changes while they come. No part of a unit may be repeated without
// the others, and when its connection is lost the rest that the client still sends must not reach another server: there it
// would be carried out as something else.
type Unit struct {
	Watched bool // it depends on what was read before it (WATCH): repeating the whole would not be the same
	Begun   bool // requests are queued, or were (MULTI)
	Ended   bool // its last request has come
	Unsafe  bool // one of its queued requests must not be repeated
	Members int  // requests so far
	Mute    bool // its last request has no reply that could tell the client of its loss; the session notes that

	broken string
}

// Repeatable: the whole unit may be repeated, from its first request, if the client has the reply to none of them.
func (u *Unit) Repeatable() bool { return !u.Watched && !u.Unsafe }

// Break notes that the unit has lost its connection. The first reason stays.
func (u *Unit) Break(reason string) {
	if u.broken == "" {
		u.broken = reason
	}
}

// Broken is the reason given to Break, "" if the unit is whole: a broken unit's requests are not sent, and are answered by Lost.
func (u *Unit) Broken() string { return u.broken }
