package config

import (
	"fmt"
	"path/filepath"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/proxy/traces"
)

const mostPath = 4096 // bytes

// readAccessLog reads where what remains of sessions is written.
func (r *reader) readAccessLog(b *hclsyntax.Block) {
	file := r.str(&r.config.Access.File, mostPath)
	r.block(b, &shape{
		what: "an access_log block",
		attributes: map[string]setter{"file": func(a *hclsyntax.Attribute) {
			file(a)
			if f := r.config.Access.File; f != "" && f != proxy.AccessStdout && !filepath.IsAbs(f) {
				r.fail(a.Expr.Range(), fmt.Sprintf("%q is not a whole path", a.Name),
					`Write the path from the root on, as in "/var/log/poolproxy/access.log"; or "stdout".`)
			}
		}},
		required: []string{"file"},
	})
}

// readTraces reads where failovers are told as traces.
func (r *reader) readTraces(b *hclsyntax.Block) {
	url := r.str(&r.config.Traces.OTLP, mostPath)
	r.block(b, &shape{
		what: "a traces block",
		attributes: map[string]setter{"otlp": func(a *hclsyntax.Attribute) {
			url(a)
			if r.config.Traces.OTLP == "" { // that was said
				return
			}
			if err := traces.Check(r.config.Traces.OTLP); err != nil {
				r.fail(a.Expr.Range(), fmt.Sprintf("%q is not the URL of a collector", a.Name), fmt.Sprintf(`Write: "http://127.0.0.1:4318"; %v.`, err))
			}
		}},
		required: []string{"otlp"},
	})
}
