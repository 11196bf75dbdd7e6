package session

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// When what is not safe is repeated, by how the old leg was lost: at once where it is certain to be dead, else behind the fence.
func TestFenceWaits(t *testing.T) {
	const fence = 2 * time.Second
	behind := fence + 4*time.Second + (fence+4*time.Second)/fenceShare + fenceMore // 4 s is the rig's silence
	repeat := with(quick, func(f *Failover) { f.Unsafe, f.Fence, f.Resume = UnsafeReplay, fence, 500*time.Millisecond })
	for name, c := range map[string]struct {
		request string
		lose    func(r *rig, s *station)
		waits   time.Duration // at least
		most    time.Duration
	}{
		"the server died":        {"SET 1\n", func(_ *rig, s *station) { s.die(true) }, 0, 100 * time.Millisecond},
		"the server closed":      {"SET 1\n", func(r *rig, s *station) { r.pool.Failed(r.w.Now(), s.name); s.server().says("", true) }, 0, 100 * time.Millisecond},
		"the sidecar died":       {"SET 1\n", func(_ *rig, s *station) { s.host.Kill() }, behind, behind + 100*time.Millisecond},
		"the same, safe":         {"GET 1\n", func(_ *rig, s *station) { s.host.Kill() }, 0, 100 * time.Millisecond},
		"the host is gone":       {"SET 1\n", func(_ *rig, s *station) { s.host.Vanish() }, behind, behind + 5*time.Second},
		"the sidecar broke rule": {"SET 1\n", func(r *rig, s *station) { r.breakRules(s); s.gone = true }, behind, behind + 100*time.Millisecond},
		"the sidecar was restarted": {"SET 1\n", func(r *rig, s *station) {
			s.host.Kill()
			s.host.Restart()
			s.start(0x99)
			s.gone = true
		}, behind, behind + 100*time.Millisecond}, // the one before may live on
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: repeat})
			s := r.stations[0]
			s.app = silent
			client := r.client()
			client.says(c.request, false)
			s.has(c.request)
			r.until("it is open", func() bool { return client.session.leg.open })
			began := r.w.Now()
			c.lose(r, s)
			client.sometime("re " + c.request)
			took := r.w.Now().Sub(began) - 100*time.Millisecond // sometime's
			if took < c.waits || took > c.most {
				t.Errorf("it took %v, not %v to %v", took, c.waits, c.most)
			}
			if x := append(r.records, Record{})[0]; len(r.records) != 1 || x.Kind != KindMoved || (x.Fence > 0) != (c.waits > 0) {
				t.Errorf("%+v", r.records)
			}
			if got := string(r.stations[1].server().got); got != c.request {
				t.Errorf("the second server got %q", got)
			}
			r.close()
		})
	}
}

// breakRules has the element's sidecar send what it must not on every leg.
func (r *rig) breakRules(s *station) {
	s.host.Later(func() {
		for l := range s.e.links {
			l.streams.all(func(leg *Leg) { l.tell(leg.stream, &message{typ: typeFinish, total: 1 << 40}) })
		}
	})
}

// While the fence is waited for the deadline of the search is put off, the client may go on, end or leave, and a second loss does
// not begin it anew for what was never sent.
func TestWhileFenced(t *testing.T) {
	repeat := with(quick, func(f *Failover) {
		f.Unsafe, f.Fence, f.Resume, f.Deadline = UnsafeReplay, 2*time.Second, 500*time.Millisecond, time.Second
	})
	for _, what := range []string{"waits", "sends", "ends", "leaves", "the next is lost, too"} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, options{elements: 3, priority: true, failover: repeat, protocol: logins(t, "")})
			s := r.stations[0]
			c := r.client()
			c.says("LOGIN a\n", false)
			c.sometime("re LOGIN a\n")
			s.server().app = silent
			c.says("SET 1\n", false)
			s.has("SET 1\n")
			began := r.w.Now()
			s.host.Kill()
			r.w.RunFor(time.Second)
			want := "re LOGIN a\nre SET 1\n"
			switch what {
			case "sends", "ends":
				c.says("GET 2\n", what == "ends")
				want += "re GET 2\n"
			case "leaves":
				c.breaks()
				r.w.RunFor(20 * time.Second)
				if r.user.Count() > 0 || r.stations[1].server() != nil {
					t.Errorf("%d sessions", r.user.Count())
				}
				r.close()
				return
			case "the next is lost, too":
				r.stations[1].app = func(*end) { r.stations[1].host.Kill() } // in the beginning of the leg
			}
			c.sometime(want)
			if took := r.w.Now().Sub(began); took > 7*time.Second {
				t.Errorf("it took %v", took)
			}
			if what == "ends" {
				r.stations[1].server().says("", true)
				r.until("it is closed", func() bool { return c.closed })
			}
			r.close()
		})
	}
}

// A path that falls silent and comes back before the fence has passed: who had to wait for the fence is resumed, since nobody could have
// served it elsewhere meanwhile. Who had not is served elsewhere long before.
func TestResumedBeforeFence(t *testing.T) {
	stream := protocol.NewStream(protocol.StreamConfig{NoJoin: true})
	defaults := options{}.defaults(t).failover
	for _, c := range []struct {
		name, request, kind string
		o                   options
	}{
		{"unsafe", "SET 1\n", KindResumed, options{failover: with(defaults, func(f *Failover) { f.Unsafe = UnsafeReplay })}},
		{"stream", "SET 1\n", KindResumed, options{failover: with(defaults, func(f *Failover) { f.Replay = ReplaySession }), protocol: stream}},
		{"safe", "GET 1\n", KindMoved, options{failover: with(defaults, func(f *Failover) { f.Unsafe = UnsafeReplay })}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.elements, c.o.priority = 2, true
			r := newRig(t, c.o)
			s := r.stations[0]
			s.app = silent
			client := r.client()
			client.says(c.request, false)
			s.has(c.request)
			r.until("it is open", func() bool { return client.session.leg.open })
			r.w.Stall(r.host, s.host)
			r.until("it is noticed", func() bool { return r.user.linkUp(s.name) == nil })
			r.w.RunFor(2 * time.Second)
			r.w.Heal(r.host, s.host)
			r.until("there is a record", func() bool { return len(r.records) > 0 })
			if c.kind == KindResumed {
				s.server().says("re "+c.request, false)
			}
			client.sometime("re " + c.request)
			r.only(c.kind)
			r.close()
		})
	}
}
