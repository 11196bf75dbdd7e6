package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commentOut matches a line of a protocol that the example shows in comments, without its "# ".
var commentOut = regexp.MustCompile(`(?m)^# ?(.*)$`)

// exampleProtocols are the protocol blocks of the example that are commented out, by name.
func exampleProtocols(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config.hcl.example"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, part := range strings.Split(string(text), "\n# protocol ")[1:] {
		block := "protocol " + commentOut.ReplaceAllString(part, "$1")
		if firstLine, _, _ := strings.Cut(block, "\n"); strings.Contains(firstLine, "{}") {
			block = firstLine
		} else {
			block = block[:strings.Index(block, "\n}")+2]
		}
		blocks[strings.Split(block, `"`)[1]] = block
	}
	return blocks
}

// What the example has in comments must load like the rest, and every setting of a protocol must stand in it.
func TestExampleOfProtocols(t *testing.T) {
	names := regexp.MustCompile(`(?m)^ *(\w+)(?: +"\w+")? +[={]`)
	for name, block := range exampleProtocols(t) {
		// In lines, until goes with one kind of reply only, which the example says.
		l := loadText(t, user(strings.Replace(block, `reply     = "one"`, `reply = "until"`, 1), ""))
		for _, d := range l.Diagnostics {
			if !strings.HasPrefix(d.Summary, `"sync" has no effect`) { // which the example says, too
				t.Errorf("protocol %s: %v\n%s", name, d, block)
			}
		}
		if name == "stream" {
			continue
		}
		var shown []string
		for _, m := range names.FindAllStringSubmatch(block, -1) {
			shown = append(shown, m[1])
		}
		_, has, ok := strings.Cut(loadText(t, user("protocol \""+name+"\" {\nqqqqqqqqqq = 1\n}", "")).Diagnostics[0].Detail, "has: ")
		if !ok {
			t.Fatalf("protocol %s does not tell its settings", name)
		}
		for _, setting := range strings.Split(strings.TrimSuffix(has, "."), ", ") {
			if !slices.Contains(shown, setting) {
				t.Errorf("protocol %s: the example has no %q", name, setting)
			}
		}
	}
	if got := len(exampleProtocols(t)); got < 3 {
		t.Errorf("%d protocols in comments, at least stream, line and length are", got)
	}
}
