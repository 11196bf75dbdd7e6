// Package poolproxy_test holds the rules of the house as tests: who may import whom, and how long things may be.
// Each rule stands in design.md §5 or docs/architecture.md with its reason.
package poolproxy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/poolproxy/poolproxy/"

// Limits of length, in lines. Tests may be longer than what they test.
const (
	maxFile     = 450
	maxFunction = 70
)

// floors says on which floor each top folder lives. A package imports only from floors below its own. Folders above all floors
// (bench, test, examples, deploy) may import what they like and are imported by nobody.
var floors = map[string]int{
	"asap": 0, "freeze": 0, "loop": 0, "whence": 0,
	"heartbeat": 1, "retrieval": 1, "mapping": 1, "protocol": 1, "pool": 1,
	"session": 2, "dns": 2, "etcd": 2, "handlespace": 2, "registrar": 2, "secure": 2, "rehearse": 2,
	"proxy": 3, "admin": 3, "upgrade": 3,
	"cmd":   4,
	"bench": 5, "test": 5, "examples": 5, "deploy": 5,
}

// neighbours are the imports within one floor that are allowed, beside those within one top folder.
var neighbours = map[string]string{
	"mapping": "heartbeat",
}

// guarded dependencies have one importer, so that replacing one is a matter of one folder.
var guarded = map[string]string{
	"github.com/ishidawataru/sctp": "mapping",
	"github.com/hashicorp/hcl":     "cmd/poolproxy",
	"github.com/miekg/dns":         "dns",
	"go.etcd.io/etcd":              "etcd",
	"github.com/coreos/go-systemd": "cmd/poolproxy",
	"go.opentelemetry.io/otel":     "proxy/traces",

	"github.com/pires/go-proxyproto": "whence",
}

// timeless folders are the core, to which time is an argument.
var timeless = []string{"freeze", "heartbeat", "retrieval", "protocol", "session", "mapping", "pool", "rehearse"}

// source is one Go file of the repository.
type source struct {
	path string // slash-separated, from the root
	dir  string
	test bool
	file *ast.File
	fset *token.FileSet
}

// top is the folder at the root that the file lives in.
func (s source) top() string {
	first, _, _ := strings.Cut(s.dir, "/")
	return first
}

// imports lists the import paths of the file.
func (s source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it, so this cannot be
		}
		paths = append(paths, path)
	}
	return paths
}

// at is a position in the file, for messages.
func (s source) at(pos token.Pos) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(pos).Line)
}

// sources reads every Go file below the root.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || name == "out" || strings.HasPrefix(name, ".") && name != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		all = append(all, source{path, filepath.ToSlash(filepath.Dir(path)), strings.HasSuffix(name, "_test.go"), file, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFloors(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir == "." {
			continue
		}
		if _, known := floors[s.top()]; !known && s.top() != "internal" {
			t.Errorf("%s: the folder %s has no floor: give it one in house_test.go and design.md §5", s.path, s.top())
			continue
		}
		for _, path := range s.imports() {
			inner, ours := strings.CutPrefix(path, module)
			if ours && !mayImport(s, inner) {
				t.Errorf("%s imports %s: imports go downwards only", s.path, inner)
			}
		}
	}
}

// mayImport reports whether a file may import a package of this module.
func mayImport(s source, inner string) bool {
	from, to := s.top(), strings.SplitN(inner, "/", 2)[0]
	switch {
	case to == "internal":
		return true
	case from == "internal":
		return false
	case strings.HasSuffix(inner, "test") && !s.test && !strings.HasSuffix(s.dir, "test") && floors[from] < 5:
		return false // test doubles are for tests
	case from == to:
		return true
	case floors[from] == floors[to]:
		return neighbours[from] == to
	}
	return floors[from] > floors[to]
}

func TestGuardedDependencies(t *testing.T) {
	for _, s := range sources(t) {
		for _, path := range s.imports() {
			for dependency, owner := range guarded {
				if within(path, dependency) && !within(s.dir, owner) {
					t.Errorf("%s imports %s: only %s does", s.path, path, owner)
				}
			}
		}
	}
}

// within reports whether path is root or lies below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

func TestPackageDocs(t *testing.T) {
	docs := map[string][]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if s.file.Doc != nil {
			docs[s.dir] = append(docs[s.dir], s.path)
		} else if _, seen := docs[s.dir]; !seen {
			docs[s.dir] = nil
		}
	}
	for dir, files := range docs {
		if len(files) != 1 {
			t.Errorf("%s: a package has one package doc, this has %d %v", dir, len(files), files)
		}
	}
}

func TestLengths(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if lines := s.fset.Position(s.file.FileEnd).Line; lines > maxFile {
			t.Errorf("%s has %d lines, more than %d: which second idea is in it?", s.path, lines, maxFile)
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
			if lines > maxFunction {
				t.Errorf("%s: %s has %d lines, more than %d", s.at(f.Pos()), f.Name.Name, lines, maxFunction)
			}
		}
	}
}

func TestTimeIsAnArgument(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasSuffix(s.dir, "test") || !slices.Contains(timeless, s.top()) {
			continue
		}
		for _, call := range calls(s, "time", "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick") {
			t.Errorf("%s: the core asks no clock: time is an argument, or loop.Now()", call)
		}
	}
}

// End-to-end tests poll with short sleeps for what other processes do, and a helper called waitFor may do so for what only the system
// knows; everywhere else time is virtual (also that of testing/synctest), or an event is waited for.
func TestNoTestSleeps(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test || s.top() == "test" || slices.Contains(s.imports(), "testing/synctest") {
			continue
		}
		for _, call := range calls(s, "time", "Sleep") {
			t.Errorf("%s: a test that sleeps hopes; wait for the event, with a deadline or in virtual time", call)
		}
	}
}

// calls finds the uses of the named functions of a package, but for those in functions called waitFor: they poll, with a deadline.
func calls(s source, pkg string, names ...string) []string {
	var found []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == "waitFor" && s.test {
			return false
		}
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := selector.X.(*ast.Ident); ok && id.Name == pkg && slices.Contains(names, selector.Sel.Name) {
			found = append(found, s.at(selector.Pos())+": "+pkg+"."+selector.Sel.Name)
		}
		return true
	})
	return found
}
