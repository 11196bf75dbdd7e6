package terminal

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/poolproxy/poolproxy/internal/hostiletest"
)

// FuzzView: what names, causes and reasons of others say is drawn within its line, and moves no cursor, in each view.
func FuzzView(f *testing.F) {
	f.Add("\x1b[2J\x9b31m\r\n\t\u202e", uint8(60))
	f.Add(strings.Repeat("é世", 80), uint8(1))
	f.Add("\xff\xfe\x00", uint8(200))
	f.Fuzz(func(t *testing.T, text string, width uint8) {
		s, l := &state{view: sample()}, &look{}
		hostiletest.Strings(&s.view, text)
		for _, k := range "12345" {
			for _, key := range parseKeys(string(k)) {
				l.press(key, 10)
			}
			for _, x := range screen(s, l, int(width), 20, at, false) {
				if utf8.RuneCountInString(x) > int(width) || strings.ContainsFunc(x, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Fatalf("%q is drawn as %q, %d wide", text, x, width)
				}
			}
		}
	})
}
