package session

import (
	"strings"
	"testing"
	"time"
)

// With ack = "read" one unsafe request is in doubt behind the end of a leg, however it ends and however far its server has read: a
// second one is not on its way before the first is answered.
func TestOneInDoubt(t *testing.T) {
	const pipeline = "SET 1\nGET 2\nSET 3\nGET 4\nSET 5\nGET 6\n"
	for name, end := range map[string]func(r *rig, s *station, c *end){
		// As redis does, that answers what it has read in one go at the end of a round: what came meanwhile lies in its queue, and the
		// reset says only that the last byte of that was not read.
		"read, and more in its queue": func(r *rig, s *station, _ *end) {
			s.server().frozen = true
			r.w.RunFor(time.Second)
			s.die(true)
		},
		"all read, none answered": func(r *rig, s *station, _ *end) {
			r.w.RunFor(time.Second)
			s.die(false)
		},
		"its sidecar is gone": func(r *rig, s *station, _ *end) {
			r.w.RunFor(time.Second)
			s.host.Kill()
		},
		"resumed before": func(r *rig, s *station, c *end) {
			r.cut(s)
			r.until("resumed", func() bool { return !c.session.leg.lost })
			s.server().frozen = true
			r.w.RunFor(time.Second)
			s.die(true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, protocol: lossy(t), reads: true, failover: reader})
			s := r.stations[0]
			for _, x := range r.stations {
				x.asks()
			}
			s.app = silent
			c := r.client()
			c.says(pipeline, false)
			r.until("the first is read", func() bool { return s.server() != nil && strings.HasPrefix(string(s.server().got), "SET 1\n") })
			end(r, s, c)
			c.sometime("ERR lost\nre GET 2\nre SET 3\nre GET 4\nre SET 5\nre GET 6\n")
			if got := string(r.stations[1].server().got); got != strings.TrimPrefix(pipeline, "SET 1\n") {
				t.Errorf("the new server got %q", got)
			}
			r.close()
		})
	}
}
