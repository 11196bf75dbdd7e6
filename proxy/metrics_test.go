package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/session"
)

// A failover is one line of the log and a sample for each step that there was.
func TestFailoverIsMeasured(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		record session.Record
		pause  float64            // seconds
		steps  map[string]float64 // likewise
	}{
		"moved": {session.Record{Kind: session.KindMoved, Detector: "heartbeats", Detect: 800 * ms, Fence: 5 * ms, Choose: 6 * ms, Connect: 8 * ms,
			Restored: 9 * ms, Replayed: 10 * ms, First: 12 * ms, Messages: 3, Lost: 1}, .012,
			map[string]float64{"detect": .8, "fence": .005, "choose": .006, "connect": .008, "restored": .009, "replayed": .01, "first_reply": .012}},
		"moved, idle": {session.Record{Kind: session.KindMoved, Detector: "health check", Connect: 2 * ms}, .002,
			map[string]float64{"choose": 0, "connect": .002}},
		"resumed": {session.Record{Kind: session.KindResumed, Detector: "association", Connect: 3 * ms}, .003, map[string]float64{"connect": .003}},
		"ended":   {session.Record{Kind: session.KindEnded, Detector: "reset", Verdict: "why"}, 0, map[string]float64{}},
	} {
		sink := metrics.NewInmemSink(time.Hour, time.Hour)
		meter, err := metrics.New(&metrics.Config{FilterDefault: true}, sink)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := &Shard{config: Config{Users: []User{{Name: "u", Pool: "p"}}}, log: hclog.New(&hclog.LoggerOptions{Output: &log}), metrics: meter}
		s.record(Record{User: "u", Record: c.record})
		data := sink.Data()[0]
		for step, seconds := range c.steps {
			got := data.Samples["failover_step_seconds;pool=p;pool_user=u;step="+step]
			if got.AggregateSample == nil || got.Count != 1 || got.Sum < seconds*0.999 || got.Sum > seconds*1.001 {
				t.Errorf("%s: %s: %+v, not %v", name, step, got.AggregateSample, seconds)
			}
		}
		whole := 0 // the pause: of what went on
		if c.pause > 0 {
			whole = 1
		}
		if len(data.Samples) != len(c.steps)+whole {
			t.Errorf("%s: %d samples, not %d", name, len(data.Samples), len(c.steps)+whole)
		}
		if got := data.Samples["failover_seconds;pool=p;pool_user=u;kind="+c.record.Kind]; whole == 1 && (got.AggregateSample == nil || got.Sum < c.pause*.999 || got.Sum > c.pause*1.001) {
			t.Errorf("%s: the pause is %+v, not %v", name, got.AggregateSample, c.pause)
		}
		for counter, n := range map[string]int{"failover_replayed_messages_total;pool=p;pool_user=u": c.record.Messages,
			"failovers_total;pool=p;pool_user=u;kind=" + c.record.Kind + ";reason=" + strings.ReplaceAll(c.record.Detector, " ", "_"): 1,
			"failover_lost_replies_total;pool=p;pool_user=u": c.record.Lost} {
			if got := data.Counters[counter]; (got.AggregateSample == nil) != (n == 0) || n > 0 && got.Sum != float64(n) {
				t.Errorf("%s: %s is %+v, not %d", name, counter, got.AggregateSample, n)
			}
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), c.record.Detector) {
			t.Errorf("%s: the log says: %s", name, &log)
		}
	}
}
