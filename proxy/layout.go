package proxy

import (
	"slices"
	"sync/atomic"

	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/session"
)

// layout is a configuration as the shards work by it: its blocks with what the sides of all shards have in common. It is not changed. A
// configuration that is read again makes another one, which has the same blocks where nothing is different.
type layout struct {
	config   Config
	pools    map[string]*poolBlock // by their handles
	handles  map[string]*pool.Pool // likewise
	users    []*userBlock          // in the order of the configuration
	elements []*elementBlock       // likewise
	left     []*elementBlock       // those that are not configured any more, and may have legs yet: who is named again goes on with them
	secrets  secrets
}

// poolBlock is a pool.
type poolBlock struct {
	config      Pool
	pool        *pool.Pool
	credentials *secure.Credentials // nil: without TLS
	servers     *secure.Credentials // towards the servers, with mapping none; nil: likewise
}

// userBlock is a pool_user as it is configured once: one that is configured otherwise, but for where it listens, is another one, for new sessions.
type userBlock struct {
	serial uint64 // by which its sides are found
	config User
	pool   *poolBlock
	token  session.Token // the instance
	slots  chan struct{} // of the programs that run

	credentials *secure.Credentials // towards clients; nil: without TLS
}

// elementBlock is a pool_element as it is configured once. One that is configured otherwise takes over the legs of the one before, if that can be.
type elementBlock struct {
	serial      uint64 // by which its sides are found
	config      Element
	before      *elementBlock // whose legs it takes over; nil: it begins anew
	token       session.Token // the instance
	counts      *elementCounts
	credentials *secure.Credentials // nil: without TLS
	servers     *secure.Credentials // towards the server; nil: likewise
	dialled     atomic.Int64        // connections to the server that its sides have made and not ended
	fate        atomic.Int32        // once it is not configured any more; see fateLeaves
}

// The fates of a pool_element that is not configured any more.
const (
	fateLeaves  int32 = iota // its sides stay until their legs have ended
	fateClaimed              // it is named again, and another one takes over, or is about to
	fateClosed               // sides have been closed: who is named again begins anew
)

// layout makes the layout of a configuration, which follows was; nil: it is the first. An error is that of a file which cannot be used; then
// nothing has happened.
func (p *spread) layout(was *layout, c Config) (*layout, error) {
	if was == nil {
		was = &layout{}
	}
	keys, err := loadSecrets(c, was.secrets)
	if err != nil {
		return nil, err
	}
	next := &layout{config: c, pools: make(map[string]*poolBlock), handles: make(map[string]*pool.Pool), secrets: keys}
	for _, x := range c.Pools {
		b := p.poolBlock(was.pools[x.Handle], x, keys)
		next.pools[x.Handle], next.handles[x.Handle] = b, b.pool
	}
	next.left = was.leaving(c)
	for _, x := range c.Elements {
		next.elements = append(next.elements, p.elementBlock(was.element(x.Name), next.comesBack(x), x, keys))
	}
	for _, x := range c.Users {
		next.users = append(next.users, p.userBlock(was.user(x.Name), x, next.pools[x.Pool], keys))
	}
	return next, nil
}

func (p *spread) poolBlock(was *poolBlock, c Pool, keys secrets) *poolBlock {
	b := &poolBlock{config: c, credentials: keys.of(c.TLS), servers: keys.ofEnd(c.ServerTLS)}
	if was != nil && was.config.Mapping == c.Mapping {
		b.pool = was.pool
		if !was.config.Policy.Draws() {
			p.seed(b)
		}
		return b
	}
	b.pool = pool.New(c.Handle, c.Policy, c.Elements)
	p.seed(b)
	return b
}

// seed has a policy that draws begin somewhere.
func (p *spread) seed(b *poolBlock) {
	if b.config.Policy.Draws() {
		var seed [16]byte
		p.random(seed[:])
		b.pool.Seed(seed)
	}
}

func (p *spread) userBlock(was *userBlock, c User, in *poolBlock, keys secrets) *userBlock {
	if was != nil && was.pool.reachedAs(in) && only(diffOf(was.config, c), "Listen") {
		b := *was
		b.config.Listen, b.pool = c.Listen, in
		return &b
	}
	b := &userBlock{serial: p.serial(), config: c, pool: in, token: p.token(), slots: make(chan struct{}, maxPrograms), credentials: keys.ofEnd(c.TLS)}
	if was != nil { // pool elements know whose the sessions are, also behind an upgrade, which brings all together
		b.token = was.token
	}
	return b
}

