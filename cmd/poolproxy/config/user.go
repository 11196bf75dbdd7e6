package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/proxy"
)

// userBlock is a pool_user and where it was read.
type userBlock struct {
	proxy.User
	at       hcl.Range
	seen     map[string]hcl.Range
	failover map[string]hcl.Range // where the settings of its failover block stand
	kind     string               // the name of its protocol; "" while that is not known
	spoken   map[string]hcl.Range // where the settings of its protocol block stand (line, length)
	replies  bool                 // its protocol knows which reply belongs to which request
	safe     bool                 // its protocol block says of some request that it may be repeated (line, length)
	ending   string               // protocol line: what ends a line
	states   map[string][]string  // the groups of each of its protocol's state blocks; nil groups are not known

	callbacks []*callbackBlock
	tls       endBlock
	matchAt   []hcl.Range // of the entries of its match
}

func (r *reader) readUser(b *hclsyntax.Block) {
	u := &userBlock{at: b.DefRange()}
	u.Name, u.Heartbeat, u.Memory, u.Failover = label(b), defaultHeartbeat, defaultMemory, defaultFailover()
	u.Associations = defaultAssociations
	r.users = append(r.users, u)
	u.seen = r.block(b, &shape{
		what:   "a pool_user",
		labels: []string{"name"},
		attributes: map[string]setter{
			"listen": r.listen(&u.Listen),
			"pool":   r.str(&u.Pool, 255),

			"transparent": word(r, &u.Transparent, interceptions),
			"match":       r.match(u),

			"associations": r.integer(&u.Associations, 1, mostAssociations),
			"local":        r.paths(&u.Local),
		},
		once: map[string]func(*hclsyntax.Block){
			"protocol":  func(b *hclsyntax.Block) { r.readProtocol(u, b) },
			"heartbeat": r.readHeartbeat(&u.Heartbeat),
			"retrieval": r.readRetrieval(&u.Memory),
			"failover":  func(b *hclsyntax.Block) { r.readFailover(u, b) },
			"tls":       r.readClientTLS(u),
			"rehearsal": func(b *hclsyntax.Block) { r.readRehearsal(u, b) },

			"proxy_protocol": func(b *hclsyntax.Block) { r.readAcceptProxy(u, b) },
		},
		required:  []string{"listen", "pool", "protocol"},
		later:     []string{"peer", "source", "state", "register"},
		misplaced: misplacedInUser,
	})
	u.TLS = u.tls.EndTLS
	r.settle(u)
}
