package proxy

import (
	"time"

	"github.com/hashicorp/go-metrics"
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