// reachedAs reports whether the elements of both are the same ones, and are reached in the same way: then a pool_user need not know which it has.
func (b *poolBlock) reachedAs(other *poolBlock) bool {
	return b.pool == other.pool && b.credentials == other.credentials && b.servers == other.servers &&
		only(diffOf(b.config, other.config), "Policy", "SourceName", "SourceDigest", "Stale", "Rehearsals", "Chaos")
}

// elementBlock is the block of a pool_element. was is the one that is configured, left the one that is not any more; nil: there is none.
func (p *spread) elementBlock(was, left *elementBlock, c Element, keys secrets) *elementBlock {
	b := &elementBlock{serial: p.serial(), config: c, token: p.token(), counts: &elementCounts{},
		credentials: keys.of(c.TLS), servers: keys.ofEnd(c.ServerTLS)}
	if left != nil {
		b.follow(left)
		return b
	}
	if was == nil || was.config.Native || c.Native { // an association of a native pool user is its session: there is nothing to be taken over
		if was == nil || !only(diffOf(was.config, c), "Chaos") {
			return b
		}
		return was
	}
	if was.credentials == b.credentials && only(diffOf(was.config, c), "Chaos") { // the configuration says whether it may be disturbed
		return was
	}
	b.follow(was)
	return b
}

// follow has a pool_element take over from another one.
func (b *elementBlock) follow(was *elementBlock) {
	b.before, b.token = was, was.token
	if was.config.Server == b.config.Server {
		b.counts = was.counts
	}
}

// leaving are the blocks of pool_elements that may have legs yet and are not in another configuration.
func (l *layout) leaving(c Config) (left []*elementBlock) {
	for _, b := range l.left {
		if b.fate.Load() == fateLeaves {
			left = append(left, b)
		}
	}
	for _, b := range l.elements {
		if !slices.ContainsFunc(c.Elements, func(x Element) bool { return x.Name == b.config.Name }) {
			left = append(left, b)
		}
	}
	return left
}

// comesBack claims the block that a pool_element had before it was gone from the configuration, if there is one yet; else nil. release gives
// it back if the layout is not taken.
func (l *layout) comesBack(c Element) *elementBlock {
	for i, b := range l.left {
		if b.config.Name == c.Name && !b.config.Native && !c.Native && b.fate.CompareAndSwap(fateLeaves, fateClaimed) {
			l.left = slices.Delete(l.left, i, i+1)
			return b
		}
	}
	return nil
}

// release gives back what comesBack has claimed.
func (l *layout) release() {
	for _, b := range l.elements {
		if b.before != nil {
			b.before.fate.CompareAndSwap(fateClaimed, fateLeaves)
		}
	}
}

// only reports whether nothing but these fields of a struct are different.
func only(changes []change, fields ...string) bool {
	return !slices.ContainsFunc(changes, func(c change) bool { return !slices.Contains(fields, c.field) })
}

// serial is a number that no other block has.
func (p *spread) serial() uint64 { return p.serials.Add(1) }

func (p *spread) token() (t session.Token) {
	p.random(t[:])
	return t
}

// instances are where the instances of all blocks are, by the kind and the name of the block.
func (l *layout) instances() map[string]*session.Token {
	all := make(map[string]*session.Token)
	for _, b := range l.users {
		all["pool_user "+b.config.Name] = &b.token
	}
	for _, b := range l.elements {
		all["pool_element "+b.config.Name] = &b.token
	}
	return all
}

// tokens are the instances.
func (l *layout) tokens() map[string]session.Token {
	all := make(map[string]session.Token)
	for name, t := range l.instances() {
		all[name] = *t
	}
	return all
}

// user is the pool_user of that name; nil: there is none.
func (l *layout) user(name string) *userBlock {
	for _, b := range l.users {
		if b.config.Name == name {
			return b
		}
	}
	return nil
}

// element is the pool_element of that name; nil: there is none.
func (l *layout) element(name string) *elementBlock {
	for _, b := range l.elements {
		if b.config.Name == name {
			return b
		}
	}
	return nil
}
