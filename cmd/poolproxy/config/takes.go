package config

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Takes says which values a setting takes, in the words of the reader itself: it is given a value that cannot be, and what it complains of is
// what it wants. "" for blocks.
func (s Setting) Takes() string {
	if s.Block {
		return ""
	}
	what, hint := s.complaint("null")
	_, kind, _ := strings.Cut(what, " must be ")
	switch {
	case strings.HasPrefix(hint, "Write one of: "):
		return strings.TrimSuffix(strings.TrimPrefix(hint, "Write "), ".")
	case strings.HasPrefix(hint, "Write a whole number"):
		return strings.TrimSuffix(strings.TrimPrefix(hint, "Write "), ", without quotes.")
	case strings.HasPrefix(hint, "Durations "):
		return "a duration" + s.within(`"1000000h"`)
	case strings.HasPrefix(hint, "Sizes "):
		return "a size" + s.within(`"9007199254740991B"`)
	}
	return kind
}

// within is the range that is told of when a value is too large: " from 1s to 24h".
func (s Setting) within(tooLarge string) string {
	_, hint := s.complaint(tooLarge)
	if bounds, ok := strings.CutPrefix(hint, "It must be"); ok {
		return strings.TrimSuffix(bounds, ".")
	}
	return ""
}

// complaint is what the reader has to say of a value of the setting, alone in the blocks around it.
func (s Setting) complaint(value string) (what, hint string) {
	var text strings.Builder
	depth, line := 0, 1
	for _, x := range Settings() {
		if x.Block && strings.HasPrefix(s.Path, x.Path+".") {
			text.WriteString(strings.TrimSuffix(x.Shown, " ... }") + "\n")
			depth, line = depth+1, line+1
		}
	}
	text.WriteString(s.Name() + " = " + value + "\n" + strings.Repeat("}\n", depth))
	for _, d := range readAlone(text.String()) {
		if d.Subject != nil && d.Subject.Start.Line == line {
			return d.Summary, d.Detail
		}
	}
	return "", ""
}

// readAlone reads a text without judging whether its parts fit together. No host name is looked up.
func readAlone(text string) hcl.Diagnostics {
	r := &reader{config: defaults(), lookup: func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, errors.New("host names are not looked up here")
	}}
	f, diags := hclsyntax.ParseConfig([]byte(text), "settings", hcl.InitialPos)
	if diags.HasErrors() {
		return diags
	}
	r.walk(f.Body.(*hclsyntax.Body), r.topLevel())
	return r.diags
}
