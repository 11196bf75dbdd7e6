package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/session"
)

// past is what a process that takes another one's place has to know of it before it begins.
type past struct {
	Version int                      `json:"version"`
	Shards  int                      `json:"shards"`
	Tokens  map[string]session.Token `json:"instances"` // of the sides, as in spread
	Number  uint64                   `json:"number"`    // of sessions: greater than those that there are
}

// numbersAhead is how many sessions may begin while another process gets ready, without any two having one number.
const numbersAhead = 1 << 20

// Describe tells a process that is to take this one's place what it has to know to begin (Continue).
func (p *Proxy) Describe() ([]byte, error) {
	return json.Marshal(past{Version: carriedVersion, Shards: len(p.runners), Tokens: p.common.now.Load().tokens(),
		Number: p.common.number.Load() + numbersAhead})
}

// shards is how many there are to be: sessions stay on the shard where they are, and elements know it by its instance.
func (old *past) shards(c Config) int {
	if old == nil {
		return shards(c)
	}
	return old.Shards
}

// bequeath gives what shards have in common what the old process had.
func (old *past) bequeath(s *spread, to *layout) {
	if old == nil {
		return
	}
	for name, t := range to.instances() {
		if was, ok := old.Tokens[name]; ok {
			*t = was
		}
	}
	s.number.Store(old.Number)
}

// ErrReplaced is that of a proxy whose place another process has taken: that one is to be asked.
var ErrReplaced = errors.New("proxy: another process has taken its place: ask again")

// unmoved runs f while the proxy is not handed over: a shard that stands still does what it is told, and what is changed behind the look at it
// would be lost. It waits meanwhile; behind it the error is ErrReplaced, if the proxy does not go on.
func (p *Proxy) unmoved(f func() error) error {
	p.moving.RLock()
	defer p.moving.RUnlock()
	if p.left {
		return ErrReplaced
	}
	return f()
}

// Frozen is a proxy whose shards stand still, to be handed over. Its methods are for one goroutine.
type Frozen struct {
	p    *Proxy
	lose bool
	lost []error
}

// Freeze has the proxy stand still. The caller has it go on again by Thaw, or has another process take over and calls Leave.
func (p *Proxy) Freeze() (*Frozen, error) {
	p.reloading.Lock() // until it goes on, or has left
	p.moving.Lock()
	p.undisturb("", "another process is to take the place of this one")
	if !p.hold() {
		p.moving.Unlock()
		p.reloading.Unlock()
		return nil, ErrStopped
	}
	return &Frozen{p: p}, nil
}

// Lose has sessions that cannot be handed over left out by Each: they end with this process. Else they are an error. Lost says which they were,
// and why.
func (f *Frozen) Lose() { f.lose = true }

// Lost lists what was left out by Each.
func (f *Frozen) Lost() []error { return f.lost }

// Thaw has the proxy go on as if nothing had been.
func (f *Frozen) Thaw() {
	f.p.letGo()
	f.p.moving.Unlock()
	f.p.reloading.Unlock()
}

// Each passes on all that another process needs to go on: pieces, which are valid within the call only, some with a descriptor, which stays
// the proxy's; -1: none. An error that is not give's says what cannot be handed over; then nothing is to be.
func (f *Frozen) Each(give func(piece []byte, fd int) error) error {
	for _, r := range f.p.runners {
		err := ErrStopped
		r.do(func() { err = r.shard.freeze(f, give) })
		if err != nil {
			return err
		}
	}
	if err := f.shared(give); err != nil {
		return err
	}
	return f.registrations(give)
}

// shared passes on what shards have in common.
func (f *Frozen) shared(give func(piece []byte, fd int) error) error {
	for handle, x := range f.p.Pools() {
		c := carried{kind: carriedPool, block: handle, state: x.Freeze(nil, time.Now())}
		if err := give(c.append(nil), -1); err != nil {
			return err
		}
	}
	for _, b := range f.p.common.now.Load().users {
		u := b.config
		if u.Commands == nil {
			continue
		}
		c := carried{kind: carriedTable, block: u.Name, state: u.Commands.Freeze(nil)}
		if err := give(c.append(nil), -1); err != nil {
			return err
		}
	}
	return nil
}

// registrations passes on what was registered with the proxy.
func (f *Frozen) registrations(give func(piece []byte, fd int) error) error {
	for _, k := range f.p.handlespace.Registrations() {
		k.Err = nil // it will be found out anew
		text, err := json.Marshal(k)
		if err != nil {
			return fmt.Errorf("registration %s cannot be handed over: %w", k.ID, err)
		}
		c := carried{kind: carriedRegistration, block: k.Handle, state: text}
		if err := give(c.append(nil), -1); err != nil {
			return err
		}
	}
	return nil
}

// Leave ends the proxy without a word to anybody's connection, and without deregistering anything: another process has taken over.
func (f *Frozen) Leave() {
	for _, r := range f.p.runners {
		r.do(func() { r.shard.abandon() })
	}
	f.p.left = true
	f.p.moving.Unlock()
	f.p.reloading.Unlock()
}

// freeze passes on what this shard has.
func (s *Shard) freeze(f *Frozen, give func(piece []byte, fd int) error) error {
	g := &giver{shard: s, frozen: f, give: give}
	for _, e := range s.elements {
		g.element(e, carried{block: e.name})
	}
	for _, u := range s.users {
		for _, e := range u.direct.all() {
			g.element(e, carried{block: u.config.Name, server: e.server, element: e.name})
		}
		g.user(u)
	}
	return g.err
}

// giver passes the pieces of one shard on. After an error it does nothing more.
type giver struct {
	shard  *Shard
	frozen *Frozen
	give   func(piece []byte, fd int) error
	state  []byte
	piece  []byte
	err    error
}

