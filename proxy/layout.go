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
}

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
	for _, x := range c.Elements {
		next.elements = append(next.elements, p.elementBlock(was.element(x.Name), x, keys))
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
		only(diffOf(b.config, other.config), "Policy", "SourceName", "SourceDigest", "Stale")
}

func (p *spread) elementBlock(was *elementBlock, c Element, keys secrets) *elementBlock {
	b := &elementBlock{serial: p.serial(), config: c, token: p.token(), counts: &elementCounts{},
		credentials: keys.of(c.TLS), servers: keys.ofEnd(c.ServerTLS)}
	if was == nil || was.config.Native || c.Native { // an association of a native pool user is its session: there is nothing to be taken over
		if was == nil || len(diffOf(was.config, c)) > 0 {
			return b
		}
		return was
	}
	if was.credentials == b.credentials && len(diffOf(was.config, c)) == 0 {
		return was
	}
	b.before, b.token = was, was.token
	if was.config.Server == c.Server {
		b.counts = was.counts
	}
	return b
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
