package config

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxPatterns bounds a list of regular expressions: each is tried on every request.
const maxPatterns = 64

// regex reads one regular expression.
func (r *reader) regex(dst **regexp.Regexp) setter {
	return func(a *hclsyntax.Attribute) {
		if re, ok := r.compile(a.Name, a.Expr); ok {
			*dst = re
		}
	}
}

// regexes reads a list of regular expressions.
func (r *reader) regexes(dst *[]*regexp.Regexp) setter {
	return func(a *hclsyntax.Attribute) {
		items, ok := r.entries(a, `Write a list: ["^GET ", "^STAT$"].`)
		if !ok {
			return
		}
		for _, item := range items {
			if re, ok := r.compile(a.Name, item); ok {
				*dst = append(*dst, re)
			}
		}
	}
}

// entries gives the expressions in a list, at most maxPatterns.
func (r *reader) entries(a *hclsyntax.Attribute, hint string) ([]hcl.Expression, bool) {
	items, diags := hcl.ExprList(a.Expr)
	if diags.HasErrors() {
		r.fail(a.Expr.Range(), fmt.Sprintf("%q must be a list", a.Name), hint)
		return nil, false
	}
	if len(items) > maxPatterns {
		r.fail(a.Expr.Range(), fmt.Sprintf("%q has %d entries", a.Name, len(items)), fmt.Sprintf("It may have %d.", maxPatterns))
		return nil, false
	}
	return items, true
}

// some gives the expressions in a list that must have one at least, and has so many at most.
func (r *reader) some(a *hclsyntax.Attribute, most int, hint string) ([]hcl.Expression, bool) {
	items, ok := r.entries(a, hint)
	if ok && (len(items) == 0 || len(items) > most) {
		r.fail(a.Expr.Range(), fmt.Sprintf("%q has %d entries", a.Name, len(items)), fmt.Sprintf("It must have 1 to %d. %s", most, hint))
		return nil, false
	}
	return items, ok
}

// compile makes a regular expression of a string; the error points at the part of it that is wrong.
func (r *reader) compile(name string, e hcl.Expression) (*regexp.Regexp, bool) {
	pattern, ok := r.text(name, e, `Regular expressions are strings in quotes: "^GET ".`)
	if !ok {
		return nil, false
	}
	re, err := regexp.Compile(pattern)
	if err == nil {
		return re, true
	}
	summary, at := err.Error(), e.Range()
	if bad := (*syntax.Error)(nil); errors.As(err, &bad) {
		position := max(strings.Index(pattern, bad.Expr), 0)
		summary = fmt.Sprintf("%s: %s at character %d", bad.Code, bad.Expr, position+1)
		at = r.within(at, pattern, position, len(bad.Expr))
	}
	r.fail(at, fmt.Sprintf("%q is not a regular expression: %s", name, summary),
		"The syntax is that of https://pkg.go.dev/regexp/syntax; a backslash is written twice in a string.")
	return nil, false
}

// within narrows the range of a quoted string to n bytes of it. Where the source has escapes, and positions in it are others
// than in the value, the range remains.
func (r *reader) within(at hcl.Range, value string, from, n int) hcl.Range {
	file := r.files[at.Filename]
	if file == nil || !at.CanSliceBytes(file.Bytes) || string(at.SliceBytes(file.Bytes)) != `"`+value+`"` {
		return at
	}
	for i := range value {
		if value[i] >= 0x80 { // columns count characters, not bytes
			return at
		}
	}
	at.Start.Byte += 1 + from
	at.Start.Column += 1 + from
	at.End = at.Start
	at.End.Byte += n
	at.End.Column += n
	return at
}
