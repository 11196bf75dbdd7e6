package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// setter reads one attribute's value into a place that it was made with.
type setter = func(*hclsyntax.Attribute)

// text is the value of an expression that must be a string.
func (r *reader) text(name string, e hcl.Expression, hint string) (string, bool) {
	v, ok := r.value(e, cty.String, name, "a string in quotes", hint)
	if !ok {
		return "", false
	}
	return v.AsString(), true
}

// value evaluates an expression that must be of the type.
func (r *reader) value(e hcl.Expression, want cty.Type, name, what, hint string) (cty.Value, bool) {
	v, diags := e.Value(nil)
	if diags.HasErrors() {
		r.fail(e.Range(), fmt.Sprintf("%q is not a plain value", name), "Variables and functions are not to be had here. "+hint)
		return v, false
	}
	if v.IsNull() || !v.IsKnown() || v.Type() != want {
		r.fail(e.Range(), fmt.Sprintf("%q must be %s", name, what), hint)
		return v, false
	}
	return v, true
}

// str reads a string of at most most bytes that is not empty.
func (r *reader) str(dst *string, most int) setter {
	return func(a *hclsyntax.Attribute) {
		s, ok := r.text(a.Name, a.Expr, fmt.Sprintf(`Write: %s = "..."`, a.Name))
		switch {
		case !ok:
		case s == "" || len(s) > most:
			r.fail(a.Expr.Range(), fmt.Sprintf("%q has %d bytes", a.Name, len(s)), fmt.Sprintf("It must have 1 to %d.", most))
		default:
			*dst = s
		}
	}
}

// integer reads a whole number from least to most.
func (r *reader) integer(dst *int, least, most int) setter {
	return func(a *hclsyntax.Attribute) {
		if n, ok := r.whole(a.Name, a.Expr, least, most); ok {
			*dst = n
		}
	}
}

func (r *reader) whole(name string, e hcl.Expression, least, most int) (int, bool) {
	hint := fmt.Sprintf("Write a whole number from %d to %d, without quotes.", least, most)
	v, ok := r.value(e, cty.Number, name, "a number", hint)
	if !ok {
		return 0, false
	}
	if !v.AsBigFloat().IsInt() {
		r.fail(e.Range(), fmt.Sprintf("%q must be a whole number", name), hint)
		return 0, false
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != 0 || n < int64(least) || n > int64(most) {
		r.fail(e.Range(), fmt.Sprintf("%q is out of range", name), hint)
		return 0, false
	}
	return int(n), true
}

// boolean reads true or false.
func (r *reader) boolean(dst *bool) setter {
	return func(a *hclsyntax.Attribute) {
		if v, ok := r.value(a.Expr, cty.Bool, a.Name, "true or false", "Write it without quotes."); ok {
			*dst = v.True()
		}
	}
}

// duration reads a duration with its unit.
func (r *reader) duration(dst *time.Duration, least, most time.Duration) setter {
	return func(a *hclsyntax.Attribute) {
		hint := `Durations are strings with a unit: "250ms", "1s", "5m".`
		s, ok := r.text(a.Name, a.Expr, hint)
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is not a duration", a.Name), hint)
		case d < least || d > most:
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is out of range", a.Name),
				fmt.Sprintf("It must be from %s to %s.", durationText(least), durationText(most)))
		default:
			*dst = d
		}
	}
}

// durationText writes a duration as it would be configured: "1h", not "1h0m0s".
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// size reads a number of bytes with its unit. least and most are in bytes.
func size[T int | int64](r *reader, dst *T, least, most T) setter {
	return func(a *hclsyntax.Attribute) {
		hint := `Sizes are strings with a unit: "100B", "64KiB" (1024 bytes each), "512KB" (1000), "1MiB", "1GiB".`
		s, ok := r.text(a.Name, a.Expr, hint)
		if !ok {
			return
		}
		n, ok := parseSize(s)
		switch {
		case !ok:
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is not a size", a.Name), hint)
		case n < int64(least) || n > int64(most):
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is out of range", a.Name),
				fmt.Sprintf("It must be from %s to %s.", sizeText(int64(least)), sizeText(int64(most))))
		default:
			*dst = T(n)
		}
	}
}

// units are in the order in which they must be tried: all of them end in B.
var units = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

// parseSize reads "64KiB". It is not ok without a unit, or past 2^53 bytes.
func parseSize(s string) (int64, bool) {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if err != nil || n > 1<<53/uint64(unit.bytes) {
			return 0, false
		}
		return int64(n) * unit.bytes, true
	}
	return 0, false
}

// sizeText writes a size as it would be configured.
func sizeText(n int64) string {
	for _, unit := range []int{2, 1, 0} {
		if u := units[unit]; n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// choice is one word that an attribute may be set to.
type choice[T any] struct {
	word  string
	value T
}

// word reads one of the choices. later are words of the design that this version does not have.
func word[T any](r *reader, dst *T, choices []choice[T], later ...string) setter {
	return func(a *hclsyntax.Attribute) {
		names := make([]string, len(choices))
		for i, c := range choices {
			names[i] = c.word
		}
		hint := fmt.Sprintf("Write one of: %s.", quoted(names))
		s, ok := r.text(a.Name, a.Expr, hint)
		if !ok {
			return
		}
		for _, c := range choices {
			if c.word == s {
				*dst = c.value
				return
			}
		}
		for _, name := range later {
			if name == s {
				r.fail(a.Expr.Range(), fmt.Sprintf("%s = %q is not available in this version yet", a.Name, s), hint)
				return
			}
		}
		if near := nearest(s, names); near != "" {
			hint = fmt.Sprintf("Did you mean %q?", near)
		}
		r.fail(a.Expr.Range(), fmt.Sprintf("%q cannot be %q", a.Name, s), hint)
	}
}

// words are choices whose values are the words themselves.
func words(names ...string) []choice[string] {
	choices := make([]choice[string], len(names))
	for i, name := range names {
		choices[i] = choice[string]{name, name}
	}
	return choices
}

func quoted(names []string) string {
	return `"` + strings.Join(names, `", "`) + `"`
}
