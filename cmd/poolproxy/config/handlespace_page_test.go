package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What docs/handlespace.md shows as a block of its own loads as it stands there, so that it can be copied. A block that wants what this version
// has not yet says that, and nothing else is wrong with it.
func TestHandlespacePage(t *testing.T) {
	name := filepath.Join("..", "..", "..", "docs", "handlespace.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	whole, later := 0, 0
	for _, s := range snippetsOf(name, string(text)) {
		if !strings.Contains(s.text, "\n") {
			continue // within a line
		}
		code := s.text
		if strings.HasPrefix(strings.TrimSpace(code), "dns {") {
			code += "\n" + poolBlockText(`"orders"`, `element "a" { address = "10.0.0.1:1" }`)
		}
		l := loadText(t, code)
		whole++
		for _, d := range l.Diagnostics.Errs() {
			if missing := d.Error(); strings.Contains(missing, "not available in this version") {
				later++
			} else {
				t.Errorf("%s:%d: %s", s.page, s.line, missing)
			}
		}
	}
	if whole < 5 {
		t.Errorf("%d blocks were found: they are more", whole)
	}
	t.Logf("%d blocks; %d times they want what is not available yet", whole, later)
}
