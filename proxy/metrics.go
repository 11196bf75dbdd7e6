package proxy

import (
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/session"
)

// gaugeEvery is how often the gauges are set.
const gaugeEvery = 5 * time.Second

// gauge sets the gauges, and comes again.
func (s *Shard) gauge() {
	for _, u := range s.users {
		u.gauge()
	}
	for _, e := range s.elements {
		live, held := e.rules.Legs()
		s.set("legs.live", e.name, live)
		s.set("legs.held", e.name, held)
		if e.health != nil {
			healthy := 1
			if e.health.reason != nil {
				healthy = 0
			}
			s.set("healthy", e.name, healthy)
		}
	}
	s.set("buffers.bytes", "all", s.loop.Buffers().Out())
	s.loop.Schedule(&s.gauges, s.loop.Now().Add(gaugeEvery))
}

// mostJudged is how many sessions of a pool_user are asked each time whether they would survive: with more, the gauges tell what
// these say of all.
const mostJudged = 2000

// gauge sets the gauges of a pool_user, and counts what its clients have sent since the last time.
func (u *userSide) gauge() {
	s, name := u.shard, u.config.Name
	s.set("sessions", name, u.rules.Count())
	now, last := u.rules.Traffic(), u.counted
	u.counted = now
	s.add("traffic.protected.messages", name, int(now.ProtectedMessages-last.ProtectedMessages))
	s.add("traffic.protected.bytes", name, int(now.ProtectedBytes-last.ProtectedBytes))
	s.add("traffic.unprotected.messages", name, int(now.UnprotectedMessages-last.UnprotectedMessages))
	s.add("traffic.unprotected.bytes", name, int(now.UnprotectedBytes-last.UnprotectedBytes))
	found := map[session.Protection]int{session.Protected: 0, session.Degraded: 0, session.Unprotected: 0, session.Moving: 0}
	judged := 0
	u.rules.Sessions(func(x *session.Session) {
		if judged++; judged <= mostJudged {
			found[x.Info().Protection]++
		}
	})
	for p, n := range found {
		s.set("sessions."+string(p), name, n*judged/max(min(judged, mostJudged), 1))
	}
}

func (s *Shard) set(what, name string, n int) {
	s.metrics.SetGaugeWithLabels([]string{what}, float32(n), []metrics.Label{{Name: "name", Value: name}})
}

func (s *Shard) count(what, name string) {
	if s.metrics != nil {
		s.metrics.IncrCounterWithLabels([]string{what}, 1, []metrics.Label{{Name: "name", Value: name}})
	}
}

func (s *Shard) sample(what, name string, d time.Duration) {
	if s.metrics != nil {
		s.metrics.AddSampleWithLabels([]string{what, "seconds"}, float32(d.Seconds()), []metrics.Label{{Name: "name", Value: name}})
	}
}

// measure takes a failover into the metrics. The times of its steps are those of the record, from noticing on (detect: until then).
// A step that there was not gives no sample; one that took no time gives 0.
func (s *Shard) measure(r Record) {
	if s.metrics == nil {
		return
	}
	s.count("failover."+r.Kind, r.User)
	s.metrics.IncrCounterWithLabels([]string{"failover", "detected"}, 1, []metrics.Label{{Name: "name", Value: r.User},
		{Name: "detector", Value: r.Detector}})
	s.add("failover.replayed.messages", r.User, r.Messages)
	s.add("failover.lost.replies", r.User, r.Lost)
	moved, ended := r.Kind == session.KindMoved, r.Kind == session.KindEnded
	for _, step := range []struct {
		name  string
		took  time.Duration
		there bool
	}{
		{"detect", r.Detect, r.Detect > 0},
		{"fence", r.Fence, r.Fence > 0},
		{"choose", r.Choose, moved},
		{"connect", r.Connect, !ended},
		{"restored", r.Restored, r.Restored > 0},
		{"replayed", r.Replayed, moved && r.Messages > 0},
		{"first_reply", r.First, r.First > 0},
	} {
		if step.there {
			s.sample("failover."+step.name, r.User, step.took)
		}
	}
}

// add counts n at once.
func (s *Shard) add(what, name string, n int) {
	if n > 0 {
		s.metrics.IncrCounterWithLabels([]string{what}, float32(n), []metrics.Label{{Name: "name", Value: name}})
	}
}
