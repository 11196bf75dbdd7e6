package proxy

import (
	"errors"
	"maps"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
)

// nativeElement is the rules of a pool_element whose pool users are RSerPool applications: each association is one session, and has one
// connection to the server. What session.Element does for sidecars, to keep sessions alive, these pool users do themselves: they
// connect to another element when their association fails, and show it the cookie they have.
type nativeElement struct {
	element   *elementSide
	protocol  protocol.Protocol
	ppid      uint32 // of the application's messages, both ways
	memory    int    // bytes of one session that wait for the server
	log       hclog.Logger
	sessions  map[uint64]*nativeSession // by number
	refuse    bool                      // new sessions are refused
	drains    bool                      // likewise, for as long as an operator wants
	unhealthy error                     // what the health check has found
}

func newNativeElement(e *elementSide, c Element) *nativeElement {
	return &nativeElement{element: e, protocol: c.Protocol, ppid: c.PPID, memory: c.Memory, log: e.shard.log.Named(c.Name),
		sessions: make(map[uint64]*nativeSession)}
}

// Why a native association is refused.
var (
	errNativeStopping = errors.New("poolproxy is stopping")
	errNativeFull     = errors.New("max_sessions, or limits.sessions, is reached")
	errNativePause    = errors.New("this mapping cannot have a pool user wait")
)

// nativeAssociation is what a session needs of its association.
type nativeAssociation interface {
	mapping.Association
	mapping.Pauser
}

// Accept takes the association of a pool user. nil refuses it, which has the pool user try another element.
func (n *nativeElement) Accept(a mapping.Association) mapping.Handler {
	err := n.unhealthy
	pausable, can := a.(nativeAssociation)
	switch {
	case !can: // what it delivers would have no bound
		err = errNativePause
	case n.refuse || n.drains:
		err = errNativeStopping
	case len(n.sessions) >= n.element.most():
		err = errNativeFull
	}
	if err != nil { // the pool user comes again, often: only what an operator can change is worth more than debug
		level := hclog.Debug
		if errors.Is(err, errNativeFull) {
			level = hclog.Warn
		}
		n.log.Log(level, "association refused", "pool_user", a.Remote(), "reason", err)
		return nil
	}
	s := newNativeSession(n, pausable)
	n.sessions[s.number] = s
	return s
}

// Refuse lets the sessions that there are go on, and refuses new ones.
func (n *nativeElement) Refuse() { n.refuse = true }

// Drain has new sessions go elsewhere. Those that there are stay: native pool users know no other way to leave than a failure.
func (n *nativeElement) Drain(string) { n.drains = true }

// Undrain takes Drain back.
func (n *nativeElement) Undrain() { n.drains = false }

// SetHealth says what the health check has found: nil is a healthy server. While it is not healthy, new sessions are refused, and those
// that there are have to find another element.
func (n *nativeElement) SetHealth(err error) {
	if n.unhealthy = err; err != nil {
		n.abortAll(err)
	}
}

// Legs counts the sessions; none waits for its pool user.
func (n *nativeElement) Legs() (live, held int) { return len(n.sessions), 0 }

// Links calls f for every association. Each has one session.
func (n *nativeElement) Links(f func(a mapping.Association, up bool, legs int)) {
	for _, s := range n.inOrder() {
		if !s.left {
			f(s.association, s.up, 1)
		}
	}
}

// Close ends all sessions. Nothing is called afterwards. Twice is harmless.
func (n *nativeElement) Close() {
	n.refuse = true
	n.abortAll(errNativeStopping)
}

// abortAll ends all sessions so that their pool users go elsewhere at once.
func (n *nativeElement) abortAll(why error) {
	for _, s := range n.inOrder() {
		s.abort(why)
	}
}

func (n *nativeElement) inOrder() []*nativeSession {
	return slices.SortedFunc(maps.Values(n.sessions), func(a, b *nativeSession) int { return int(a.number) - int(b.number) })
}
