package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/pool"
)

// defaultStale holds where the configuration says nothing. config.hcl.example tells it to users.
const defaultStale = 5 * time.Minute

// sourceBlock is a source and where it was read.
type sourceBlock struct {
	name   string // "dns.k8s"
	digest string
	stale  time.Duration
	at     hcl.Range
	seen   map[string]hcl.Range
	broken bool
	made   pool.Source // nil: it could not be made, which was reported
	kind   sourceKind
}

// sourceKind is what one kind of source has of its own: its file is named after it.
type sourceKind interface {
	// shape is what its block looks like. The names of all kinds are added to it: stale_after and the labels.
	shape(r *reader) *shape

	// made makes the source, or reports why it cannot be and returns nil. It is called once, when all that is in the block could be read.
	made(r *reader, s *sourceBlock) pool.Source

	// poolOf reports what is wrong with a pool that has this source; at is where the pool names it.
	poolOf(r *reader, p *poolBlock, at hcl.Range)
}

// kinds are the sources that there are.
var kinds = []string{"dns", "etcd", "asap"}

func newSourceKind(kind string) sourceKind {
	switch kind {
	case "dns":
		return newDNSKind()
	case "asap":
		return newASAPKind()
	case "etcd":
		return newEtcdKind()
	}
	return nil
}

func (r *reader) readSource(b *hclsyntax.Block) {
	kind := label(b)
	if kind == "" {
		kind = kinds[0] // that it is missing is reported when the block is read
	}
	k := newSourceKind(kind)
	if k == nil {
		r.noKind(b, kind)
		return
	}
	s := &sourceBlock{at: b.DefRange(), stale: defaultStale, kind: k, digest: r.digest(b)}
	if len(b.Labels) > 1 {
		s.name = kind + "." + b.Labels[1]
	}
	r.sources = append(r.sources, s)
	before := len(r.diags.Errs())
	shape := k.shape(r)
	shape.labels = []string{kind, "name"}
	shape.attributes["stale_after"] = r.duration(&s.stale, time.Second, 7*mostTime)
	s.seen = r.block(b, shape)
	s.broken = len(r.diags.Errs()) > before
}

// noKind reports a source of a kind that there is not.
func (r *reader) noKind(b *hclsyntax.Block, kind string) {
	at, hint := b.LabelRanges[0], fmt.Sprintf("The kinds are: %s.", quoted(kinds))
	r.fail(at, fmt.Sprintf("There is no source of the kind %q", kind), hint)
}

// checkPoolSource gives a pool its source.
func (r *reader) checkPoolSource(p *poolBlock) {
	at, set := p.seen["source"]
	if !set || p.SourceName == "" {
		return
	}
	if len(p.elements) > 0 {
		r.fail(at, fmt.Sprintf("Pool %q has elements and a source", p.Handle), "It has either: leave one out.")
	}
	if s := r.findSource(p.SourceName, at); s != nil && s.made != nil { // else that was reported
		p.Source, p.SourceDigest, p.Stale = s.made, s.digest, s.stale
		s.kind.poolOf(r, p, at)
	}
}

// findSource finds a source by its name, or reports that there is none.
func (r *reader) findSource(name string, at hcl.Range) *sourceBlock {
	var names []string
	for _, s := range r.sources {
		if s.name == name {
			return s
		}
		names = append(names, s.name)
	}
	hint := `There are no sources at all: add a block source "dns" "NAME" { ... }`
	if len(names) > 0 {
		hint = fmt.Sprintf("The sources are: %s.", quoted(names))
	}
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("Did you mean %q? %s", near, hint)
	}
	r.fail(at, fmt.Sprintf("There is no source %q", name), hint)
	return nil
}

// checkSource makes the source of its block.
func (r *reader) checkSource(s *sourceBlock) {
	if s.broken || s.name == "" {
		return
	}
	s.made = s.kind.made(r, s)
	if !slices.ContainsFunc(r.pools, func(p *poolBlock) bool { return p.SourceName == s.name }) && !r.registersAt(s.name) {
		r.warn(s.at, fmt.Sprintf("No pool has the source %q", s.name), fmt.Sprintf("Write in a pool: source = %q", s.name))
	}
}