func (g *giver) pass(c *carried, fd int) {
	if g.err != nil {
		return
	}
	c.shard = g.shard.index
	g.piece = c.append(g.piece[:0])
	g.err = g.give(g.piece, fd)
}

// fail notes what cannot be handed over.
func (g *giver) fail(what string, err error) {
	err = fmt.Errorf("%s cannot be handed over: %w", what, err)
	switch {
	case g.frozen.lose:
		g.frozen.lost = append(g.frozen.lost, err)
	case g.err == nil:
		g.err = err
	}
}

// Why something cannot be handed over.
var (
	errNative  = errors.New("its element is native: an association over SCTP stays with its process")
	errLeaving = errors.New("it is not configured any more: sessions that have not left it end with this process")
)

func (g *giver) user(u *userSide) {
	g.prefaces(u)
	if u.native != nil && u.rules.Count() > 0 {
		g.fail(fmt.Sprintf("pool_user %q with %d sessions", u.config.Name, u.rules.Count()), errNative)
		return
	}
	if !u.left { // those that began by an earlier configuration go to the one that there is now: it has the same instance
		g.state = u.rules.Freeze(g.state[:0])
		g.pass(&carried{kind: carriedUser, block: u.config.Name, state: g.state}, -1)
	}
	u.rules.Sessions(func(s *session.Session) {
		if g.err != nil {
			return
		}
		state, err := s.Freeze(g.state[:0])
		g.state = state
		client, ok := s.Socket().(*clientSocket)
		if err == nil && !ok {
			err = errors.New("its client's connection is unknown")
		}
		if err != nil {
			g.fail(fmt.Sprintf("session %d of pool_user %q", s.ID, u.config.Name), err)
			return
		}
		g.connection(carried{kind: carriedSession, block: u.config.Name, state: state}, &client.local, fmt.Sprintf("session %d", s.ID))
	})
}

// element passes on an element side, of which c says which one it is.
func (g *giver) element(e *elementSide, c carried) {
	rules, ok := e.rules.(*session.Element)
	if live, held := e.rules.Legs(); live+held > 0 && (!ok || e.leaving) {
		g.fail(fmt.Sprintf("pool_element %q with %d sessions", e.name, live+held), map[bool]error{true: errLeaving, false: errNative}[ok])
	}
	if e.leaving { // another one may have its name by now
		return
	}
	c.kind, c.drained = carriedElement, e.drained
	if !ok {
		g.pass(&c, -1)
		return
	}
	g.state = rules.Freeze(g.state[:0])
	c.state = g.state
	g.pass(&c, -1)
	c.kind, c.drained = carriedLeg, false
	rules.EachLeg(func(leg *session.Leg) {
		if g.err != nil {
			return
		}
		state, err := leg.Freeze(g.state[:0])
		g.state = state
		server, ok := leg.Socket().(*serverSocket)
		if err == nil && leg.Socket() == nil {
			c.state = state
			g.pass(&c, -1)
			return
		}
		if err == nil && !ok {
			err = errors.New("its server's connection is unknown")
		}
		if err != nil {
			g.fail(fmt.Sprintf("leg %d of session %d at %s", leg.Number, leg.Session, e.name), err)
			return
		}
		c.state, c.listener = state, server.listener
		if server.inLine { // there is no connection yet
			g.pass(&c, -1)
			return
		}
		g.connection(c, server.local, fmt.Sprintf("leg %d of session %d at %s", leg.Number, leg.Session, e.name))
	})
}

// connection passes on a piece with a local connection.
func (g *giver) connection(c carried, l *local, what string) {
	conn, ok := l.Conn.(loop.Carrier)
	if !ok || l.gate != nil && !l.gate.Broken() { // Freeze has ended what is disturbed
		g.fail(what, fmt.Errorf("its connection with %v cannot leave this process", l.Remote()))
		return
	}
	fd, kept, open := conn.Carry()
	if !open {
		fd = -1
	} else {
		c.conn, _ = kept.AppendBinary(nil) // the address is one
	}
	c.ended, c.failed = l.ended, l.failed
	g.pass(&c, fd)
}

// abandon lets go of everything without a word.
func (s *Shard) abandon() {
	s.closed = true
	for _, x := range s.entrances {
		x.listener.Close()
	}
	for _, u := range s.users {
		u.leave()
	}
	for _, e := range s.elements {
		e.leave()
	}
}

func (u *userSide) leave() {
	u.endRehearsal("another process has taken over")
	var left []*clientSocket
	u.rules.Sessions(func(s *session.Session) {
		if c, ok := s.Socket().(*clientSocket); ok {
			left = append(left, c)
		}
	})
	u.rules.Leave()
	for p := range u.prefaces {
		p.abandon()
	}
	for _, c := range left {
		c.abandon()
	}
	for _, e := range u.direct.all() {
		e.leave()
	}
}

func (e *elementSide) leave() {
	rules, ok := e.rules.(*session.Element)
	if !ok {
		e.rules.Close()
		return
	}
	var left []*local
	rules.EachLeg(func(g *session.Leg) {
		if s, ok := g.Socket().(*serverSocket); ok {
			left = append(left, s.local)
		}
	})
	rules.Leave()
	for _, l := range left {
		l.abandon()
	}
}

func (c *local) abandon() {
	c.ended, c.failed = true, true
	if conn, ok := c.Conn.(loop.Carrier); ok {
		conn.Abandon()
	}
}

// isDirect reports whether a piece is of an element side with mapping none.
func (c *carried) isDirect() bool { return c.server.IsValid() }
