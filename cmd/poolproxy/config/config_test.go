package config

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

var update = flag.Bool("update", false, "write the golden files anew")

// lookupNames stands in for DNS.
func lookupNames(_ context.Context, _, host string) ([]netip.Addr, error) {
	switch host {
	case "both.test":
		return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("192.0.2.1")}, nil
	case "six.test":
		return []netip.Addr{netip.MustParseAddr("2001:db8::1")}, nil
	}
	return nil, fmt.Errorf("lookup %s: no such host", host)
}

// loadText loads files of these texts: a.hcl, b.hcl and so on in one folder.
func loadText(t *testing.T, texts ...string) *Loaded {
	t.Helper()
	folder := t.TempDir()
	for i, text := range texts {
		if err := os.WriteFile(filepath.Join(folder, string(rune('a'+i))+".hcl"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return load([]string{folder}, lookupNames)
}

// written is what the user reads, without the folder of the test.
func written(t *testing.T, l *Loaded, folder string) string {
	t.Helper()
	var text bytes.Buffer
	if err := l.Write(&text); err != nil {
		t.Fatal(err)
	}
	if folder != "" {
		folder += string(filepath.Separator)
	}
	return strings.ReplaceAll(text.String(), folder, "")
}

func TestTwelveMistakes(t *testing.T) {
	l := load([]string{filepath.Join("testdata", "twelve.hcl")}, lookupNames)
	if !l.Failed() || len(l.Diagnostics) != 12 {
		t.Errorf("%d diagnostics, want 12", len(l.Diagnostics))
	}
	checkGolden(t, l, "twelve.golden")
}

func TestExample(t *testing.T) {
	l := Load([]string{filepath.Join("..", "..", "..", "config.hcl.example")})
	if len(l.Diagnostics) != 0 {
		t.Fatal(written(t, l, ""))
	}
	c := l.Config
	if len(c.Pools) != 1 || len(c.Users) != 1 || len(c.Elements) != 2 {
		t.Fatalf("%d pools, %d pool_users, %d pool_elements", len(c.Pools), len(c.Users), len(c.Elements))
	}
	if u := c.Users[0]; u.Protocol.Name() != "http" || u.Listen.String() != "127.0.0.1:8080" {
		t.Errorf("the pool_user is %+v", u)
	}
	for i, e := range c.Elements {
		if want := fmt.Sprintf("127.0.0.1:808%d", i+1); e.Server.String() != want {
			t.Errorf("pool_element %s is in front of %s, not %s", e.Name, e.Server, want)
		}
		if e.Listen != c.Pools[0].Elements[i].Address {
			t.Errorf("pool_element %s listens on %s, but its pool names %s", e.Name, e.Listen, c.Pools[0].Elements[i].Address)
		}
	}
}

const minimal = `
pool "web" {
  element "a" { address = "127.0.0.1:9001" }
}
pool_user "web" {
  listen = "127.0.0.1:8080"
  pool   = "web"
  protocol "http" {}
}
pool_element "a" {
  listen = "127.0.0.1:9001"
  server = "127.0.0.1:8081"
}
`

func TestDefaults(t *testing.T) {
	l := loadText(t, minimal)
	if len(l.Diagnostics) != 0 {
		t.Fatal(l.Diagnostics)
	}
	c := l.Config
	if c.Log != (proxy.Log{Level: "info"}) || c.Limits != (proxy.Limits{Sessions: 10000, Memory: 1 << 30, Pipes: 256}) || c.Grace != 30*time.Second {
		t.Errorf("got %+v", c)
	}
	if c.Admin.Listen.String() != "127.0.0.1:7878" {
		t.Errorf("admin is %s", c.Admin.Listen)
	}
	want := session.Failover{
		Replay: session.ReplayUnacked, Ack: session.AckReply, Resume: 5 * time.Second, Deadline: 30 * time.Second, Attempts: 5,
		Fence: 5 * time.Second,
	}
	if u := c.Users[0]; u.Failover != want || u.Memory != 1<<20 || u.Heartbeat != (mapping.Heartbeat{Interval: time.Second, Misses: 3}) {
		t.Errorf("the pool_user is %+v", u)
	}
	if e := c.Elements[0]; e.Hold != 30*time.Second || e.Memory != 1<<20 || e.Mapping != mapping.TCP || e.FenceTimeout != 10*time.Second {
		t.Errorf("the pool_element is %+v", e)
	}
}

// user is a configuration around one pool_user.
func user(protocol, failover string) string {
	return `pool "p" {
  element "a" { address = "10.0.0.1:1" }
}
pool_user "u" {
  listen = "127.0.0.1:5000"
  pool   = "p"
  ` + protocol + `
  ` + failover + `
}
`
}

func TestFailoverDefaultsFollowTheProtocol(t *testing.T) {
	for _, c := range []struct {
		protocol string
		replay   session.Replay
		ack      session.Ack
	}{
		{`protocol "stream" {}`, session.ReplayNone, session.AckDelivered},
		{`protocol "http" {}`, session.ReplayUnacked, session.AckReply},
		{`protocol "line" {}`, session.ReplayUnacked, session.AckReply},
		{`protocol "line" { reply = "none" }`, session.ReplayUnacked, session.AckDelivered},
		{`protocol "line" { reply = "stream" }`, session.ReplayUnacked, session.AckDelivered},
		{`protocol "length" {}`, session.ReplayUnacked, session.AckReply},
		{`protocol "length" { reply = "none" }`, session.ReplayUnacked, session.AckDelivered},
	} {
		l := loadText(t, user(c.protocol, ""))
		if l.Failed() {
			t.Errorf("%s: %v", c.protocol, l.Diagnostics)
			continue
		}
		if f := l.Config.Users[0].Failover; f.Replay != c.replay || f.Ack != c.ack {
			t.Errorf("%s: replay %s, ack %s; want %s, %s", c.protocol, f.Replay, f.Ack, c.replay, c.ack)
		}
	}
}

func TestRedis(t *testing.T) {
	l := loadText(t, strings.Replace(minimal, `"http" {}`, `"redis" { safe = ["My.Get", "CONFIG GET"] }`, 1))
	if len(l.Diagnostics) != 0 {
		t.Fatal(l.Diagnostics)
	}
	u := l.Config.Users[0]
	if u.Protocol.Name() != "redis" || u.Commands == nil || u.Failover.Ack != session.AckReply || u.Failover.Replay != session.ReplayUnacked {
		t.Errorf("got %+v", u)
	}
	for name, want := range map[string]bool{"my.get": true, "config|get": true, "config": false, "get": false} {
		if safe, _ := u.Commands.Safe(name); safe != want {
			t.Errorf("%s: safe %v", name, safe)
		}
		cut, req, err := u.Protocol.Requests().Next([]byte(strings.Replace(name, "|", " ", 1) + "\r\n"))
		if err != nil || !cut.End || req.Safe != want {
			t.Errorf("%s: %+v, %+v, %v", name, cut, req, err)
		}
	}
}

func TestFilesAreMerged(t *testing.T) {
	l := loadText(t,
		`log { level = "debug" }`,
		`pool "p" {
  policy = "priority"
  element "a" {
    address  = "both.test:1"
    priority = 7
  }
  element "b" { address = "six.test:1" }
}`,
		`pool_user "u" {
  listen = ":5000"
  pool   = "p"
  protocol "stream" {}
}
admin { listen = "off" }`)
	if l.Failed() {
		t.Fatal(l.Diagnostics)
	}
	c := l.Config
	if c.Log.Level != "debug" || c.Admin.Listen.IsValid() || c.Users[0].Listen.String() != "[::]:5000" {
		t.Errorf("got %+v", c)
	}
	p := c.Pools[0]
	if p.Policy != pool.Priority || p.Elements[0].Priority != 7 || p.Elements[0].Address.String() != "192.0.2.1:1" ||
		p.Elements[1].Address.String() != "[2001:db8::1]:1" {
		t.Errorf("the pool is %+v", p)
	}
}

func TestFileGivenTwiceIsReadOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.hcl")
	if err := os.WriteFile(name, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if l := Load([]string{name, filepath.Dir(name)}); l.Failed() {
		t.Error(l.Diagnostics)
	}
}

func TestUnreadable(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "missing.hcl"), t.TempDir()} {
		l := Load([]string{path})
		if !l.Failed() || !strings.Contains(written(t, l, ""), path) {
			t.Errorf("%s: %v", path, l.Diagnostics)
		}
	}
	big := filepath.Join(t.TempDir(), "big.hcl")
	if err := os.WriteFile(big, bytes.Repeat([]byte("#"), maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if l := Load([]string{big}); len(l.Diagnostics) != 1 || !strings.Contains(l.Diagnostics[0].Detail, "is longer than") {
		t.Error(l.Diagnostics)
	}
}

// A broken file must not make the others look wrong, but their own mistakes are told.
func TestSyntaxErrorInOneFile(t *testing.T) {
	l := loadText(t, "pool \"p\" {\n", user(`protocol "http" {}`, `failover { attempts = 0 }`))
	var errors []string
	for _, d := range l.Diagnostics {
		errors = append(errors, filepath.Base(d.Subject.Filename)+" "+d.Summary)
	}
	if len(errors) != 2 || !strings.HasPrefix(errors[0], "a.hcl ") || errors[1] != `b.hcl "attempts" is out of range` {
		t.Errorf("got %q", errors)
	}
}

// FuzzLoad: whatever a file holds, the answer is diagnostics or a configuration that names only what is there.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(user(`protocol "line" { until = "^." }`, `failover { resume = "1s" }`)))
	f.Add([]byte(health(`http = "http://127.0.0.1:1/"`, `interval = "1s"`)))
	f.Add([]byte(`pool_element a b { listen = [":1"] }`))
	f.Add([]byte(`pool "" { element { address = null } }`))
	f.Fuzz(func(t *testing.T, src []byte) {
		name := filepath.Join(t.TempDir(), "a.hcl")
		if err := os.WriteFile(name, src, 0o600); err != nil {
			t.Fatal(err)
		}
		l := load([]string{name}, lookupNames)
		written(t, l, "")
		if l.Failed() {
			return
		}
		for _, u := range l.Config.Users {
			if u.Protocol == nil || !u.Listen.IsValid() || u.Pool == "" {
				t.Errorf("a pool_user without a part passed: %+v", u)
			}
		}
	})
}
