package poolproxy_test

import (
	"os"
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
