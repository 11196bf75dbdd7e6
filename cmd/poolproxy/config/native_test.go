package config

import (
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/mapping"
)

// nativeText is a pool of native elements and its pool_user. What stands in the pool, and in the pool_user, follows what must be there.
func nativeText(pool, user string) string {
	if !strings.Contains(user, "protocol") {
		user += "\nprotocol \"line\" {}"
	}
	return `
pool "p" {
  ` + pool + `
  element "a" { address = "127.0.1.1:7001" }
}
pool_user "u" {
  listen = "127.0.0.1:5000"
  pool   = "p"
  ` + user + `
}
`
}

const nativePool = "mapping = \"sctp\"\npeer = \"native\"\n"

func TestNativePool(t *testing.T) {
	for ppid, text := range map[uint32]string{0: "", 33: "ppid = 33", 1<<32 - 1: "ppid = 4294967295"} {
		l := loadText(t, nativeText(nativePool+text, `heartbeat { interval = "500ms" }`))
		if len(l.Diagnostics) != 0 {
			t.Fatal(written(t, l, ""))
		}
		p, u := l.Config.Pools[0], l.Config.Users[0]
		if !p.Native || p.PPID != ppid || p.Mapping != mapping.SCTP {
			t.Errorf("%s: the pool is %+v", text, p)
		}
		if u.Failover.Resume != 0 || u.Failover.Fence != 0 {
			t.Errorf("nothing can be resumed: %+v", u.Failover)
		}
	}
	l := loadText(t, nativeText("mapping = \"tcp\"\npeer = \"sidecar\"", ""))
	if len(l.Diagnostics) != 0 || l.Config.Pools[0].Native {
		t.Error(written(t, l, ""))
	}
}

func TestNativePoolMistakes(t *testing.T) {
	for _, m := range []struct {
		name, text string
		has        []string
	}{
		{"peer", nativeText(`peer = "natvie"`, ""), []string{`"peer" cannot be "natvie"`, `Did you mean "native"?`}},
		{"native with tcp", nativeText(`peer = "native"`, ""), []string{`peer = "native" is impossible without mapping sctp`, `mapping = "sctp"`}},
		{"native with none", nativeText("mapping = \"none\"\npeer = \"native\"", ""), []string{"impossible without mapping sctp"}},
		{"ppid of sidecars", nativeText("mapping = \"sctp\"\nppid = 33", ""), []string{`"ppid" is impossible without native peers`, `peer = "native"`}},
		{"ppid of ASAP", nativeText(nativePool+"ppid = 11", ""), []string{"that of ASAP", "at: 11"}},
		{"ppid of ours", nativeText(nativePool+"ppid = 1886388225", ""), []string{"0x70700001 is one of poolproxy's own"}},
		{"ppid that comes to be ours", nativeText(nativePool+"ppid = 1886388239", ""), []string{"0x7070000f"}},
		{"ppid out of range", nativeText(nativePool+"ppid = 4294967296", ""), []string{`"ppid" is out of range`}},
		{"ppid of an element", strings.Replace(nativeText(nativePool, ""), `{ address = "127.0.1.1:7001"`, "{\naddress = \"127.0.1.1:7001\"\nppid = 33\n", 1), []string{`"ppid" belongs to the pool itself`}},
		{"http", nativeText(nativePool, `protocol "http" {}`), []string{`protocol "http" is impossible with native elements`, "line, length or stream"}},
		{"redis", nativeText(nativePool, `protocol "redis" {}`), []string{`protocol "redis" is impossible`}},
		{"resume", nativeText(nativePool, `failover { resume = "1s" }`), []string{`"resume" is impossible with native elements`}},
		{"fence", nativeText(nativePool, `failover { fence = "9s" }`), []string{`"fence" is impossible with native elements`}},
		{"associations", nativeText(nativePool, `associations = 2`), []string{`"associations" is impossible with native elements`}},
		{"ack", nativeText(nativePool, `failover { ack = "read" }`), []string{`ack = "read" is impossible with native elements`}},
	} {
		t.Run(m.name, func(t *testing.T) { checkMistake(t, m.text, m.has, true) })
	}
}
