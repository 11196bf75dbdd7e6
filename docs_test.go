package poolproxy_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The conformance page says of every statement where it is in the code and which test holds it. These tests keep that true: what the
// page names has to be there.

const conformancePage = "docs/rserpool.md"

var (
	named    = regexp.MustCompile("`([^`]+)`|\\b(?:Test|Fuzz|Benchmark)[A-Z]\\w*")
	span     = regexp.MustCompile("`([^`]+)`")
	filePath = regexp.MustCompile(`^[\w.*-]+(/[\w.*-]+)*/?$`)
	name     = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$`)
	testName = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	setting  = regexp.MustCompile(`(?m)^[ \t#]*([a-z][a-z_0-9]*)(?: +"[^"]*")? *[={]|"([a-z][a-z_0-9]*)"`)
)

// extensions are those of paths that have no slash.
var extensions = []string{".go", ".md", ".hcl", ".example", ".mod"}

// tree is what can be named: of each Go file its declarations, and all else that is there.
type tree struct {
	declared map[string]map[string]bool // by file; methods and fields as "T.m" and as ".m"
	literals map[string][]string        // by folder: its strings
	settings map[string]bool            // words of config.hcl.example
}

// plant reads the repository.
func plant(t *testing.T) tree {
	t.Helper()
	tr := tree{map[string]map[string]bool{}, map[string][]string{}, map[string]bool{}}
	for _, s := range sources(t) {
		names := map[string]bool{}
		for _, d := range s.file.Decls {
			declare(names, d)
		}
		tr.declared[s.path] = names
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && !s.test {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					tr.literals[s.dir] = append(tr.literals[s.dir], text)
				}
			}
			return true
		})
	}
	example, err := os.ReadFile("config.hcl.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range setting.FindAllStringSubmatch(string(example), -1) {
		tr.settings[m[1]+m[2]] = true
	}
	return tr
}

// declare adds what a declaration at the top of a file declares.
func declare(names map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names[d.Name.Name] = true
			return
		}
		names["."+d.Name.Name] = true
		names[receiver(d.Recv.List[0].Type)+"."+d.Name.Name] = true
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					names[id.Name] = true
				}
			case *ast.TypeSpec:
				names[spec.Name.Name] = true
				members(names, spec)
			}
		}
	}
}

