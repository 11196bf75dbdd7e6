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
	order queue[ended] // one for each time that something was added; of a token only the last one counts
	lost  time.Time    // when one was last forgotten before its time; zero: never
}

type ending struct {
	number uint32
	at     time.Time
	times  int // in order
}

type ended struct {
	token Token
	at    time.Time
}

// add notes that a leg has ended, or must never begin.
func (e *endings) add(token Token, number uint32, now time.Time) {
	if e.last == nil {
		e.last = make(map[Token]ending)
	}
	x := e.last[token]
	e.last[token] = ending{number: max(number, x.number), at: now, times: x.times + 1}
	e.order.push(ended{token, now})
	for e.order.len() > 0 {
		oldest := e.order.first()
		age := now.Sub(oldest.at)
		if age < endedFor && e.order.len() <= mostEnded {
			return
		}
		e.order.pop()
		x := e.last[oldest.token]
		if x.times--; x.times > 0 { // it has come again since
			e.last[oldest.token] = x
			continue
		}
		delete(e.last, oldest.token)
		if age < endedFor {
			e.lost = now
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
