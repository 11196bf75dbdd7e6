package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
	"github.com/poolproxy/poolproxy/whence"
)

// A process that is replaced by another one (an upgrade) leaves it its sessions: each is frozen, between two events, into bytes, and thawed
// over there, with the same socket. Freezing changes nothing: if the new process does not take over, the old one goes on as if nothing had
// been. Thawing has no effect outside before Resume: if it fails, nothing has happened.
//
// Associations are not carried. To the other sidecar an upgrade is an association that was cut: the thawed pool user resumes each leg over a
// new association with the same element, at once; the thawed element has its legs wait for that, and tells its pool users by its instance that
// it is still the same. So neither side needs anything of the other, and both may be upgraded in any order.

// FreezeVersion is the version of the format of what is frozen. A build thaws its own only: a change to what is shown in freeze_*.go, here or
// in protocol, is another version.
const FreezeVersion = 1

// Errors of freezing and thawing.
var (
	// ErrFrozen: the bytes are of another version or protocol, or broken. Nothing was taken over.
	ErrFrozen = errors.New("session: what another process has frozen is not taken")
	// ErrNotFreezable: something about the session cannot leave its process.
	ErrNotFreezable = errors.New("session: it cannot be frozen")
)

// Kinds of frames.
const (
	frozenUser    = 'u'
	frozenSession = 's'
	frozenElement = 'e'
	frozenLeg     = 'l'
)

// frozen appends what show shows, in a frame. The error wraps ErrNotFreezable.
func frozen(p []byte, kind byte, now time.Time, show func(*freeze.Coder)) ([]byte, error) {
	out, err := freeze.Frame(p, kind, FreezeVersion, now, show)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrNotFreezable, err)
	}
	return out, nil
}

// thawed has show fill in what is in the frame. The error wraps ErrFrozen.
func thawed(p []byte, kind byte, now time.Time, show func(*freeze.Coder)) error {
	if err := freeze.Open(p, kind, FreezeVersion, now, show); err != nil {
		return fmt.Errorf("%w: %w", ErrFrozen, err)
	}
	return nil
}

// freezeTimer shows when a timer runs; thawed, at is that time, and the timer is left alone.
func freezeTimer(c *freeze.Coder, armed bool, at *time.Time) {
	if !armed {
		*at = time.Time{}
	}
	c.Time(at)
}

// freeze shows offsets.
func freezeOffsets(c *freeze.Coder, q *queue[int64]) {
	list := q.all()
	freeze.List(c, &list, func(x *int64) { c.Offset(x) })
	if c.Thaws() {
		*q = queue[int64]{items: list}
	}
}

// freeze shows what the socket has not taken. thawed bounds it, in bytes.
func (o *outlet) freeze(c *freeze.Coder, most int64) {
	if len(o.run) > 0 {
		c.Fail("bytes are on their way to a socket: it is not frozen between two events")
	}
	c.Bool(&o.open, &o.held, &o.paused, &o.end, &o.ended)
	c.Offset(&o.accepted, &o.until)
	o.spill.Freeze(c, o.pool, most)
	c.Check(int64(o.spill.Len()) <= o.accepted, "%d bytes are kept for a socket, of %d", o.spill.Len(), o.accepted)
	c.Check(!o.ended || o.end && o.spill.Len() == 0, "an end was told before what comes before it")
}

// freeze shows a cookie.
func (k *keptCookie) freeze(c *freeze.Coder, set func(p []byte)) {
	p := k.bytes
	c.Bytes(&p)
	if c.Check(len(p) <= maxSealed, "a cookie of %d bytes", len(p)) && c.Thaws() && p != nil {
		set(p)
	}
}

// freezeEnds shows whose connection it is, which the next element has to be told.
func freezeEnds(c *freeze.Coder, e *whence.Ends) {
	p := e.Wire(nil)
	if c.Buffer(&p); c.Thaws() {
		var known bool
		*e, known = whence.FromWire(p)
		c.Check(known, "the ends of a client's connection have %d bytes", len(p))
	}
}
