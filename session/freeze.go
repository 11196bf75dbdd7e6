package session

import (
	"errors"
	"fmt"
)

// A process that is replaced by another one (an upgrade) leaves it its sessions: each is frozen, between two events, into bytes, and thawed
// over there, with the same socket. Freezing changes nothing: if the new process does not take over, the old one goes on as if nothing had
// been. Thawing has no effect outside the process before Resume: if it fails, nothing has happened.
//
// Associations are not carried. To the other sidecar an upgrade is an association that was cut: the thawed pool user resumes each leg over a
// new association with the same element, at once; the thawed element has its legs wait for that, and tells its pool users by its instance that
// it is still the same. So neither side needs anything of the other, and both may be upgraded in any order.

// FreezeVersion is the version of the format of what is frozen. Each build reads its own, and those before it that it says it reads.
const FreezeVersion = 1

// ErrFrozen is wrapped by the errors of thawing: the bytes are of another version, of another protocol, or broken. Nothing was taken over.
var ErrFrozen = errors.New("session: what another process has frozen is not taken")

// ErrNotFreezable is wrapped by the errors of freezing: something about the session cannot leave its process.
var ErrNotFreezable = errors.New("session: it cannot be frozen")

var errNotYet = fmt.Errorf("%w: not yet", ErrNotFreezable)

// Freeze appends to p what belongs to the pool user's side as a whole: its instance, who the elements of its associations were, how long
// ago they were lost, its counters. It is called between two events.
func (u *User) Freeze(p []byte) []byte { return p }

// Thaw takes over what Freeze of another process has written, its instance included, by which elements know whose legs are resumed. It is
// called first of all on a new User. After an error (ErrFrozen) the User must not be used.
func (u *User) Thaw(p []byte) error { return errNotYet }

// Freeze appends to p all that there is of the session. It is called between two events; the session itself is not changed by it, and may go
// on. An error wraps ErrNotFreezable and says why.
func (s *Session) Freeze(p []byte) ([]byte, error) { return p, errNotYet }

// ThawSession takes over a session that Freeze of another process has written, with the client's socket, which is not used before Resume. It is
// called between User.Thaw and User.Resume. After an error (ErrFrozen) nothing of the session is there, and the socket is the caller's.
func (u *User) ThawSession(p []byte, socket Socket) (*Session, error) { return nil, errNotYet }

// Resume has the thawed sessions go on: their clocks run, what their clients had not taken is written, their legs are resumed. From here on
// it is this process that serves them.
func (u *User) Resume() {}

// Leave is for the process that was replaced, once the other one has Resumed: it forgets all sessions and associations without touching a
// client's socket. Nothing is called afterwards. Associations are ended, if that was not done before.
func (u *User) Leave() {}

// Socket is the client's, as it was given to Accept or ThawSession.
func (s *Session) Socket() Socket { return s.out.socket }

// HasEnded reports whether the client has finished sending, which was told by End. Its socket need not be read any more.
func (s *Session) HasEnded() bool { return s.ended }

// Freeze appends to p what belongs to the pool element's side as a whole: its instance, which legs have ended, what the health check has
// found. It is called between two events.
func (e *Element) Freeze(p []byte) []byte { return p }

// Thaw takes over what Freeze of another process has written, its instance included, by which pool users know that the element is still
// the same: else their sessions would fail over. It is called first of all on a new Element. After an error (ErrFrozen) the Element must
// not be used.
func (e *Element) Thaw(p []byte) error { return errNotYet }

// EachLeg calls f for every leg that has not ended, always in the same order.
func (e *Element) EachLeg(f func(*Leg)) {}

// Freeze appends to p all that there is of the leg. As Session.Freeze.
func (g *Leg) Freeze(p []byte) ([]byte, error) { return p, errNotYet }

// ThawLeg takes over a leg that Freeze of another process has written, with the server's socket, which is not used before Resume. It is
// called between Thaw and Resume. After an error (ErrFrozen) nothing of the leg is there, and the socket is the caller's. If the leg is
// Connecting, its owner tells Connected or ConnectFailed, as after ElementConfig.Connect.
func (e *Element) ThawLeg(p []byte, socket Socket) (*Leg, error) { return nil, errNotYet }

// Resume has the thawed legs go on: what their servers had not taken is written, and they wait for their pool users to come back, each for
// as long as was agreed for a leg out of touch.
func (e *Element) Resume() {}

// Leave is for the process that was replaced, once the other one has Resumed: it forgets all legs and associations without touching a
// server's socket. Nothing is called afterwards. Associations are ended, if that was not done before.
func (e *Element) Leave() {}

// Socket is the server's, as it was returned by ElementConfig.Connect or given to ThawLeg.
func (g *Leg) Socket() Socket { return g.out.socket }

// User is the instance of the pool user whose session it is: by that (Token.Spread) several Elements that share an address share the legs.
func (g *Leg) User() Token { return g.user }

// Connecting reports whether the server has not accepted the connection yet.
func (g *Leg) Connecting() bool { return false }

// HasEnded reports whether the server has finished sending, or its connection has failed, which was told by End or Broken. Its socket need
// not be read any more.
func (g *Leg) HasEnded() bool { return g.end }
