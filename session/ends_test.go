package session

import (
	"testing"

	"github.com/poolproxy/poolproxy/whence"
)

// Each element that serves a session is told whose connection it is, the one after a failover too.
func TestEndsTravel(t *testing.T) {
	for name, ends := range map[string]whence.Ends{"IPv4": ends4, "IPv6": ends6, "not known": {}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true})
			c := &end{r: r, h: r.host, room: -1, name: "client 1"}
			c.session = r.user.AcceptFrom(c, ends)
			c.rules = c.session
			c.says("GET 1\n", false)
			r.until("an answer", func() bool { return string(c.got) == "re GET 1\n" })
			r.stations[0].gone = true
			r.stations[0].servers[0].breaks()
			c.says("GET 2\n", false)
			r.until("another answer", func() bool { return string(c.got) == "re GET 1\nre GET 2\n" })
			for _, s := range r.stations {
				if len(s.legs) == 0 {
					t.Errorf("%s has not served", s.name)
				}
				for i, leg := range s.legs {
					if leg.Ends != ends {
						t.Errorf("leg %d of %s is for %v", i+1, s.name, leg.Ends)
					}
				}
			}
			if ends.Known() && c.session.Info().Client != ends.Client.String() {
				t.Errorf("the client is %q", c.session.Info().Client)
			}
			r.close()
		})
	}
}

// An element of a version that does not know them is not told them, and serves the session.
func TestEndsOfOldElements(t *testing.T) {
	for version := uint8(oldest); version < versionEnds; version++ {
		r := newRig(t, options{})
		var open message
		r.stations[0].lyingElement(0x77, func(l *liar) {
			l.tell(0, &message{typ: typeHello, version: version, oldest: 1, instance: l.instance, credit: 1000})
			l.onMessage = func(stream uint16, m *message) {
				if m.typ == typeOpen {
					open = *m
					l.tell(stream, &message{typ: typeOpened})
				}
			}
			l.onData = func(stream uint16, p []byte) { l.data(stream, "re "+string(p)) }
		})
		c := &end{r: r, h: r.host, room: -1, name: "client 1"}
		c.session = r.user.AcceptFrom(c, ends4)
		c.rules = c.session
		c.says("GET 1\n", false)
		r.until("an answer", func() bool { return string(c.got) == "re GET 1\n" })
		if open.ends.Known() || open.text != "things" {
			t.Errorf("version %d was sent %+v", version, open)
		}
		r.close()
	}
}
