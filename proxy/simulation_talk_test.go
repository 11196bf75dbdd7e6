package proxy

import (
	"fmt"
	"math/rand/v2"
	"regexp"

	"github.com/poolproxy/poolproxy/protocol"
)

// talks is protocol line with all that a connection may remember: servers may greet, want to be told who it is and what it wants,
// know transactions; and there may be words for one lost reply.
type talks struct {
	lines
	greets, loses, states, units, syncs bool
}

func newTalks(s *scenario) dialect {
	r := s.rand
	return &talks{lines: lines{oneWay: r.IntN(2) == 0}, greets: r.IntN(2) == 0, loses: r.IntN(3) > 0, states: r.IntN(4) > 0, units: r.IntN(2) == 0,
		syncs: !s.differs && r.IntN(2) == 0}
}

const (
	greetingText = "* hello\n* ready\n"
	lostText     = "-lost\n"
)

func (d *talks) protocol() protocol.Protocol {
	c := protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("^[SY] ")}, OneWay: []*regexp.Regexp{regexp.MustCompile("^O ")},
		Abort: []byte(abortText + "\n"), MaxLine: 1 << 20}
	if d.syncs {
		c.Sync = []*regexp.Regexp{regexp.MustCompile("^Y ")}
	}
	if d.greets {
		c.Greeting = regexp.MustCompile(`^\* ready`)
	}
	if d.loses {
		c.Lost = []byte(lostText)
	}
	if d.states {
		c.States = []protocol.StateRule{
			{Name: "login", Match: regexp.MustCompile(`^L (?P<who>\d+) (?P<number>\d+)`), Expect: regexp.MustCompile("^reply"), Void: regexp.MustCompile("^V ")},
			{Name: "setting", Match: regexp.MustCompile("^T "), Expect: regexp.MustCompile("^reply")}}
	}
	if d.units {
		c.Begin, c.End = regexp.MustCompile("^B "), regexp.MustCompile("^C ")
	}
	p, err := protocol.NewLine(c)
	if err != nil {
		panic(err)
	}
	return p
}

// choose draws what a client asks next; last is what it has asked before.
func (d *talks) choose(r *rand.Rand, usual byte, last *request) (kind byte, unit int) {
	if last != nil && last.unit > 0 && last.kind != 'C' {
		if r.IntN(3) == 0 {
			return 'C', last.unit
		}
		return usual, last.unit
	}
	switch draw := r.IntN(16); {
	case d.states && last == nil:
		return 'L', 0
	case d.states && draw < 3:
		return "LTV"[draw], 0
	case d.units && draw < 6:
		unit = 1
		if last != nil {
			unit = last.number + 2
		}
		return 'B', unit
	case d.syncs && draw < 9:
		return 'Y', 0
	}
	return usual, 0
}

// group tells requests that set or void one kind of state: 1 is the login, 2 the setting, 0 none. What servers refuse sets nothing.
func group(r *request) int {
	switch {
	case r.refused():
		return 0
	case r.kind == 'L' || r.kind == 'V':
		return 1
	case r.kind == 'T':
		return 2
	}
	return 0
}

// refused: servers do not want this login, or this setting.
func (r *request) refused() bool {
	return (r.kind == 'L' || r.kind == 'T') && (r.client+r.number)%7 == 3
}

func (d *talks) answer(variant int, r *request, raw []byte, chance *rand.Rand) []byte {
	if r.refused() {
		return fmt.Appendf(nil, "wrong %d %d\n", r.client, r.number)
	}
	return d.lines.answer(variant, r, raw, chance)
}

func (d *talks) greeting() string {
	if d.greets {
		return greetingText
	}
	return ""
}

func (d *talks) reader(s *scenario, requests []*request) reader {
	x := newExact(s, requests, abortText+"\n")
	x.greeting = d.greeting()
	if d.loses {
		x.lost = lostText
	}
	return x
}

// told is what a server's connection was told last of each group: numbers of requests, plus one; 0: nothing.
type told [3]int

// note takes a request that the connection has carried out.
func (t *told) note(r *request) {
	if g := group(r); g > 0 {
		t[g] = r.number + 1
	}
}

// sighting is what a connection had been told when it carried out a request.
type sighting struct {
	number int
	told   told
}

// checkStates: a server that carried out a request had been told every state that its client had set, the last of each kind.
func (m *simulation) checkStates(c *client) {
	for _, x := range c.seen {
		for g := 1; g < len(x.told); g++ {
			if why := c.stateWrong(x, g); why != "" {
				m.violated("request %d of client %d was carried out on a connection whose state of group %d was set by request %d, but %s",
					x.number, c.index, g, x.told[g]-1, why)
				return
			}
		}
	}
}

// stateWrong compares what a connection was told with the last state before that was confirmed. Later ones may have been carried out,
// too, if the client does not know.
func (c *client) stateWrong(x sighting, g int) string {
	var sure *request
	for _, r := range c.requests[:x.number] {
		if group(r) == g && r.answered {
			sure = r
		}
	}
	at := x.told[g] - 1
	switch {
	case at >= x.number:
		return "that is a later one"
	case sure == nil, at > sure.number, at == sure.number, at < 0 && sure.kind == 'V':
		return ""
	}
	return fmt.Sprintf("the last that its client had an answer to is %d", sure.number)
}
