package proxy

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/loop/looptest"
)

// What a check has found is in the status and in the metrics of the pool_element; one that is not checked says nothing.
func TestHealthIsShown(t *testing.T) {
	w := looptest.NewWorld(1)
	h := w.Host("h")
	sink := metrics.NewInmemSink(time.Hour, time.Hour)
	meter, err := metrics.New(&metrics.Config{FilterDefault: true}, sink)
	if err != nil {
		t.Fatal(err)
	}
	x := once(HealthCheck{Address: h.Addr(80)})
	s, err := NewVirtualShard(h, Config{Elements: []Element{
		{Name: "checked", Listen: h.Addr(1), Server: h.Addr(80), Health: &x},
		{Name: "unchecked", Listen: h.Addr(2), Server: h.Addr(80)},
	}}, hclog.NewNullLogger(), meter, func(p []byte) {
		sum := sha256.Sum256(p)
		copy(p, sum[:])
	})
	if err != nil {
		t.Fatal(err)
	}
	shown := func() (texts []string) {
		var st Status
		s.status(&st)
		for _, e := range st.Elements {
			texts = append(texts, e.Health)
		}
		return texts
	}
	if got := shown(); got[0] != "healthy" || got[1] != "" {
		t.Errorf("at the start: %q", got)
	}
	w.RunFor(testSeconds * time.Second)
	if got := shown(); !strings.Contains(got[0], "connect to 10.0.0.1:80: ") || !strings.Contains(got[0], "refused") || got[1] != "" {
		t.Errorf("nothing listens: %q", got)
	}
	data := sink.Data()[0]
	if g, ok := data.Gauges["element_healthy;pool_element=checked"]; !ok || g.Value != 0 {
		t.Errorf("the gauge is %+v, among %v", g, data.Gauges)
	}
	if _, ok := data.Gauges["element_healthy;pool_element=unchecked"]; ok {
		t.Error("a gauge for what is not checked")
	}
	if c := data.Counters["health_check_failures_total;pool_element=checked"]; c.AggregateSample == nil || c.Count < testSeconds {
		t.Errorf("%+v counted", c)
	}
	s.Close()
	if h.Timers() > 0 {
		t.Errorf("%d timers left", h.Timers())
	}
}
