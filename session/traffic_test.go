package session

import (
	"errors"
	"testing"
	"time"
)

// What of the traffic counts as protected, by what failover allows.
func TestTrafficIsCounted(t *testing.T) {
	const text = "GET 1\nSET 22\nTELL 3\n"
	for name, c := range map[string]struct {
		failover Failover
		want     Traffic
	}{
		"unacked":   {quick, Traffic{1, 6, 2, 14}},
		"none":      {with(quick, func(f *Failover) { f.Replay = ReplayNone }), Traffic{0, 0, 3, 20}},
		"replay":    {with(quick, func(f *Failover) { f.Unsafe = UnsafeReplay }), Traffic{3, 20, 0, 0}},
		"delivered": {with(quick, func(f *Failover) { f.Ack, f.Unsafe = AckDelivered, UnsafeReplay }), Traffic{1, 7, 2, 13}},
		"session":   {with(quick, func(f *Failover) { f.Replay = ReplaySession }), Traffic{1, 6, 2, 14}},
	} {
		r := newRig(t, options{failover: c.failover})
		client := r.client()
		client.says(text, false)
		client.sometime("re GET 1\nre SET 22\n")
		if got := r.user.Traffic(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		r.close()
	}
}

// A server whose health check fails is left by its sessions, takes no new ones, and is found again when it is healthy.
func TestUnhealthyServerIsLeft(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick})
	s := r.stations[0]
	s.app = silent
	c, waiting := r.client(), (*end)(nil)
	c.says("GET 1\n", false)
	s.has("GET 1\n")
	s.slow = time.Minute
	waiting = r.client() // its server is still being connected to
	waiting.says("SET 2\n", false)
	r.until("two legs", func() bool { return len(s.servers) == 2 })
	s.host.Later(func() { s.e.SetHealth(errors.New("it does not answer")) })
	c.sometime("re GET 1\n")
	waiting.sometime("re SET 2\n")
	if !s.servers[0].reset || !s.servers[1].reset {
		t.Error("the connections to the unhealthy server were not reset")
	}
	if x := r.records[0]; x.Detector != "health check" || x.Cause != "the server's health check has failed: it does not answer" {
		t.Errorf("%+v", x)
	}
	s.slow, s.app = 0, echo
	r.stations[1].gone = true
	r.stations[1].die(true)
	r.w.RunFor(time.Second)
	if len(s.servers) != 2 {
		t.Errorf("%d connections while it is not healthy", len(s.servers))
	}
	s.host.Later(func() { s.e.SetHealth(nil) })
	c.says("GET 3\n", false)
	c.sometime("re GET 1\nre GET 3\n")
	r.close()
}
