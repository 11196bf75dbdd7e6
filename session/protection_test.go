package session

import (
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// What is said of a session's protection is what happens when its server dies.
func TestProtection(t *testing.T) {
	for name, c := range map[string]struct {
		protocol protocol.Protocol
		says     string
		elements int
		want     Protection
		reason   string
	}{
		"idle":           {nil, "", 2, Protected, ""},
		"safe in flight": {nil, "GET 1\n", 2, Protected, ""},
		"unsafe":         {nil, "PAY 1\n", 2, Unprotected, "unsafe request is in flight"},
		"nowhere to go":  {nil, "GET 1\n", 1, Degraded, "no other element"},
		"quiet stream":   {protocol.NewStream(protocol.StreamConfig{}), "", 2, Protected, ""},
		"stream":         {protocol.NewStream(protocol.StreamConfig{}), "anything", 2, Unprotected, `replay = "session"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := options{elements: c.elements}
			if c.protocol != nil {
				o.protocol = c.protocol
				o.failover = with(quick, func(f *Failover) { f.Replay = ReplayNone })
			}
			r := newRig(t, o)
			for _, s := range r.stations {
				s.app = silent
			}
			client := r.client()
			client.says(c.says, false)
			r.w.RunFor(time.Second)
			i := client.session.Info()
			if i.Protection != c.want || !strings.Contains(i.Reason, c.reason) || (i.Reason == "") != (c.reason == "") {
				t.Fatalf("%s, %q; want %s, %q", i.Protection, i.Reason, c.want, c.reason)
			}
			if c.want == Degraded {
				return
			}
			for _, s := range r.stations {
				if s.name == i.Element {
					s.gone = true
					s.server().breaks()
				}
			}
			r.w.RunFor(5 * time.Second)
			if survived := !client.reset && !client.closed; survived != (c.want == Protected) {
				t.Errorf("%s, and reset %v, closed %v", i.Protection, client.reset, client.closed)
			}
			// A session that has said nothing needs no failover: it has no record.
			if last := append([]Record{{}}, r.records...)[len(r.records)]; last.Unprotected != (c.want == Unprotected) {
				t.Errorf("%s, and its record says unprotected: %v", i.Protection, last.Unprotected)
			}
		})
	}
}
