package mapping

import (
	"fmt"

	"github.com/poolproxy/poolproxy/loop"
)

// Gated is an Association over one connection, into which a loop.Gate can be put: it is how it is disturbed on purpose.
type Gated interface {
	// Gate is the one that is there, or a new one; nil: the association has ended, and there is none.
	Gate() *loop.Gate
	// Ungate takes it out again, if it is idle.
	Ungate()
	// Disturbed reports whether there is one.
	Disturbed() bool
}

// Breaker is an Association that can be broken on purpose.
type Breaker interface {
	// Break ends it abortively: the peer sees a reset, and Handler.Down is called with loop.ErrReset.
	Break()
}

var (
	_ Gated   = (*tcpAssociation)(nil)
	_ Breaker = (*tcpAssociation)(nil)
)

var errBroken = fmt.Errorf("broken on purpose: %w", loop.ErrReset)

// Break ends it; see Breaker.
func (a *tcpAssociation) Break() { a.fail(errBroken) }

// gated is what the Gate of an association tells.
type gated tcpAssociation

// Ready passes on what the Gate lets through (loop.Handler).
func (g *gated) Ready(ev loop.Event) { (*tcpAssociation)(g).ready(ev) }

// Gate puts a Gate between the association and its connection; see Gated.
func (a *tcpAssociation) Gate() *loop.Gate {
	if a.gate == nil && !a.ended {
		a.gate = loop.NewGate(a.loop, a.conn, (*gated)(a))
		a.conn = a.gate
		if a.pager != nil {
			a.pager = a.gate
		}
	}
	return a.gate
}

// Ungate takes it out again; see Gated.
func (a *tcpAssociation) Ungate() {
	if a.gate == nil || !a.gate.Idle() {
		return
	}
	a.conn, a.gate = a.gate.Inner(), nil
	if a.pager != nil {
		a.pager, _ = a.conn.(loop.PageConn)
	}
}

// Disturbed reports whether there is one; see Gated.
func (a *tcpAssociation) Disturbed() bool { return a.gate != nil }
