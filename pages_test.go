package poolproxy_test

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the page tells of the log is what the code says: each text in the first column of its last table is, as it stands, in a string of
// the program.
func TestTroubleshootingPageSaysWhatTheLogSays(t *testing.T) {
	text, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## What the log says\n")
	tr, count := plant(t), 0
	for _, line := range strings.Split(table, "\n") {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		for _, m := range span.FindAllStringSubmatch(cells(line)[0], -1) {
			count++
			if !tr.anywhere(m[1]) {
				t.Errorf("no string of the code has %q", m[1])
			}
		}
	}
	if count < 30 {
		t.Errorf("%d lines of the log: is this still the table?", count)
	}
	if tr.anywhere("the moon has failed") {
		t.Error("what nobody says was found")
	}
}

// anywhere reports whether a string of the Go code, but for tests, has the text in it.
func (tr tree) anywhere(text string) bool {
	for dir := range tr.literals {
		if tr.says(dir, text) {
			return true
		}
	}
	return false
}

// Every link of a page leads to something that is there, and to a heading that is.
func TestPagesLinks(t *testing.T) {
	count := 0
	for _, pattern := range []string{"README.md", "docs/*.md", "examples/*/*.md", "deploy/*/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil || len(pages) == 0 {
			t.Fatalf("%s: %d pages, %v", pattern, len(pages), err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(string(text), ""), -1) {
				count++
				if wrong := leads(page, string(text), m[1]); wrong != "" {
					t.Errorf("%s: %s: %s", page, m[1], wrong)
				}
			}
		}
	}
	if count < 200 {
		t.Errorf("%d links were found: they are more", count)
	}
	if leads("README.md", "", "docs/nothing.md") == "" || leads("README.md", "", "docs/README.md#nothing") == "" {
		t.Error("a link to nothing was taken for right")
	}
}

// leads says what is wrong with a link of a page; nothing with one to somebody else's.
func leads(page, text, to string) string {
	file, anchor, _ := strings.Cut(to, "#")
	if strings.Contains(file, ":") {
		return ""
	}
	if file != "" {
		file = path.Join(path.Dir(page), file)
		if _, err := os.Stat(file); err != nil {
			return "there is no such file"
		}
		if anchor == "" {
			return ""
		}
		read, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		text = string(read)
	}
	if !slices.Contains(anchors(text), anchor) {
		return "there is no such heading"
	}
	return ""
}