// members adds the fields of a struct and the methods of an interface.
func members(names map[string]bool, spec *ast.TypeSpec) {
	var list *ast.FieldList
	switch x := spec.Type.(type) {
	case *ast.StructType:
		list = x.Fields
	case *ast.InterfaceType:
		list = x.Methods
	default:
		return
	}
	for _, f := range list.List {
		for _, id := range f.Names {
			names["."+id.Name] = true
			names[spec.Name.Name+"."+id.Name] = true
		}
	}
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// files are the Go files that a path stands for: a file, a folder, or a pattern.
func (tr tree) files(p string) (all []string) {
	p = strings.TrimSuffix(p, "/")
	for f := range tr.declared {
		matches, err := path.Match(p, f)
		if err == nil && matches || path.Dir(f) == p {
			all = append(all, f)
		}
	}
	return all
}

// exists reports whether there is anything at the path.
func (tr tree) exists(p string) bool {
	if strings.Contains(p, "*") {
		return len(tr.files(p)) > 0
	}
	_, err := os.Stat(p)
	return err == nil
}

// declares reports whether something is declared in one of the files; if there are none, anywhere.
func (tr tree) declares(files []string, what string) bool {
	for f, names := range tr.declared {
		if (names[what] || names["."+what]) && (files == nil || slices.Contains(files, f)) {
			return true
		}
	}
	return false
}

// packaged reports whether "package.Name" is declared in a package of that name.
func (tr tree) packaged(what string) bool {
	first, rest, ok := strings.Cut(what, ".")
	if !ok {
		return false
	}
	for f, names := range tr.declared {
		if path.Base(path.Dir(f)) == first && names[rest] {
			return true
		}
	}
	return false
}

// says reports whether a string of the Go code in a folder has the text in it.
func (tr tree) says(dir, text string) bool {
	return slices.ContainsFunc(tr.literals[dir], func(s string) bool { return strings.Contains(s, text) })
}

// wrong finds what is not there among what a cell of a table, or a line of text, names. What comes behind a path is looked for there, until
// the next path; what has no path before it, anywhere. A file without its folder is one of the folder of the path before it.
func (tr tree) wrong(cell string) (all []string) {
	var at string
	for _, m := range named.FindAllStringSubmatch(cell, -1) {
		s, files := m[1], tr.files(at)
		switch {
		case s == "":
			all = append(all, tr.wrongTest(at, m[0])...)
		case testName.FindString(s) == s:
			all = append(all, tr.wrongTest(at, s)...)
		case strings.HasPrefix(s, "/"):
			if !tr.says("admin", s) {
				all = append(all, "no route of the admin API: "+s)
			}
		case strings.HasPrefix(s, "poolproxy "):
			if command := strings.Fields(s)[1]; !tr.says("cmd/poolproxy", command) {
				all = append(all, "no command: "+s)
			}
		case tr.isPath(s):
			if at = tr.resolve(at, s); !tr.exists(at) {
				all = append(all, "no such path: "+at)
			}
		case name.MatchString(s):
			if !tr.declares(files, s) && !tr.packaged(s) && !tr.settings[s] {
				all = append(all, fmt.Sprintf("not declared in %q: %s", at, s))
			}
		}
	}
	return all
}

// wrongTest checks a test, which is in the folder or the file of tests that was named before it, if one was.
func (tr tree) wrongTest(at, test string) []string {
	var files []string
	for f := range tr.declared {
		if strings.HasSuffix(f, "_test.go") && (strings.HasPrefix(f, at) || strings.HasSuffix(at, ".go") && !strings.HasSuffix(at, "_test.go")) {
			files = append(files, f)
		}
	}
	if len(files) == 0 || !tr.declares(files, test) {
		return []string{fmt.Sprintf("no such test in %q: %s", at, test)}
	}
	return nil
}

// isPath tells paths from names.
func (tr tree) isPath(s string) bool {
	return filePath.MatchString(s) && (strings.Contains(s, "/") || slices.Contains(extensions, path.Ext(s)) || tr.files(s) != nil)
}

// resolve finds the folder of a file that is named without one.
func (tr tree) resolve(before, s string) string {
	if dir := path.Dir(before); before != "" && path.Ext(s) == ".go" && !strings.Contains(s, "/") {
		if tr.declared[before] == nil && !strings.Contains(before, "*") {
			dir = strings.TrimSuffix(before, "/")
		}
		return path.Join(dir, s)
	}
	return s
}

// cells takes a line of a page apart: the cells of a table's row, else the line itself. A bar within a code span separates nothing.
func cells(line string) []string {
	if !strings.HasPrefix(line, "|") {
		return []string{line}
	}
	masked := span.ReplaceAllStringFunc(line, func(s string) string { return strings.ReplaceAll(s, "|", "\x00") })
	parts := strings.Split(strings.Trim(masked, "|"), "|")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], "\x00", "|")
	}
	return parts
}

