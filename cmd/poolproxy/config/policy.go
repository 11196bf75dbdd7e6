package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/pool"
)

// policyValues are the settings of a pool's element that a policy may read, with an example of those that have no default: a policy
// that reads them cannot do without.
var policyValues = []struct{ name, example string }{
	{"priority", ""}, {"weight", ""}, {"load", `"50%"`}, {"degradation", `"1%"`},
}

// checkPolicy checks that the elements of a pool say what its policy needs, and nothing that it does not read.
func (r *reader) checkPolicy(p *poolBlock) {
	idle := len(p.elements) > 0 && slices.Contains(p.Policy.Needs(), "weight")
	for _, e := range p.elements {
		for _, value := range policyValues {
			at, set := e.seen[value.name]
			switch needed := slices.Contains(p.Policy.Needs(), value.name); {
			case set && !p.Policy.Reads(value.name):
				r.fail(at, fmt.Sprintf("%q has no effect under policy %v", value.name, p.Policy),
					fmt.Sprintf("Leave it out, or write %s in the pool.", readers(value.name)))
			case !set && needed && value.example != "":
				r.fail(e.at, fmt.Sprintf("Element %q has no %s: policy %v needs it", e.Name, value.name, p.Policy),
					fmt.Sprintf("Write %s = %s in it, from 0%% to 100%%, or give the pool a policy without.", value.name, value.example))
			}
		}
		idle = idle && e.Weight == 0
	}
	if idle {
		r.fail(p.at, fmt.Sprintf("All elements of pool %q have weight 0", p.Handle), "That is: no service. Give at least one of them a weight.")
	}
}

// readers are the policies that read a value, as they are written.
func readers(value string) string {
	var all []string
	for _, p := range pool.Standard() {
		if p.Reads(value) {
			all = append(all, fmt.Sprintf("policy = %q", p.String()))
		}
	}
	return strings.Join(all, " or ")
}

// percent is a share of 100 %, with at most 6 decimals.
var percent = regexp.MustCompile(`^([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%$`)

// share reads a share as RFC 5356 §3.1 has it on the wire: 0xffffffff is 100 %.
func (r *reader) share(dst *uint32) setter {
	return func(a *hclsyntax.Attribute) {
		hint := `Shares are strings with a percent sign: "0%", "12.5%", "100%".`
		s, ok := r.text(a.Name, a.Expr, hint)
		if !ok {
			return
		}
		m := percent.FindStringSubmatch(s)
		if m == nil {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is not a share", a.Name), hint)
			return
		}
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil || f > 100 {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is out of range", a.Name), "It must be from 0% to 100%.")
			return
		}
		*dst = uint32(math.Round(f / 100 * math.MaxUint32))
	}
}
