package proxy

import (
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/session"
)

// gaugeEvery is how often the gauges are set.
const gaugeEvery = 5 * time.Second

// gauges are what the shards measure now and then; what they say of one thing is added up.
type gauges map[gauge]int

// gauge is the name of one: what, and of which block.
type gauge struct{ what, name string }

// gauge has all shards say how they are, sets the gauges to the sums, and comes again. It runs on the first shard.
func (s *Shard) gauge() {
	sum, missing := s.measured(), len(s.common.loops)-1
	s.onOthers(func(other *Shard) {
		part := other.measured()
		other.on(0, func(*Shard) {
			for g, n := range part {
				sum[g] += n
			}
			if missing--; missing == 0 {
				s.set(sum)
			}
		})
	})
	if missing == 0 {
		s.set(sum)
	}
	s.loop.Schedule(&s.gauges, s.loop.Now().Add(gaugeEvery))
}

// measured is what this shard has to say, and counts what there was since the last time.
func (s *Shard) measured() gauges {
	to := make(gauges)
	for _, u := range s.users {
		u.measure(to)
	}
	for _, e := range s.elements {
		live, held := e.rules.Legs()
		to[gauge{"legs.live", e.name}] = live
		to[gauge{"legs.held", e.name}] = held
		if e.health != nil {
			healthy := 1
			if e.health.reason != nil {
				healthy = 0
			}
			to[gauge{"healthy", e.name}] = healthy
		}
		for _, r := range e.registrations {
			r.measure(to)
		}
	}
	for _, f := range s.feeds {
		f.measure(to)
	}
	to[gauge{"buffers.bytes", "all"}] = s.loop.Buffers().Out()
	return to
}

// mostJudged is how many sessions of a pool_user are asked each time, in each shard, whether they would survive: with more, the gauges
// tell what these say of all.
const mostJudged = 2000

// measure says how the sessions of a pool_user are, and counts what its clients have sent since the last time.
func (u *userSide) measure(to gauges) {
	s, name := u.shard, u.config.Name
	to[gauge{"sessions", name}] = u.rules.Count()
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
		to[gauge{"sessions." + string(p), name}] = n * judged / max(min(judged, mostJudged), 1)
	}
}

func (s *Shard) set(to gauges) {
	for g, n := range to {
		s.metrics.SetGaugeWithLabels([]string{g.what}, float32(n), []metrics.Label{{Name: "name", Value: g.name}})
	}
}

func (s *Shard) count(what, name string) {
	if s.metrics != nil {
		s.metrics.IncrCounterWithLabels([]string{what}, 1, []metrics.Label{{Name: "name", Value: name}})
	}
}

// countReason counts what has been refused, by the reason.
func (s *Shard) countReason(what, name, reason string) {
	if s.metrics != nil {
		s.metrics.IncrCounterWithLabels([]string{what}, 1, []metrics.Label{{Name: "name", Value: name}, {Name: "reason", Value: reason}})
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