// anchors are those that GitHub gives to the headings of a page.
func anchors(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		kept := strings.Map(func(r rune) rune {
			switch {
			case r == ' ' || r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		all = append(all, strings.ReplaceAll(kept, " ", "-"))
	}
	return all
}

func TestConformancePageNamesWhatIsThere(t *testing.T) {
	text, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	tr, count := plant(t), 0
	for i, line := range strings.Split(string(text), "\n") {
		for _, cell := range cells(line) {
			for _, w := range tr.wrong(cell) {
				t.Errorf("%s:%d: %s", conformancePage, i+1, w)
			}
		}
		count += len(named.FindAllString(line, -1))
	}
	if count < 300 {
		t.Errorf("the page has %d names: is it still the table?", count)
	}
}

// verdict is how a row of the conformance tables says that it stands.
var verdict = regexp.MustCompile(`^(yes|partly|no|other|told|registrar's|see)\b`)

// A row has as many cells as its table, and one of the conformance tables says how it stands; if something is done, also where, and which
// test holds it: none is a word for that, too.
func TestConformancePageTables(t *testing.T) {
	text, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	const header = "| § | statement | here | where | test |"
	var table string
	rows := 0
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case !strings.HasPrefix(line, "|"):
			table = ""
			continue
		case table == "":
			table = line
			continue
		case strings.HasPrefix(line, "| ---"):
			continue
		case len(cells(line)) != len(cells(table)):
			t.Errorf("%s:%d: %d cells, and its table has %d", conformancePage, i+1, len(cells(line)), len(cells(table)))
			continue
		case table != header:
			continue
		}
		rows++
		c := cells(line)
		how := verdict.FindString(strings.TrimSpace(c[2]))
		done := how == "yes" || how == "partly" || how == "other"
		if how == "" || done && (strings.TrimSpace(c[3]) == "" || strings.TrimSpace(c[4]) == "") {
			t.Errorf("%s:%d: it says neither how this stands, where and which test, nor that there is none: %s", conformancePage, i+1, line)
		}
	}
	if rows < 200 {
		t.Errorf("%d statements: is this still the table?", rows)
	}
}

func TestConformancePageLinks(t *testing.T) {
	text, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range link.FindAllStringSubmatch(string(text), -1) {
		file, anchor, _ := strings.Cut(m[1], "#")
		if strings.Contains(file, ":") {
			continue // somebody else's
		}
		to := text
		if file != "" {
			if to, err = os.ReadFile(path.Join(path.Dir(conformancePage), file)); err != nil {
				t.Errorf("%s: %v", conformancePage, err)
				continue
			}
		}
		if anchor != "" && !slices.Contains(anchors(string(to)), anchor) {
			t.Errorf("%s: %s has no heading that makes %q", conformancePage, m[1], anchor)
		}
	}
}

// What is not there is found, each kind of it; what is there is not.
func TestConformancePageMistakesAreFound(t *testing.T) {
	tr := plant(t)
	for _, right := range []string{
		"`pool/round.go` `round.took`, `pick`; `TestRoundRobin`", "`mapping/sctp*.go`", "`pool` `Pool.Resolve`", "`pool.Element`",
		"`Element.Weight`", "`mapping.Association`", "`replay`", "`ack = \"read\"`", "`poolproxy status`", "`/v1/status`", "TestVectors", "`config.hcl.example`",
		"`session/asap.go` `userLink.card`", "`asap` `FuzzParse`", "`pool/round.go` `pick`, `order.go` `Prefer`", "`pool`, `round.go`",
		"`session/cookie.go` TestCookieMovesOn",
	} {
		if w := tr.wrong(right); w != nil {
			t.Errorf("%s: %q", right, w)
		}
	}
	for _, wrong := range []string{
		"`pool/rounds.go`", "`pool/round.go` `round.tock`", "`pool/policy.go` `round.took`", "`TestRoundRobbing`", "TestNobodyWroteThis", "`mapping/udp*.go`",
		"`pool.Elements`", "`Element.Wait`", "`nosuchsetting`", "`poolproxy prepare`", "`/v1/nothing`", "`pool/round.go` `TestRoundRobbin`",
		"`FuzzNothing`", "`pool` TestCookieMovesOn", "`pool/pool_test.go` `TestSorted`", "`pool/round.go` `due`, `nothing.go`",
	} {
		if tr.wrong(wrong) == nil {
			t.Errorf("%s was taken for right", wrong)
		}
	}
	if got := cells("| a `x | y` | b |"); len(got) != 2 || got[0] != " a `x | y` " {
		t.Errorf("cells: %q", got)
	}
}
