package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/poolproxy/poolproxy/internal/hostiletest"
	"github.com/poolproxy/poolproxy/proxy"
)

// FuzzStatus: whoever answers at the admin address, and whatever peers have made a proxy say, status is shown without a panic, in a
// bounded number of lines, and moves no cursor.
func FuzzStatus(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sample, err := json.Marshal(sampleStatus(now))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample, "")
	f.Add(sample, "\x1b[2J\t\r\n\u202e")
	f.Add([]byte(`{"pools":[{"elements":[{}]}],"sessions":[{}],"failovers":[{}],"reload":{"error":"x","failed":"2026-01-02T03:04:05Z"}}`), "x")
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		var s proxy.Status
		if json.Unmarshal(raw, &s) != nil {
			return
		}
		if text != "" {
			hostiletest.Strings(&s, text)
		}
		var page bytes.Buffer
		printStatus(&page, &s, now)
		if i := strings.IndexFunc(page.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Fatalf("%q is printed", page.String()[max(0, i-60):min(i+20, page.Len())])
		}
		if text == "" {
			return
		}
		dashboard(s, proxy.Admin{})
	})
}
