package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
)

// elementBlock is a pool_element and where it was read.
type elementBlock struct {
	proxy.Element
	at   hcl.Range
	seen map[string]hcl.Range
}

func (r *reader) readElement(b *hclsyntax.Block) {
	e := &elementBlock{at: b.DefRange()}
	e.Name, e.Mapping, e.Heartbeat, e.Memory, e.Hold = label(b), mapping.TCP, defaultHeartbeat, defaultMemory, defaultHold
	r.elements = append(r.elements, e)
	e.seen = r.block(b, &shape{
		what:   "a pool_element",
		labels: []string{"name"},
		attributes: map[string]setter{
			"listen":  r.listen(&e.Listen),
			"server":  r.address(&e.Server),
			"mapping": r.elementMapping(&e.Mapping),
			"hold":    r.duration(&e.Hold, 0, mostTime),
		},
		once: map[string]func(*hclsyntax.Block){
			"heartbeat": r.readHeartbeat(&e.Heartbeat),
			"retrieval": r.readRetrieval(&e.Memory),
		},
		required: []string{"listen", "server"},
		later:    []string{"register", "health_check", "tls", "peer", "chaos", "fence", "fence_exec", "source", "state"},
	})
}

// elementMapping reads the mapping of a pool_element. "none" has a meaning for pools alone.
func (r *reader) elementMapping(dst *mapping.ID) setter {
	read := r.mapping(dst, choice[mapping.ID]{"tcp", mapping.TCP})
	return func(a *hclsyntax.Attribute) {
		if v, diags := a.Expr.Value(nil); !diags.HasErrors() && v.RawEquals(none) {
			r.fail(a.Expr.Range(), `A pool_element cannot have mapping = "none"`,
				"With no mapping there is no sidecar in front of the server: leave the pool_element out, and write the server's address in the pool.")
			return
		}
		read(a)
	}
}
