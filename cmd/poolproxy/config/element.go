package config

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
)

// elementBlock is a pool_element and where it was read.
type elementBlock struct {
	proxy.Element
	at        hcl.Range
	seen      map[string]hcl.Range
	health    *healthBlock // nil: none
	registers []*registerBlock
	cardAt    []hcl.Range // of the entries of its business card's order
	tls       tlsBlock
	serverTLS endBlock
	broken    bool // something in it could not be read
}

func (r *reader) readElement(b *hclsyntax.Block) {
	e := &elementBlock{at: b.DefRange()}
	e.Name, e.Mapping, e.Heartbeat, e.Memory, e.Hold = label(b), mapping.TCP, defaultHeartbeat, defaultMemory, defaultHold
	e.FenceTimeout = defaultFencing
	r.elements = append(r.elements, e)
	before := len(r.diags.Errs())
	defer func() { e.broken = len(r.diags.Errs()) > before }()
	e.seen = r.block(b, &shape{
		what:   "a pool_element",
		labels: []string{"name"},
		attributes: map[string]setter{
			"listen":  r.listen(&e.Listen),
			"server":  r.address(&e.Server),
			"mapping": r.elementMapping(&e.Mapping),
			"hold":    r.duration(&e.Hold, 0, mostTime),

			"max_sessions": r.integer(&e.MaxSessions, 1, 1_000_000),

			"paths":    r.paths(&e.Paths),
			"udp_port": r.port(&e.UDPPort),
			"peer":     word(r, &e.Native, peers),
			"ppid":     r.ppid(&e.PPID),

			"send_proxy":      word(r, &e.SendProxy, headers),
			"fence_exec":      r.command(&e.FenceExec),
			"fence_timeout":   r.duration(&e.FenceTimeout, 10*time.Millisecond, mostTime),
			"cookie_key_file": r.cookieKey(&e.CookieKey),

			"chaos": r.boolean(&e.Chaos),
		},
		once: map[string]func(*hclsyntax.Block){
			"tls":          r.readTLS(&e.tls),
			"server_tls":   r.readServerTLS(&e.serverTLS),
			"heartbeat":    r.readHeartbeat(&e.Heartbeat),
			"retrieval":    r.readRetrieval(&e.Memory),
			"protocol":     func(b *hclsyntax.Block) { r.readElementProtocol(e, b) },
			"health_check": func(b *hclsyntax.Block) { r.readHealth(e, b) },

			"business_card": func(b *hclsyntax.Block) { r.readCard(e, b) },
		},
		many:      map[string]func(*hclsyntax.Block){"register": func(b *hclsyntax.Block) { r.readRegister(e, b) }},
		required:  []string{"listen", "server"},
		later:     []string{"source", "state"},
		refused:   map[string]func(hcl.Range){"tls": func(at hcl.Range) { e.tls.asked = append(e.tls.asked, at) }},
		misplaced: map[string]string{"fence": inFailover, "callback": inFailover},
	})
	r.checkTLS(&e.tls, e.Mapping, "pool_element")
	e.TLS, e.ServerTLS = e.tls.TLS, e.serverTLS.EndTLS
	if at, set := e.seen["fence_timeout"]; set && !given(e.seen, "fence_exec") {
		r.fail(at, `"fence_timeout" has no effect without fence_exec`, "It bounds the time that fence_exec may take: leave it out.")
	}
}

// elementMapping reads the mapping of a pool_element. "none" has a meaning for pools alone.
func (r *reader) elementMapping(dst *mapping.ID) setter {
	read := word(r, dst, []choice[mapping.ID]{{"tcp", mapping.TCP}, {"sctp", mapping.SCTP}})
	return func(a *hclsyntax.Attribute) {
		if v, diags := a.Expr.Value(nil); !diags.HasErrors() && v.RawEquals(none) {
			r.fail(a.Expr.Range(), `A pool_element cannot have mapping = "none"`,
				"With no mapping there is no sidecar in front of the server: leave the pool_element out, and write the server's address in the pool.")
			return
		}
		read(a)
	}
}
