package session

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// known is an association whose peer has shown who it is.
type known struct {
	mapping.Association
	identity string
}

func (k known) Identity() string { return k.identity }

// Of two peers who know token and instance of a session, only the one under whose name it was begun gets it: over TLS a stolen token is of no
// use to another who is allowed, too.
func TestTokenUnderAnotherName(t *testing.T) {
	for name, m := range map[string]message{
		"RESUME": {typ: typeResume, leg: 1, received: 0, credit: 1000},
		"OPEN":   {typ: typeOpen, leg: 99},
	} {
		for _, again := range []string{"spiffe://test/thief", "spiffe://test/owner"} {
			r := newRig(t, options{})
			s := r.stations[0]
			s.listener.Close()
			names := []string{"spiffe://test/owner", again}
			var err error
			s.listener, err = mapping.TCPMapping{}.Listen(s.host, s.at(), r.association(), func(a mapping.Association) mapping.Handler {
				identity := names[0]
				names = names[1:]
				return s.e.Accept(known{a, identity})
			})
			if err != nil {
				t.Fatal(err)
			}
			var codes []Code
			s.e.c.Trace.Refused = func(what string, code Code) { codes = append(codes, code) }
			owner := r.liar("owner", s, 0x66)
			openLeg(owner)
			second := r.liar("second", s, 0x66) // it claims to be the same instance
			second.hello()
			m.token = token16(0x40)
			second.tell(1, &m)
			r.w.RunFor(time.Second)
			refusal := second.last(1, typeRefused)
			if stolen := again == "spiffe://test/thief"; stolen != (refusal != nil && refusal.code == CodeUnauthorized) || stolen != (len(codes) == 1) {
				t.Errorf("%s by %s: %+v, counted %v", name, again, refusal, codes)
			} else if stolen && (len(second.bytes) > 0 || s.servers[0].reset) {
				t.Errorf("%s: the thief got %q", name, second.text(1))
			}
			r.close()
		}
	}
}
