package proxy

import (
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// streams is protocol stream: nobody knows where messages end. A client sends lines all the same, so that servers know what to
// answer and what came in order. With replay = "unacked" another server gets the stream from somewhere in its middle, and no
// answer can be right: there servers are mute, and what they read is compared at its end.
type streams struct {
	lines
	scenario *scenario
}

func newStreams(s *scenario) dialect { return &streams{scenario: s} }

func (d *streams) mute() bool { return d.scenario.failover.Replay == session.ReplayUnacked }

func (d *streams) frame(p []byte, from int) int {
	if d.mute() {
		return 0
	}
	return d.lines.frame(p, from)
}

func (d *streams) protocol() protocol.Protocol {
	return protocol.NewStream(protocol.StreamConfig{NoJoin: true})
}

func (d *streams) opaque() bool { return true }

func (d *streams) kinds() []byte {
	if d.mute() {
		return []byte("O")
	}
	return []byte("S")
}
