package session

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop/looptest"
)

// An element that has ended more legs than it remembers forgets the oldest, knows the newest, and takes no longer for each.
func TestManyEndings(t *testing.T) {
	var e endings
	now := looptest.NewWorld(1).Now()
	token := func(i int) (t Token) {
		binary.BigEndian.PutUint64(t[:], uint64(i))
		return t
	}
	const n = mostEnded + 1000
	for i := range n {
		now = now.Add(time.Millisecond)
		e.add(token(i), 1, now)
		if _, ok := e.number(token(i)); !ok {
			t.Fatalf("leg %d is forgotten as it ends", i)
		}
	}
	if _, ok := e.number(token(0)); ok || len(e.last) != mostEnded || e.order.len() != mostEnded {
		t.Errorf("the oldest is known: %v; %d are known, in a queue of %d", ok, len(e.last), e.order.len())
	}
	if e.complete(now) {
		t.Error("it claims to know all")
	}
	for range 3 { // one session again and again
		e.add(token(n-1), 2, now)
	}
	if number, _ := e.number(token(n - 1)); number != 2 || e.order.len() > mostEnded {
		t.Errorf("number %d, a queue of %d", number, e.order.len())
	}
	e.add(token(n), 1, now.Add(endedFor))
	if len(e.last) != 1 || e.order.len() != 1 {
		t.Errorf("after a while: %d are known, in a queue of %d", len(e.last), e.order.len())
	}
}
