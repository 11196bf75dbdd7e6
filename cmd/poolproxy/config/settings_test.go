package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy"
)

var writePage = flag.Bool("write", false, "write docs/configuration.md anew")

// settingsIn asks the reader which names may stand in a block, by giving it one that may not.
func settingsIn(t *testing.T, block Setting) []string {
	t.Helper()
	_, hint := Setting{Path: strings.TrimPrefix(block.Path+".qqqqqqqqqqqqqq", ".")}.complaint("1")
	if strings.HasSuffix(hint, "has no settings: leave it out.") {
		return nil
	}
	_, names, ok := strings.Cut(hint, " has: ")
	if !ok {
		t.Fatalf("%s does not tell what may stand in it: %s", block.Path, hint)
	}
	return strings.Split(strings.TrimSuffix(names, "."), ", ")
}

// The example has every name that the reader knows, in every block, and no other one; each is described.
func TestExampleHasEverySetting(t *testing.T) {
	all := Settings()
	blocks := []Setting{{Block: true}}
	for _, s := range all {
		if s.Text == "" {
			t.Errorf("%s is not described in config.hcl.example", s.Path)
		}
		if s.Block && !strings.HasPrefix(s.Path, "pool_element.protocol.") { // as in pool_user
			blocks = append(blocks, s)
		}
	}
	for _, b := range blocks {
		var shown []string
		for _, s := range all {
			in := s.In()
			if s.Block && (strings.HasSuffix(in, "protocol") || in == "source") { // their kinds are parts of the path
				s.Path, in = in, Setting{Path: in}.In()
			}
			if in == b.Path && !slices.Contains(shown, s.Name()) {
				shown = append(shown, s.Name())
			}
		}
		slices.Sort(shown)
		if has := settingsIn(t, b); !slices.Equal(has, shown) {
			t.Errorf("%q: the reader has %v, config.hcl.example %v", b.Path, has, shown)
		}
	}
}

// What the example shows as a setting is the default: without it the configuration is the same.
func TestExampleShowsDefaults(t *testing.T) {
	whole := loadText(t, poolproxy.Example)
	if whole.Failed() {
		t.Fatal(whole.Diagnostics)
	}
	checked := 0
	for _, s := range Settings() {
		if !s.Default() {
			continue
		}
		without := ""
		for line := range strings.Lines(poolproxy.Example) {
			if a := exampleAttribute.FindStringSubmatch(strings.TrimSpace(line)); a != nil && s.Shown == a[1]+" = "+strings.TrimSpace(before(a[2], " # ")) {
				line = "\n" // wherever it stands, so that what is said twice is left out twice
			}
			without += line
		}
		l := loadText(t, without)
		if strings.HasPrefix(s.Path, "pool_user.protocol.") && !l.Failed() { // that of a protocol cannot be compared
			continue
		}
		if l.Failed() || !reflect.DeepEqual(l.Config, whole.Config) {
			t.Errorf("%s is not the default: %v", s.Shown, l.Diagnostics)
		}
		checked++
	}
	if checked < 20 {
		t.Errorf("only %d defaults were checked", checked)
	}
}

// docs/configuration.md is made from the example.
func TestPageOfConfiguration(t *testing.T) {
	name := filepath.Join("..", "..", "..", "docs", "configuration.md")
	if *writePage {
		if err := os.WriteFile(name, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Page() {
		t.Error("docs/configuration.md is not what config.hcl.example says: run make docs")
	}
}

func TestExplain(t *testing.T) {
	for name, want := range map[string][]string{
		"pool_user.failover.replay": {`replay = "unacked"`, "sent again to a new server", `one of: "none", "unacked", "session"`, "the default"},
		"heartbeat.interval":        {"pool_user.heartbeat.interval", "pool_element.heartbeat.interval", "a duration from 10ms to 1h"},
		"pool_user.failover":        {"In it:", "reply_timeout", "callback { ... }"},
		"protocol.line.sync":        {"leave nothing behind", `replay = "session"; none by default`},
		"source.etcd.lease":         {"longer than twice timeout"},
	} {
		text, ok := Explain(name)
		for _, w := range want {
			if !ok || !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(w), " ")) {
				t.Errorf("%s: no %q in\n%s", name, w, text)
			}
		}
		for line := range strings.Lines(text) {
			if len(line) > 80 && !strings.HasPrefix(line, "    ") {
				t.Errorf("%s: a long line: %s", name, line)
			}
		}
	}
	if text, ok := Explain("pool_user.failover.repaly"); ok || !strings.Contains(text, `did you mean "pool_user.failover.replay"?`) {
		t.Error(text)
	}
}

// Whose authorities and names are meant is another thing in each block of TLS: none has the words of another one.
func TestTextsOfTLS(t *testing.T) {
	said := map[string]string{}
	for _, s := range Settings() {
		name := s.Name()
		if block := (Setting{Path: s.In()}); block.Name() != "tls" || name != "ca" && name != "cert" {
			continue
		}
		if name == "cert" && s.In() != "admin.tls" && s.In() != "source.etcd.tls" {
			continue // ours, in several
		}
		if other := said[s.Text]; other != "" {
			t.Errorf("%s and %s: %q", other, s.Path, s.Text)
		}
		said[s.Text] = s.Path
	}
	if len(said) < 6 {
		t.Errorf("only %d texts", len(said))
	}
}
