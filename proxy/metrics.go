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
		s.set("sessions", u.config.Name, u.rules.Count())
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
		{"pause", r.Pause, !ended},
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
