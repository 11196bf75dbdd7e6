package session

import "time"

// An element remembers legs that have ended, so that an older leg is void for ever and not only while a newer one lives, and so
// that it can tell a pool user whose OPEN was lost that it never came.

const (
	endedFor  = 10 * time.Minute // longer than anybody tries to resume
	mostEnded = 1 << 16
)

// endings are the legs that have ended, by token. The zero value is empty.
type endings struct {
	last  map[Token]ending
	order queue[Token]
	lost  time.Time // when one was last forgotten before its time; zero: never
}

type ending struct {
	number uint32
	at     time.Time
}

// add notes that a leg has ended, or must never begin.
func (e *endings) add(token Token, number uint32, now time.Time) {
	if e.last == nil {
		e.last = make(map[Token]ending)
	}
	if _, known := e.last[token]; !known {
		e.order.push(token)
	}
	e.last[token] = ending{number: max(number, e.last[token].number), at: now}
	for e.order.len() > 0 {
		oldest := e.order.first()
		age := now.Sub(e.last[oldest].at)
		if age < endedFor && e.order.len() <= mostEnded {
			return
		}
		e.order.pop()
		switch {
		case age >= endedFor:
			delete(e.last, oldest)
		case oldest == token || e.order.len() > mostEnded:
			delete(e.last, oldest)
			e.lost = now
		default: // it has come again since
			e.order.push(oldest)
		}
	}
}

// number is the highest leg of the session that has ended here.
func (e *endings) number(token Token) (number uint32, ok bool) {
	x, ok := e.last[token]
	return x.number, ok
}

// complete reports whether a leg of which nothing is known has never been here.
func (e *endings) complete(now time.Time) bool { return e.lost.IsZero() || now.Sub(e.lost) >= endedFor }
