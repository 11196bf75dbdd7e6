package config

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/protocol"
)

func (r *reader) readHTTP(u *userBlock, b *hclsyntax.Block) (protocol.Protocol, error) {
	u.replies = true
	c := protocol.HTTPConfig{MaxHead: protocol.HTTPMaxHead}
	r.block(b, &shape{
		what:       "protocol http",
		labels:     []string{"http"},
		attributes: map[string]setter{"max_head": size(r, &c.MaxHead, 1<<10, protocol.HTTPMaxHead)},
		later:      []string{"safe"},
	})
	return protocol.NewHTTP(c), nil
}
