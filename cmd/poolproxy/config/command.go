package config

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// mostArgument bounds an argument of a program, in bytes.
const mostArgument = 4096

// command reads a program and its arguments: a list of strings, of which the first is the path of a program that can be executed
// here. It is found out now, because it is needed when something else has failed already.
func (r *reader) command(dst *[]string) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write a list: %s = ["/path/to/program", "argument"]. There is no shell.`, a.Name)
		items, ok := r.entries(a, hint)
		if !ok {
			return
		}
		if len(items) == 0 {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q names no program", a.Name), hint)
			return
		}
		words := make([]string, len(items))
		for i, item := range items {
			switch words[i], ok = r.text(a.Name, item, hint); {
			case !ok:
				return
			case len(words[i]) > mostArgument || strings.ContainsRune(words[i], 0):
				r.fail(item.Range(), fmt.Sprintf("An argument of %q cannot be given to a program", a.Name),
					fmt.Sprintf("It may have %d bytes, and no zero byte.", mostArgument))
				return
			}
		}
		if r.executable(words[0], items[0].Range(), hint) {
			*dst = words
		}
	}
}

// executable reports whether the path is that of a program that this process may execute.
func (r *reader) executable(path string, at hcl.Range, hint string) bool {
	if !filepath.IsAbs(path) {
		r.fail(at, fmt.Sprintf("%q is not the full path of a program", path), hint)
		return false
	}
	if _, err := exec.LookPath(path); err != nil {
		r.fail(at, fmt.Sprintf("%s cannot be executed", path), fmt.Sprintf("Check the path and its permissions. (%v)", err))
		return false
	}
	return true
}

// given reports whether a name stood in a block.
func given(seen map[string]hcl.Range, name string) bool {
	_, ok := seen[name]
	return ok
}
