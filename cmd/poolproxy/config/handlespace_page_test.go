package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What docs/handlespace.md shows as a block of its own loads as it stands there, so that it can be copied.
func TestHandlespacePage(t *testing.T) {
	name := filepath.Join("..", "..", "..", "docs", "handlespace.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
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
		if l.Failed() {
			t.Errorf("%s:%d: %v", s.page, s.line, l.Diagnostics)
		}
	}
	if whole < 6 {
		t.Errorf("%d blocks were found: they are more", whole)
	}
}
