// Package config reads poolproxy's configuration: HCL files in, a checked proxy.Config and diagnostics out.
//
// All mistakes of all files are found in one reading. Each is a diagnostic that says where it is (file, line and column), what
// is wrong and what to do. Nothing is ignored: a name that poolproxy does not know is an error, and so is one that belongs to
// the design but cannot be had in this version.
package config

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/proxy"
)

// Loaded is what was read.
type Loaded struct {
	// Config is to be used only when Failed is false.
	Config proxy.Config
	// Diagnostics are errors and warnings, in the order of files and lines.
	Diagnostics hcl.Diagnostics

	files map[string]*hcl.File // by name, for the text snippets
}

// Load reads the files and directories. Of a directory it takes all files *.hcl, sorted by name; the blocks of all files are one
// configuration. Host names in it are resolved now, each in at most lookupTime.
func Load(paths []string) *Loaded {
	return load(paths, net.DefaultResolver.LookupNetIP)
}

// LoadAgain is Load while a proxy runs: host names are resolved only until ctx ends.
func LoadAgain(ctx context.Context, paths []string) *Loaded {
	return load(paths, lookupFunc(net.DefaultResolver.LookupNetIP).until(ctx))
}

// lookupFunc has the shape of net.Resolver.LookupNetIP.
type lookupFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

// until gives up when all ends, too.
func (lookup lookupFunc) until(all context.Context) lookupFunc {
	return func(ctx context.Context, network, host string) ([]netip.Addr, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(all, cancel)()
		return lookup(ctx, network, host)
	}
}

func load(paths []string, lookup lookupFunc) *Loaded {
	r := &reader{lookup: lookup, config: defaults()}
	files, broken := r.parse(paths)
	top := r.topLevel()
	for _, f := range files {
		r.walk(f.Body.(*hclsyntax.Body), top)
	}
	// With a part of the blocks unread, what seems to be missing may well be there.
	if !broken {
		r.checkAll()
	}
	r.finish()
	slices.SortStableFunc(r.diags, byPlace(r.order))
	return &Loaded{Config: r.config, Diagnostics: r.diags, files: r.files}
}

// Failed reports whether there are errors, not only warnings.
func (l *Loaded) Failed() bool { return l.Diagnostics.HasErrors() }

// Write writes the diagnostics for people: each with file, line and column, and the text that it is about.
func (l *Loaded) Write(w io.Writer) error {
	text := hcl.NewDiagnosticTextWriter(w, l.files, 0, false)
	for _, d := range l.Diagnostics {
		if d.Subject != nil {
			if _, err := fmt.Fprintf(w, "%s: ", Place(d)); err != nil {
				return err
			}
		}
		if err := text.WriteDiagnostic(d); err != nil {
			return err
		}
	}
	return nil
}

// Place is where a diagnostic points: "file:line:column", or "" when it is about no place in a file.
func Place(d *hcl.Diagnostic) string {
	if d.Subject == nil {
		return ""
	}
	return place(*d.Subject)
}

func place(at hcl.Range) string {
	return fmt.Sprintf("%s:%d:%d", at.Filename, at.Start.Line, at.Start.Column)
}

// byPlace orders diagnostics by file, in the order the files were read, then by line and column. Those without a place come first.
func byPlace(files []string) func(a, b *hcl.Diagnostic) int {
	key := func(d *hcl.Diagnostic) (file, at int) {
		if d.Subject == nil {
			return -1, 0
		}
		return slices.Index(files, d.Subject.Filename), d.Subject.Start.Byte
	}
	return func(a, b *hcl.Diagnostic) int {
		aFile, aAt := key(a)
		bFile, bAt := key(b)
		return cmp.Or(cmp.Compare(aFile, bFile), cmp.Compare(aAt, bAt))
	}
}
