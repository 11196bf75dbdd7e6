package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/proxy"
)

// reader collects what the files say, and what is wrong with them.
type reader struct {
	lookup lookupFunc
	config proxy.Config
	diags  hcl.Diagnostics
	files  map[string]*hcl.File
	order  []string // the names of the files, in the order they were read

	adminAt    hcl.Range
	admin      map[string]hcl.Range // where its settings stand
	adminTLS   endBlock
	requireTLS bool                 // nothing goes to other machines without TLS
	limits     map[string]hcl.Range // where each of them is set
	dns        map[string]hcl.Range // likewise
	sources    []*sourceBlock
	pools      []*poolBlock
	users      []*userBlock
	elements   []*elementBlock
}

func (r *reader) nowhere(summary, detail string) {
	r.diags = append(r.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail})
}

// fail reports an error at a place: what is wrong, and what to do.
func (r *reader) fail(at hcl.Range, summary, hint string) {
	r.diags = append(r.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: hint, Subject: &at})
}

func (r *reader) warn(at hcl.Range, summary, hint string) {
	r.diags = append(r.diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: summary, Detail: hint, Subject: &at})
}

// shape says what may stand in a block.
type shape struct {
	what       string   // "a pool", for messages
	labels     []string // what the labels of the block mean
	attributes map[string]func(*hclsyntax.Attribute)
	once       map[string]func(*hclsyntax.Block) // blocks that may stand there once
	many       map[string]func(*hclsyntax.Block) // blocks that may be repeated
	required   []string
	later      []string          // names of the design that this version does not have
	misplaced  map[string]string // names that stand in another block: in which

	// Names that this version does not have either, which their function reports when the block has been read: what is wrong with them
	// depends on what else stands there.
	refused map[string]func(hcl.Range)

	seen map[string]hcl.Range // where each name stood; shared by the bodies that are walked with this shape
}

// names lists what may stand in the block.
func (s *shape) names() []string {
	names := slices.Collect(maps.Keys(s.attributes))
	names = slices.AppendSeq(names, maps.Keys(s.once))
	names = slices.AppendSeq(names, maps.Keys(s.many))
	slices.Sort(names)
	return names
}

// block walks the body of a block and returns where each name stood in it.
func (r *reader) block(b *hclsyntax.Block, s *shape) map[string]hcl.Range {
	if len(b.Labels) != len(s.labels) {
		want := b.Type
		for _, label := range s.labels {
			want += fmt.Sprintf(" %q", label)
		}
		r.fail(b.DefRange(), fmt.Sprintf("%s has %s behind it, not %d", b.Type, count(len(s.labels), "name"), len(b.Labels)),
			fmt.Sprintf("Write: %s { ... }", want))
	} else if slices.Contains(b.Labels, "") {
		r.fail(b.DefRange(), "A name is empty", fmt.Sprintf("Give the %s a name.", b.Type))
	}
	r.walk(b.Body, s)
	for _, name := range s.required {
		if _, ok := s.seen[name]; !ok {
			r.fail(b.DefRange(), fmt.Sprintf("%q is missing", name), fmt.Sprintf("%s needs it; write %s", first(s.what), s.example(name)))
		}
	}
	return s.seen
}

func (s *shape) example(name string) string {
	if _, ok := s.attributes[name]; ok {
		return name + " = ..."
	}
	return name + " ... { ... }"
}

// walk hands each attribute and block of the body to its function.
func (r *reader) walk(body *hclsyntax.Body, s *shape) {
	if s.seen == nil {
		s.seen = map[string]hcl.Range{}
	}
	byPosition := func(a, b *hclsyntax.Attribute) int { return a.NameRange.Start.Byte - b.NameRange.Start.Byte }
	for _, a := range slices.SortedFunc(maps.Values(body.Attributes), byPosition) {
		set, ok := s.attributes[a.Name]
		switch {
		case !ok:
			r.unknown(a.Name, a.NameRange, s, true)
		case r.single(a.Name, a.NameRange, s):
			s.seen[a.Name] = a.Expr.Range()
			set(a)
		}
	}
	for _, b := range body.Blocks {
		if set, ok := s.many[b.Type]; ok {
			s.seen[b.Type] = b.DefRange()
			set(b)
			continue
		}
		set, ok := s.once[b.Type]
		switch {
		case !ok:
			r.unknown(b.Type, b.TypeRange, s, false)
		case r.single(b.Type, b.TypeRange, s):
			s.seen[b.Type] = b.DefRange()
			set(b)
		}
	}
}

// single reports whether the name stands there for the first time.
func (r *reader) single(name string, at hcl.Range, s *shape) bool {
	if before, ok := s.seen[name]; ok {
		r.fail(at, fmt.Sprintf("%q is there twice", name),
			fmt.Sprintf("%s has it once. The first one is at %s.", first(s.what), place(before)))
		return false
	}
	return true
}

// notYet reports a name of the design that this version does not have.
func (r *reader) notYet(name string, at hcl.Range) {
	r.fail(at, fmt.Sprintf("%q is not available in this version", name), "It is planned, but does nothing yet: leave it out.")
}

// unknown reports a name that may not stand where it does.
func (r *reader) unknown(name string, at hcl.Range, s *shape, attribute bool) {
	if refuse, ok := s.refused[name]; ok {
		refuse(at)
		return
	}
	if slices.Contains(s.later, name) {
		r.notYet(name, at)
		return
	}
	if where, ok := s.misplaced[name]; ok {
		r.fail(at, fmt.Sprintf("%q belongs to %s, not to %s", name, where, s.what), "Move it there.")
		return
	}
	names := s.names()
	if slices.Contains(names, name) {
		write := fmt.Sprintf("%s = ...", name)
		if attribute {
			write = fmt.Sprintf("%s { ... }, without the equals sign", name)
		}
		r.fail(at, fmt.Sprintf("%q is written in the wrong form", name), fmt.Sprintf("Write: %s.", write))
		return
	}
	hint := fmt.Sprintf("%s has: %s.", first(s.what), strings.Join(names, ", "))
	if len(names) == 0 {
		hint = first(s.what) + " has no settings: leave it out."
	}
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("Did you mean %q?", near)
	}
	r.fail(at, fmt.Sprintf("%s has no %q", first(s.what), name), hint)
}

// first makes the first letter of a sentence a capital.
func first(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// count is "1 name", "2 names" or "no names".
func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
