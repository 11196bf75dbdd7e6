package config

import (
	"fmt"
	"slices"
	"strings"
)

// Explain writes what a setting does, for a terminal. name is a path (pool_user.failover.replay), or the end of one: all settings that it may
// mean are explained. ok is false when there is none; then text says which names are near.
func Explain(name string) (text string, ok bool) {
	all := Settings()
	var found []Setting
	for _, s := range all {
		if s.Path == name {
			found = []Setting{s}
			break
		}
		if strings.HasSuffix("."+s.Path, "."+name) {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return notFound(name, all), false
	}
	var b strings.Builder
	for i, s := range found {
		if i > 0 {
			b.WriteString("\n")
		}
		s.explain(&b, all)
	}
	return b.String(), true
}

func notFound(name string, all []Setting) string {
	var paths, names []string
	for _, s := range all {
		paths, names = append(paths, s.Path), append(names, s.Name())
	}
	near := nearest(name, paths)
	if near == "" {
		near = nearest(name[strings.LastIndexByte(name, '.')+1:], names)
	}
	if near == "" {
		return fmt.Sprintf("there is no setting %q; `poolproxy config explain` lists all", name)
	}
	return fmt.Sprintf("there is no setting %q; did you mean %q?", name, near)
}

// explain writes one setting: where it stands, what it does, what it takes; of a block what may stand in it, too.
func (s Setting) explain(b *strings.Builder, all []Setting) {
	fmt.Fprintf(b, "%s\n\n    %s\n\n%s\n", s.Path, s.Shown, wrap(sentence(s.Text), 78, "  "))
	if takes := s.Takes(); takes != "" {
		fmt.Fprintf(b, "\n%s\n", wrap("It takes "+takes+".", 78, "  "))
	}
	if s.Default() {
		b.WriteString("\n  What is shown is the default.\n")
	}
	if !s.Block {
		return
	}
	b.WriteString("\n  In it:\n")
	for _, x := range all {
		if x.In() == s.Path || s.parent(x) {
			fmt.Fprintf(b, "    %s\n", x.Shown)
		}
	}
}

// parent reports whether x stands in the block though its path has one part more: the kind of a protocol.
func (s Setting) parent(x Setting) bool {
	return x.Block && x.In() == s.Path+".protocol"
}

// Default reports whether what the example shows is what holds where the configuration says nothing: settings in the example have to be
// defaults, but for names, addresses and what the example is about.
func (s Setting) Default() bool {
	return s.Live && !s.Block && !slices.Contains(notDefaults, s.Path)
}

// notDefaults stand in the example because it would not work without them.
var notDefaults = []string{"pool.policy", "pool.element.address", "pool_user.listen", "pool_user.pool", "pool_element.listen", "pool_element.server"}

// Page is docs/configuration.md.
func Page() string {
	all := Settings()
	var b strings.Builder
	b.WriteString(pageHead)
	table(&b, "", all)
	for _, s := range all {
		if s.Block {
			fmt.Fprintf(&b, "\n## %s\n\n    %s\n\n%s\n", s.Path, s.Shown, markdown(sentence(s.Text)))
			table(&b, s.Path, all)
		}
	}
	return b.String()
}

const pageHead = `# Configuration

Every setting there is. This page is made from [config.hcl.example](../config.hcl.example), as are the answers of
` + "`poolproxy config explain pool_user.failover.replay`" + `: change the example, then run ` + "`make docs`" + `.

The language is [HCL](https://github.com/hashicorp/hcl): blocks, and settings with plain values. Durations and sizes are strings with units:
"250ms", "1s", "5m"; "100B", "64KiB" (1024 bytes each), "512KB" (1000), "1MiB", "1GiB". Host names in addresses are resolved once, when the
configuration is read. ` + "`-config`" + ` may be repeated, and may name a folder, of which all files *.hcl are read as one configuration. A name that
poolproxy does not know is an error, with its place and what was probably meant: ` + "`poolproxy validate -config FILE`" + `.
`

// table has the settings that stand in a block.
func table(b *strings.Builder, block string, all []Setting) {
	head := "\n| setting | takes | what it does |\n| --- | --- | --- |\n"
	for _, s := range all {
		if !s.Block && s.In() == block {
			b.WriteString(head)
			head = ""
			s.row(b)
		}
	}
}

func (s Setting) row(b *strings.Builder) {
	takes := s.Takes()
	if s.Default() {
		takes += "; this by default"
	}
	cell := strings.NewReplacer("|", `\|`)
	fmt.Fprintf(b, "| `%s` | %s | %s |\n", cell.Replace(s.Shown), cell.Replace(takes), cell.Replace(markdown(s.Text)))
}

// markdown keeps a text from being taken for markup, but for what stands in backticks.
func markdown(text string) string {
	escape := strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`)
	parts := strings.Split(text, "`")
	for i := range parts {
		if i%2 == 0 {
			parts[i] = escape.Replace(parts[i])
		}
	}
	return strings.Join(parts, "`")
}

// sentence makes one of a text: with a capital letter, and a full stop.
func sentence(text string) string {
	return strings.TrimSuffix(first(text), ".") + "."
}

// wrap breaks a text into lines of at most width bytes, where it has spaces.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	at := 0
	for _, word := range strings.Fields(text) {
		switch {
		case at == 0:
			b.WriteString(indent)
			at = len(indent)
		case at+1+len(word) > width:
			b.WriteString("\n" + indent)
			at = len(indent)
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}
