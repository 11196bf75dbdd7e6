package session

import (
	"testing"
	"time"
)

// Sessions that were given to an element which is not reached go on to another one when the dial that they wait for has failed, however
// many associations there are to be: one that is begun later must not have them wait for it in its turn, and so on without end.
func TestSpreadUnreached(t *testing.T) {
	for _, spread := range []int{1, 2, 4} {
		r := newRig(t, options{spread: spread, elements: 2, priority: true})
		first, second := r.stations[0], r.stations[1]
		for range 8 {
			r.client().says("GET 1\n", false)
		}
		r.until("all are answered", func() bool { return r.answered("re GET 1\n") })
		second.host.Kill()
		second.e.Close()
		first.host.Vanish()
		come := func(d time.Duration) {
			for range d / (50 * time.Millisecond) {
				r.client().says("GET 1\n", false)
				r.w.RunFor(50 * time.Millisecond)
			}
		}
		come(9 * time.Second)
		second.host.Restart()
		second.start(0x90)
		waiting := r.clients[8:]
		come(6 * time.Second) // twice what a dial may take
		late := 0
		for _, c := range waiting {
			if string(c.got) != "re GET 1\n" {
				late++
			}
		}
		if late > 0 {
			t.Errorf("spread over %d: %d of %d sessions are not answered 6s after there is an element again", spread, late, len(waiting))
		}
		first.e.Close()
		r.close()
	}
}
