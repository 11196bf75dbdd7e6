package config

import (
	"math"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/proxy"
)

// rehearsed is a pool with an element for rehearsals, and a pool_user.
func rehearsed(poolLines, protocol, userLines string) string {
	return `pool "p" {
  element "a" { address = "10.0.0.1:1" }
  ` + poolLines + `
}
pool_user "u" {
  listen = "127.0.0.1:5000"
  pool   = "p"
  ` + protocol + `
  ` + userLines + `
}
`
}

const (
	rehearsalElement = "element \"r\" {\naddress = \"10.0.0.9:1\"\nrehearsal = true\n}"
	linesOfTests     = `protocol "line" { safe = ["^GET"] }`
)

// An element for rehearsals is none of those that get sessions; what is recorded has defaults.
func TestRehearsal(t *testing.T) {
	l := loadText(t, rehearsed(rehearsalElement, linesOfTests, "rehearsal {}"))
	if len(l.Diagnostics) > 0 {
		t.Fatal(l.Diagnostics)
	}
	p, u := l.Config.Pools[0], l.Config.Users[0]
	if len(p.Elements) != 1 || p.Elements[0].Name != "a" || len(p.Rehearsals) != 1 || p.Rehearsals[0].Name != "r" || p.Rehearsals[0].Address.String() != "10.0.0.9:1" {
		t.Errorf("elements %v, for rehearsals %v", p.Elements, p.Rehearsals)
	}
	if want := (proxy.Rehearsal{Memory: 1 << 20, Sample: math.MaxUint32 / 100}); u.Rehearsal == nil || *u.Rehearsal != want {
		t.Errorf("%+v, not %+v", u.Rehearsal, want)
	}
	l = loadText(t, rehearsed(rehearsalElement, linesOfTests, "rehearsal {\nmemory = \"64KiB\"\nsample = \"100%\"\n}"))
	if want := (proxy.Rehearsal{Memory: 64 << 10, Sample: math.MaxUint32}); l.Failed() || *l.Config.Users[0].Rehearsal != want {
		t.Errorf("%v, %+v, not %+v", l.Diagnostics, l.Config.Users[0].Rehearsal, want)
	}
	if l := loadText(t, rehearsed("", linesOfTests, "")); l.Failed() || l.Config.Users[0].Rehearsal != nil || l.Config.Pools[0].Rehearsals != nil {
		t.Error("there is a rehearsal where none was asked for")
	}
}

// An element for rehearsals may stand beside a source, which cannot say of an element that it is one.
func TestRehearsalBesideSource(t *testing.T) {
	l := loadText(t, "source \"dns\" \"d\" {\nname = \"x.example.org\"\nport = 7001\n}\n"+strings.Replace(rehearsed(rehearsalElement, linesOfTests, "rehearsal {}"),
		`element "a" { address = "10.0.0.1:1" }`, `source = "dns.d"`, 1))
	if l.Failed() || len(l.Config.Pools[0].Rehearsals) != 1 || l.Config.Pools[0].Source == nil {
		t.Errorf("%v %+v", l.Diagnostics, l.Config.Pools)
	}
}

func TestRehearsalMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"no element":         {rehearsed("", linesOfTests, "rehearsal {}"), "has no element for rehearsals"},
		"nobody records":     {rehearsed(rehearsalElement, linesOfTests, ""), "Nothing is rehearsed"},
		"two elements":       {rehearsed(rehearsalElement+"\nelement \"q\" {\naddress = \"10.0.0.8:1\"\nrehearsal = true\n}", linesOfTests, "rehearsal {}"), "several elements"},
		"same name":          {rehearsed(strings.Replace(rehearsalElement, `"r"`, `"a"`, 1), linesOfTests, "rehearsal {}"), `two elements "a"`},
		"same address":       {rehearsed(strings.Replace(rehearsalElement, "0.9:1", "0.1:1", 1), linesOfTests, "rehearsal {}"), "have the address"},
		"a value of policy":  {rehearsed(strings.Replace(rehearsalElement, "rehearsal", "priority = 3\nrehearsal", 1), linesOfTests, "rehearsal {}"), `"priority" has no effect`},
		"stream":             {rehearsed(rehearsalElement, `protocol "stream" {}`, "rehearsal {}"), `needs replay = "session"`},
		"lines that stream":  {rehearsed(rehearsalElement, `protocol "line" { reply = "stream" }`, "rehearsal {}"), "impossible with this protocol line"},
		"too small":          {rehearsed(rehearsalElement, linesOfTests, `rehearsal { memory = "1KiB" }`), "from 64KiB to 64MiB"},
		"no share":           {rehearsed(rehearsalElement, linesOfTests, `rehearsal { sample = 1 }`), "percent"},
		"more than there is": {rehearsed(rehearsalElement, linesOfTests, `rehearsal { memory = "64MiB" }`) + `limits { memory = "64MiB" }`, "The record of one session may take 64MiB"},
		"all are rehearsals": {strings.Replace(rehearsed(rehearsalElement, linesOfTests, "rehearsal {}"), `element "a" { address = "10.0.0.1:1" }`, "", 1), "has no elements"},
	} {
		l := loadText(t, c.text)
		found := false
		for _, d := range l.Diagnostics {
			found = found || strings.Contains(d.Summary+" "+d.Detail, c.want)
		}
		if !found || len(l.Diagnostics) > 2 {
			t.Errorf("%s: %v, it should say %q", name, l.Diagnostics, c.want)
		}
	}
	if l := loadText(t, rehearsed(rehearsalElement, `protocol "stream" {}`, "failover { replay = \"session\" }\nrehearsal {}")); l.Failed() {
		t.Error(l.Diagnostics)
	}
}
