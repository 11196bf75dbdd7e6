package config

import (
	"testing"

	"github.com/poolproxy/poolproxy/mapping"
)

// nativeElement is a configuration of a pool_element for native pool users, with what is given in it.
func nativeElement(mapping, peer, rest string) string {
	return "pool_element \"pp\" {\n" + mapping + "\n" + peer + "\nlisten = \"127.0.0.1:7001\"\nserver = \"127.0.0.1:9000\"\n" + rest + "\n}\n"
}

const (
	overSCTP   = `mapping = "sctp"`
	nativePeer = `peer = "native"`
	framing    = `protocol "length" {
  offset = 2
  width  = 2
  counts = "message"
  header = 12
}`
)

func TestNativeElement(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		ppid     uint32
		protocol string
	}{
		"length": {nativeElement(overSCTP, nativePeer, "ppid = 33\n"+framing), 33, "length"},
		"line":   {nativeElement(overSCTP, nativePeer, `protocol "line" {}`), 0, "line"},
		"stream": {nativeElement(overSCTP, nativePeer, "ppid = 4294967295\n"+`protocol "stream" {}`), 0xffffffff, "stream"},
	} {
		l := loadText(t, c.text)
		if l.Failed() {
			t.Fatalf("%s: %v", name, l.Diagnostics)
		}
		e := l.Config.Elements[0]
		if !e.Native || e.Mapping != mapping.SCTP || e.PPID != c.ppid || e.Protocol == nil || e.Protocol.Name() != c.protocol {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if e := loadText(t, nativeElement(overSCTP, `peer = "sidecar"`, "")).Config.Elements[0]; e.Native || e.Protocol != nil {
		t.Errorf("%+v", e)
	}
}

func TestNativeElementMistakes(t *testing.T) {
	for _, m := range []struct {
		name, text string
		has        []string
	}{
		{"peer", nativeElement(overSCTP, `peer = "natvie"`, framing), []string{`"peer" cannot be "natvie"`, `Did you mean "native"?`}},
		{"over TCP", nativeElement("", nativePeer, framing), []string{`peer = "native" is impossible without mapping sctp`, `mapping = "sctp"`}},
		{"no protocol", nativeElement(overSCTP, nativePeer, "ppid = 33"), []string{`peer = "native" needs a protocol`, `protocol "line" {}`}},
		{"http", nativeElement(overSCTP, nativePeer, `protocol "http" {}`), []string{`protocol "http" is impossible with native peers`, "line, length or stream", `at: "http"`}},
		{"redis", nativeElement(overSCTP, nativePeer, `protocol "redis" {}`), []string{`protocol "redis" is impossible with native peers`}},
		{"an unknown protocol", nativeElement(overSCTP, nativePeer, `protocol "lin" {}`), []string{`There is no protocol "lin"`}},
		{"a mistake in the protocol", nativeElement(overSCTP, nativePeer, `protocol "line" { delim = "x" }`), []string{`Protocol line has no "delim"`}},
		{"safe", nativeElement(overSCTP, nativePeer, `protocol "line" { safe = ["^GET"] }`), []string{`"safe" has no effect in a pool_element`}},
		{"a lost reply", nativeElement(overSCTP, nativePeer, `protocol "line" { lost = "ERR\n" }`), []string{`"lost" has no effect in a pool_element`}},
		{"ppid of ASAP", nativeElement(overSCTP, nativePeer, "ppid = 11\n"+framing), []string{"ppid = 11 is that of ASAP"}},
		{"ppid of sidecars", nativeElement(overSCTP, "", "ppid = 33"), []string{`"ppid" is impossible without native peers`, `peer = "native" in the pool_element`}},
		{"protocol of sidecars", nativeElement("", "", `protocol "line" {}`), []string{`"protocol" is impossible without native peers`}},
		{"hold", nativeElement(overSCTP, nativePeer, "hold = \"5s\"\n"+framing), []string{`"hold" is impossible with native peers`}},
		{"a card", nativeElement(overSCTP, nativePeer, "business_card {\n  pool = \"p\"\n  order = [\"127.0.0.1:7002\"]\n}\n"+framing),
			[]string{`"business_card" is impossible with native peers`}},
		{"fence", nativeElement(overSCTP, nativePeer, "fence_exec = [\"/bin/true\"]\n"+framing), []string{`"fence_exec" is impossible with native peers`}},
	} {
		t.Run(m.name, func(t *testing.T) { checkMistake(t, m.text, m.has, true) })
	}
}
