package proxy

import (
	"slices"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/session"
)

// gaugeEvery is how often the gauges are set.
const gaugeEvery = 5 * time.Second

// gauges are what the shards measure now and then; what they say of one thing is added up.
type gauges map[gauge]int

// gauge is one figure: what, and the values of its labels.
type gauge struct {
	what   *Metric
	values [mostLabels]string
}

// of is the gauge with these values of its labels.
func (m *Metric) of(values ...string) (g gauge) {
	g.what = m
	copy(g.values[:], values)
	return g
}

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
		to[legsLive.of(e.name, "live")] += live
		to[legsLive.of(e.name, "held")] += held
		if e.health != nil {
			healthy := 1
			if e.health.reason != nil {
				healthy = 0
			}
			to[elementHealthy.of(e.name)] = healthy
		}
		for _, r := range e.registrations {
			r.measure(to)
		}
	}
	for _, f := range s.feeds {
		f.measure(to)
	}
	if s.index == 0 {
		active, _ := s.common.chaos.list()
		to[chaosActive.of()] = len(active)
	}
	to[bufferBytes.of()] = s.loop.Buffers().Out()
	return to
}

// mostJudged is how many sessions of a pool_user are asked each time, in each shard, whether they would survive: with more, the gauges
// tell what these say of all.
const mostJudged = 2000

// measure says how the sessions of a pool_user are, and counts what its clients have sent since the last time.
func (u *userSide) measure(to gauges) {
	s, pool, name := u.shard, u.config.Pool, u.config.Name
	to[sessionsNow.of(pool, name)] += u.rules.Count()
	now, last := u.rules.Traffic(), u.counted
	u.counted = now
	s.add(clientMessages, int64(now.ProtectedMessages-last.ProtectedMessages), pool, name, "yes")
	s.add(clientBytes, int64(now.ProtectedBytes-last.ProtectedBytes), pool, name, "yes")
	s.add(clientMessages, int64(now.UnprotectedMessages-last.UnprotectedMessages), pool, name, "no")
	s.add(clientBytes, int64(now.UnprotectedBytes-last.UnprotectedBytes), pool, name, "no")
	found := map[session.Protection]int{session.Protected: 0, session.Degraded: 0, session.Unprotected: 0, session.Moving: 0}
	judged, leaving, recorded := 0, 0, 0
	u.rules.Sessions(func(x *session.Session) {
		if x.Script() != nil {
			recorded++
		}
		if x.Leaving() {
			leaving++
		}
		if judged++; judged <= mostJudged {
			found[x.Info().Protection]++
		}
	})
	to[sessionsStay.of(pool, name)] += leaving
	if u.config.Rehearsal != nil {
		to[sessionsRecorded.of(pool, name)] += recorded
	}
	for p, n := range found {
		to[sessionsBy.of(pool, name, string(p))] += n * judged / max(min(judged, mostJudged), 1)
	}
}

// set tells the gauges. Those that there were before and are not any more, since the configuration has changed, become 0.
func (s *Shard) set(to gauges) {
	for g := range s.gauged {
		if _, there := to[g]; !there {
			s.metrics.SetGaugeWithLabels([]string{g.what.Name}, 0, g.what.tags(g.values[:]))
		}
	}
	s.gauged = to
	for g, n := range to {
		s.metrics.SetGaugeWithLabels([]string{g.what.Name}, float32(n), g.what.tags(g.values[:]))
	}
}

func (s *Shard) count(m *Metric, values ...string) { s.add(m, 1, values...) }

// add counts n at once.
func (s *Shard) add(m *Metric, n int64, values ...string) {
	if n > 0 && s.metrics != nil {
		s.metrics.IncrCounterWithLabels([]string{m.Name}, float32(n), m.tags(values))
	}
}

func (s *Shard) sample(m *Metric, d time.Duration, values ...string) {
	if s.metrics != nil {
		s.metrics.AddSampleWithLabels([]string{m.Name}, float32(d.Seconds()), m.tags(values))
	}
}

// measure takes a failover into the metrics. The times of its steps are those of the record, from noticing on (detect: until then).
// A step that there was not gives no sample; one that took no time gives 0.
func (s *Shard) measure(r Record) {
	if s.metrics == nil {
		return
	}
	pool := s.poolOf(r.User)
	s.count(failovers, pool, r.User, r.Kind, r.Detector)
	s.add(failoverMessages, int64(r.Messages), pool, r.User)
	s.add(failoverBytes, r.Bytes, pool, r.User)
	s.add(failoverSkipped, r.Skipped, pool, r.User)
	s.add(failoverLost, int64(r.Lost), pool, r.User)
	moved, ended := r.Kind == session.KindMoved, r.Kind == session.KindEnded
	if moved || r.Kind == session.KindResumed {
		s.sample(failoverTime, max(r.Connect, r.Restored, r.Replayed, r.First), pool, r.User, r.Kind)
	}
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
			s.sample(failoverSteps, step.took, pool, r.User, step.name)
		}
	}
}

// poolOf is the pool of a pool_user.
func (s *Shard) poolOf(user string) string {
	all := s.config.Users
	if s.shift != nil { // its sides are being made
		all = slices.Concat(s.shift.next.config.Users, all)
	}
	for i := range all {
		if all[i].Name == user {
			return all[i].Pool
		}
	}
	for _, u := range s.users { // one that is not configured any more
		if u.config.Name == user {
			return u.config.Pool
		}
	}
	return ""
}

// AdminRefused counts those whom the admin API refuses, which runs beside the proxy. m may be nil.
func AdminRefused(m *metrics.Metrics, reason string) {
	if m != nil {
		m.IncrCounterWithLabels([]string{adminRefused.Name}, 1, adminRefused.tags([]string{reason}))
	}
}
