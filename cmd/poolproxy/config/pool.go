package config

import (
	"math"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/proxy"
)

// poolBlock is a pool and where it was read.
type poolBlock struct {
	proxy.Pool
	at       hcl.Range
	seen     map[string]hcl.Range
	elements []poolElement // those that may be given sessions
	tls      tlsBlock

	rehearsals []poolElement // those that are there for rehearsals alone

	serverTLS endBlock
	broken    bool // something in it could not be read
}

// poolElement is an element of a pool and where it was read.
type poolElement struct {
	pool.Element
	at    hcl.Range
	seen  map[string]hcl.Range
	allow []string // who it is, by its certificate; nil: who the pool says
}

// inPool is where what concerns all elements of a pool stands.
const inPool = "the pool itself"

// policies are the words for the policies of RFC 5356.
func policies() (all []choice[pool.Policy]) {
	for _, p := range pool.Standard() {
		all = append(all, choice[pool.Policy]{p.String(), p})
	}
	return all
}

func (r *reader) readPool(b *hclsyntax.Block) {
	p := &poolBlock{at: b.DefRange()}
	p.Handle, p.Mapping = label(b), mapping.TCP
	r.pools = append(r.pools, p)
	before := len(r.diags.Errs())
	defer func() { p.broken = len(r.diags.Errs()) > before }()
	p.seen = r.block(b, &shape{
		what:   "a pool",
		labels: []string{"name"},
		attributes: map[string]setter{
			"policy":  word(r, &p.Policy, policies()),
			"mapping": word(r, &p.Mapping, []choice[mapping.ID]{{"tcp", mapping.TCP}, {"sctp", mapping.SCTP}, {"none", mapping.None}}),

			"source":   r.str(&p.SourceName, 255),
			"udp_port": r.port(&p.UDPPort),
			"peer":     word(r, &p.Native, peers),
			"ppid":     r.ppid(&p.PPID),

			"send_proxy": word(r, &p.SendProxy, headers),

			"chaos": r.boolean(&p.Chaos),
		},
		many:      map[string]func(*hclsyntax.Block){"element": func(b *hclsyntax.Block) { r.readPoolElement(p, b) }},
		later:     []string{"dns", "asap", "etcd"},
		once:      map[string]func(*hclsyntax.Block){"tls": r.readTLS(&p.tls), "server_tls": r.readServerTLS(&p.serverTLS)},
		refused:   map[string]func(hcl.Range){"tls": p.asksTLS},
		misplaced: healthIn,
	})
	r.checkTLS(&p.tls, p.Mapping, "pool")
	if p.TLS = p.tls.TLS; p.TLS != nil {
		p.TLS.Elements = p.allowed()
	}
}

func (p *poolBlock) asksTLS(at hcl.Range) { p.tls.asked = append(p.tls.asked, at) }

// written are all elements that stand in the block.
func (p *poolBlock) written() []poolElement { return slices.Concat(p.elements, p.rehearsals) }

// allowed are the names of elements that have names of their own.
func (p *poolBlock) allowed() (all []proxy.ElementName) {
	for _, e := range p.written() {
		if len(e.allow) > 0 {
			all = append(all, proxy.ElementName{Element: e.Name, Allow: e.allow})
		}
	}
	return all
}

func (r *reader) readPoolElement(p *poolBlock, b *hclsyntax.Block) {
	e := poolElement{at: b.DefRange()}
	e.Name = label(b)
	priority, weight, most, rehearsal := 0, 1, 0, false
	e.seen = r.block(b, &shape{
		what:   "an element of a pool",
		labels: []string{"name"},
		attributes: map[string]setter{
			"address":  r.address(&e.Address),
			"paths":    r.paths(&e.Paths),
			"priority": r.integer(&priority, 0, math.MaxInt32),
			"weight":   r.integer(&weight, 0, math.MaxInt32),

			"max_sessions": r.integer(&most, 1, 1_000_000),

			"load":        r.share(&e.Load),
			"degradation": r.share(&e.Degradation),

			"rehearsal": r.boolean(&rehearsal),
		},
		once:      map[string]func(*hclsyntax.Block){"tls": r.readElementTLS(&e.allow, &p.tls.asked)},
		required:  []string{"address"},
		refused:   map[string]func(hcl.Range){"tls": p.asksTLS},
		misplaced: map[string]string{"health_check": inElement, "peer": inPool, "ppid": inPool, "chaos": inPool},
	})
	e.Priority, e.Weight = uint32(priority), uint32(weight)
	e.MaxSessions = uint32(most)
	if rehearsal {
		p.rehearsals = append(p.rehearsals, e)
		return
	}
	p.elements = append(p.elements, e)
}

// label is the first label of a block, or "" where it is missing, which has been reported.
func label(b *hclsyntax.Block) string {
	if len(b.Labels) == 0 {
		return ""
	}
	return b.Labels[0]
}
