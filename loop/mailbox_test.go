package loop

import "testing"

// Only the first to post to a loop that waits pays for waking it; a loop with mail may not wait; a closed one is not woken.
func TestMailboxWakesOnlyASleeper(t *testing.T) {
	wakes, ran := 0, 0
	m := mailbox{wake: func() { wakes++ }}
	f := func() { ran++ }
	m.post(f)
	if m.sleep() || wakes != 0 {
		t.Errorf("may wait with mail, or was woken while awake (%d)", wakes)
	}
	m.run()
	if ran != 1 || !m.sleep() {
		t.Errorf("ran %d; may not wait without mail", ran)
	}
	m.post(f)
	m.post(f)
	if wakes != 1 {
		t.Errorf("%d wakes for one sleep", wakes)
	}
	m.awake()
	m.run()
	m.sleep()
	m.close()
	if m.post(f) || ran != 3 || wakes != 1 {
		t.Errorf("after close: ran %d, %d wakes", ran, wakes)
	}
}
