package session

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// replayPage is docs/replay.md.
func replayPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every trap has its row in docs/replay.md, which names its test; and every test that the page names is there.
func TestTrapsAreTold(t *testing.T) {
	text := replayPage(t)
	for _, x := range traps {
		row := regexp.MustCompile(`(?m)^\| `+x.name+` \|.*$`).FindAllString(text, -1)
		if len(row) != 1 || !strings.Contains(row[0], "`TestTraps/"+x.name+"`") {
			t.Errorf("%s has %d rows in docs/replay.md; none, or it does not name its test", x.name, len(row))
		}
	}
	there := testNames(t)
	for _, m := range regexp.MustCompile("`(Test[A-Za-z]+)[^`]*`").FindAllStringSubmatch(text, -1) {
		if !there[m[1]] {
			t.Errorf("docs/replay.md names %s, which is nowhere", m[1])
		}
	}
}

// testNames are all tests of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	is := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range is.FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every reason for which a session is not protected stands in docs/replay.md, with … in place of what differs.
func TestReasonsAreTold(t *testing.T) {
	text := replayPage(t)
	n := 0
	for _, file := range []string{"plan.go", "lost.go", "states.go", "protection.go", "../protocol/states.go"} {
		for _, reason := range reasons(t, file) {
			n++
			if told := verbs.ReplaceAllString(reason, "…"); !strings.Contains(text, strings.TrimSuffix(told, ": ")) {
				t.Errorf("%s: docs/replay.md does not tell %q", file, told)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d reasons were found in the code", n)
	}
}

var verbs = regexp.MustCompile(`%[a-z]`)

// reasons are the sentences in the code of a file: its strings with several words, but for those that go to the log, and for what is
// said of a configuration.
func reasons(t *testing.T, file string) (out []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return !strings.HasPrefix(n.Name.Name, "check") && n.Name.Name != "oneReply"
		case *ast.ValueSpec:
			return !strings.HasPrefix(n.Names[0].Name, "Err")
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			return !ok || f.Sel.Name != "log"
		case *ast.ImportSpec, *ast.Field:
			return false
		case ast.Expr:
			s, ok := literal(n)
			if ok && strings.Count(s, " ") > 3 {
				out = append(out, s)
			}
			return !ok
		}
		return true
	})
	return out
}

// literal is the value of a string, or of a sum of strings.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, ok := literal(e.X)
		b, also := literal(e.Y)
		return a + b, ok && also
	}
	return "", false
}
