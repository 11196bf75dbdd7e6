//go:build unix

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// keyFile writes a file and returns its name.
func keyFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return name
}

func withKey(name string) string {
	return minimal + element("b", "127.0.0.1:9002", fmt.Sprintf("cookie_key_file = %q", name))
}

func TestCookieKey(t *testing.T) {
	least := strings.Repeat("k", 32)
	for _, c := range []struct{ file, key string }{
		{least, least},
		{least + "\n", least},
		{least + "\r\n", least},
		{least + "x\n\n", least + "x\n"},
		{least[1:] + "\n", least[1:] + "\n"}, // random bytes may end so
		{strings.Repeat("\x00\n\xff", 100), strings.Repeat("\x00\n\xff", 100)},
	} {
		l := loadText(t, withKey(keyFile(t, c.file, 0o640)))
		if len(l.Diagnostics) != 0 {
			t.Errorf("%q: %v", c.file, l.Diagnostics)
		} else if got := string(l.Config.Elements[1].CookieKey); got != c.key {
			t.Errorf("%q gives the key %q", c.file, got)
		}
	}
	if l := loadText(t, minimal); l.Config.Elements[0].CookieKey != nil {
		t.Error("there is a key though none was given")
	}
}

func TestCookieKeyMistakes(t *testing.T) {
	long := strings.Repeat("k", 32)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		name, file string
		has        []string
	}{
		{"short", keyFile(t, long[1:], 0o600), []string{"has 31 bytes", "at least 32"}},
		{"short but for its line end", keyFile(t, long[2:]+"\n", 0o600), []string{"has 31 bytes"}},
		{"empty", keyFile(t, "", 0o600), []string{"has 0 bytes", "/dev/urandom"}},
		{"long", keyFile(t, strings.Repeat("k", mostKey+1), 0o600), []string{"longer than 4096 bytes"}},
		{"everybody's", keyFile(t, long, 0o644), []string{"by everybody", "0644", "chmod 600"}},
		{"writable by everybody", keyFile(t, long, 0o602), []string{"by everybody", "0602"}},
		{"a folder", t.TempDir(), []string{"is not a file"}},
		{"a pipe", pipe, []string{"is not a file"}},
		{"missing", "/nowhere/key", []string{"no such file"}},
		{"relative", "key", []string{`"key" is not the full path`}},
	} {
		t.Run(m.name, func(t *testing.T) { checkMistake(t, withKey(m.file), m.has, true) })
	}
	for _, d := range loadText(t, withKey(keyFile(t, "secret", 0o600))).Diagnostics {
		if strings.Contains(d.Summary+d.Detail, "secret") {
			t.Errorf("the key is told: %v", d)
		}
	}
}

func TestBusinessCard(t *testing.T) {
	l := loadText(t, card(`pool = "web"`, `order = ["10.0.0.2:7001", "10.0.0.3:7001"]`))
	if len(l.Diagnostics) != 0 {
		t.Fatal(l.Diagnostics)
	}
	if got := l.Config.Elements[1].Card; got == nil || got.Pool != "web" || fmt.Sprint(got.Order) != "[10.0.0.2:7001 10.0.0.3:7001]" {
		t.Errorf("%+v", got)
	}
	if l.Config.Elements[0].Card != nil {
		t.Error("there is a card that nobody wrote")
	}
}
