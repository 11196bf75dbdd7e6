package proxy

import (
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/rehearse"
	"github.com/poolproxy/poolproxy/session"
)

// RehearsalReport is what rehearsals of a pool's sessions have shown.
type RehearsalReport struct {
	Pool    string          `json:"pool"`
	Element string          `json:"element"` // the one for rehearsals
	Address string          `json:"address"`
	Works   bool            `json:"works"` // of all pool_users; see there
	Users   []UserRehearsal `json:"pool_users"`
}

// UserRehearsal is what they have shown of one pool_user.
type UserRehearsal struct {
	Name     string             `json:"name"`
	Protocol string             `json:"protocol"`
	Replay   string             `json:"replay"`   // as configured
	Works    bool               `json:"works"`    // what was rehearsed would have come through a failover with that replay
	Session  string             `json:"session"`  // whether replay = "session" would work, in words
	Unacked  string             `json:"unacked"`  // likewise replay = "unacked"; "": it is not for this protocol
	Recorded int                `json:"recorded"` // sessions that are recorded now
	Sessions []SessionRehearsal `json:"sessions"` // that were rehearsed, or were to be
	Kinds    []rehearse.Kind    `json:"kinds"`
	Notes    []string           `json:"notes"` // what is not as it would be at a failover
}

// SessionRehearsal is what became of one session.
type SessionRehearsal struct {
	ID        uint64        `json:"id"`
	Client    string        `json:"client"`
	Messages  int           `json:"messages"`   // of the client, that were recorded
	Repeated  int           `json:"repeated"`   // of them, that were repeated
	Bytes     int64         `json:"bytes"`      // of the client, that were repeated
	Replies   int           `json:"replies"`    // that were compared
	Different int           `json:"different"`  // of them, not the same byte for byte
	NotJoined int           `json:"not_joined"` // of these, those that would not be joined had they been cut
	Stopped   string        `json:"stopped"`    // why what was repeated is not all of the session; "": it is all that was answered
	Failed    string        `json:"failed"`     // why the rehearsal did not come to its end; "": it did
	Took      time.Duration `json:"took_ns"`
}

// result is how it is counted.
func (s *SessionRehearsal) result() string {
	switch {
	case s.Failed != "":
		return "failed"
	case s.NotJoined > 0:
		return "different"
	case s.Different > 0:
		return "joined"
	}
	return "same"
}

// tally compares what has come of one rehearsal.
func (s *SessionRehearsal) tally(t *rehearse.Tally, x *session.Rehearsed) {
	s.Messages, s.Repeated, s.Bytes = x.Of.Messages, x.Sent, int64(len(x.Said))
	s.Stopped, s.Failed = x.Stopped, x.Reason
	before := t.Sum()
	if x.Opaque {
		t.Stream(s.ID, x.Said, x.Heard, x.HeardNow)
	} else {
		t.Session(s.ID, exchanges(x))
	}
	sum := t.Sum()
	s.Replies, s.Different = sum.Replies-before.Replies, sum.Different-before.Different
	s.NotJoined = s.Different - (sum.Joined - before.Joined)
}

// exchanges are what is compared: up to the first reply of which nothing came.
func exchanges(x *session.Rehearsed) (all []rehearse.Exchange) {
	for i, e := range x.Exchanges {
		one := rehearse.Exchange{Said: x.Said[e.Said[0]:e.Said[1]], Client: x.Heard[e.Heard[0]:e.Heard[1]], Silent: !e.Answered}
		if i < len(x.Again) {
			again := x.Again[i]
			one.Again, one.Whole = x.HeardNow[again.Heard[0]:again.Heard[1]], again.Answered
		}
		if !one.Silent && !one.Whole && len(one.Again) == 0 && x.Reason != "" {
			return all // it says why
		}
		all = append(all, one)
	}
	return all
}

// judge says whether what was rehearsed would have come through a failover.
func (u *UserRehearsal) judge(unsafe session.Unsafe) {
	tried, failed, different, notJoined, replies, unsafeAt := 0, 0, 0, 0, 0, ""
	for _, s := range u.Sessions {
		if s.Failed != "" {
			failed++
		} else {
			tried++
		}
		replies, different, notJoined = replies+s.Replies, different+s.Different, notJoined+s.NotJoined
		if s.Stopped != "" && unsafeAt == "" {
			unsafeAt = fmt.Sprintf("session %d: %s", s.ID, s.Stopped)
		}
	}
	whole := true
	switch {
	case different > 0:
		u.Session, whole = fmt.Sprintf("would not work: %d of %d replies are not the same, byte for byte", different, replies), false
	case failed > 0:
		u.Session, whole = fmt.Sprintf("not known: %d of %d sessions could not be rehearsed to their end", failed, failed+tried), false
	case tried == 0:
		u.Session, whole = "not known: nothing was rehearsed", false
	case unsafeAt != "" && unsafe == session.UnsafeRefuse:
		u.Session, whole = "not known beyond what was rehearsed, which is the same: "+unsafeAt, false
	case unsafeAt != "":
		u.Session, whole = "not known beyond what was rehearsed, which is the same, since a rehearsal never repeats what is not safe: "+unsafeAt, false
	default:
		u.Session = fmt.Sprintf("would work: all %d replies are the same, byte for byte", replies)
	}
	u.Works = whole
	if u.Protocol == "stream" {
		return
	}
	joins := notJoined == 0 && failed == 0 && tried > 0
	switch {
	case notJoined > 0:
		u.Unacked = fmt.Sprintf("a session whose reply is cut would end with a reset for %d of %d replies: the new server's could not be joined with it", notJoined, replies)
	case !joins:
		u.Unacked = u.Session
	case different > 0:
		u.Unacked = fmt.Sprintf("would work: of %d replies %d differ, and would be joined all the same if they were cut", replies, different)
	default:
		u.Unacked = fmt.Sprintf("would work: all %d replies are the same", replies)
	}
	if u.Replay != session.ReplaySession.String() {
		u.Works = joins
	}
}
