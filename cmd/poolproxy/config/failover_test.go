package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/session"
)

// direct puts mapping none into the pool of a configuration of user.
func direct(text string) string { return strings.Replace(text, "\n", "\nmapping = \"none\"\n", 1) }

// failover is a configuration with these settings in the failover block.
func failover(settings ...string) string {
	return user(`protocol "line" { safe = ["^GET "] }`, "failover {\n"+strings.Join(settings, "\n")+"\n}")
}

func TestFailoverTimes(t *testing.T) {
	for _, c := range []struct {
		settings                string
		resume, fence, deadline time.Duration
	}{
		{"", 5 * time.Second, 5 * time.Second, 30 * time.Second},
		{`resume = "8s"`, 8 * time.Second, 8 * time.Second, 30 * time.Second},
		{`resume = "1s"`, time.Second, 5 * time.Second, 30 * time.Second},
		{`deadline = "2s"`, 2 * time.Second, 5 * time.Second, 2 * time.Second},
		{`fence = "2s"`, 2 * time.Second, 2 * time.Second, 30 * time.Second},
		{`fence = "9s"`, 5 * time.Second, 9 * time.Second, 30 * time.Second},
	} {
		l := loadText(t, failover(c.settings))
		if len(l.Diagnostics) != 0 {
			t.Errorf("%s: %v", c.settings, l.Diagnostics)
			continue
		}
		if f := l.Config.Users[0].Failover; f.Resume != c.resume || f.Fence != c.fence || f.Deadline != c.deadline {
			t.Errorf("%s: resume %s, fence %s, deadline %s", c.settings, f.Resume, f.Fence, f.Deadline)
		}
	}
	if f := loadText(t, direct(failover(`unsafe = "replay"`, `deadline = "1s"`))).Config.Users[0].Failover; f.Resume != 0 || f.Fence != 0 {
		t.Errorf("with mapping none: resume %s, fence %s", f.Resume, f.Fence)
	}
}

func TestFailoverWords(t *testing.T) {
	l := loadText(t, failover(`ack = "read"`, `on_server_close = "failover"`, `unsafe = "replay"`))
	if len(l.Diagnostics) != 0 {
		t.Fatal(l.Diagnostics)
	}
	f := l.Config.Users[0].Failover
	if f.Ack != session.AckRead || f.OnServerClose != session.CloseIsFailed || f.Unsafe != session.UnsafeReplay {
		t.Errorf("got %+v", f)
	}
	for _, protocol := range []string{`protocol "stream" {}`, `protocol "line" { reply = "none" }`, `protocol "http" {}`} {
		if l := loadText(t, user(protocol, `failover { ack = "read" }`)); len(l.Diagnostics) != 0 {
			t.Errorf("%s: %v", protocol, l.Diagnostics)
		}
	}
	local := strings.ReplaceAll(direct(failover(`ack = "read"`)), "10.0.0.1", "127.0.0.1")
	if l := loadText(t, local); len(l.Diagnostics) != 0 {
		t.Error(l.Diagnostics)
	}
}

// program is the path of a file in a folder of the test.
func program(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFenceExec(t *testing.T) {
	path := program(t, 0o755)
	l := loadText(t, minimal+element("b", "127.0.0.1:9002", `fence_exec = ["`+path+`", "b"]
  fence_timeout = "3s"`))
	if len(l.Diagnostics) != 0 {
		t.Fatal(l.Diagnostics)
	}
	if e := l.Config.Elements[1]; len(e.FenceExec) != 2 || e.FenceExec[0] != path || e.FenceExec[1] != "b" || e.FenceTimeout != 3*time.Second {
		t.Errorf("got %q, %s", e.FenceExec, e.FenceTimeout)
	}
	for name, c := range map[string]struct {
		settings string
		has      []string
	}{
		"missing":        {`fence_exec = ["/nowhere/at-all", "b"]`, []string{"/nowhere/at-all cannot be executed", "no such file", `at: "/nowhere/at-all"`}},
		"not executable": {`fence_exec = ["` + program(t, 0o644) + `"]`, []string{"cannot be executed", "permission"}},
		"a folder":       {`fence_exec = ["` + t.TempDir() + `"]`, []string{"cannot be executed"}},
		"no path":        {`fence_exec = ["systemctl", "kill", "redis"]`, []string{`"systemctl" is not the full path`, "no shell"}},
		"no program":     {`fence_exec = []`, []string{"names no program"}},
		"no list":        {`fence_exec = "` + path + ` b"`, []string{"must be a list"}},
		"no text":        {`fence_exec = ["` + path + `", 5]`, []string{"must be a string"}},
		"only a time":    {`fence_timeout = "1s"`, []string{"no effect without fence_exec"}},
		"fence":          {`fence = "5s"`, []string{`"fence" belongs to`, "belongs to the failover block of a pool_user"}},
	} {
		t.Run(name, func(t *testing.T) { checkMistake(t, minimal+element("b", "127.0.0.1:9002", c.settings), c.has, true) })
	}
}

func TestFailoverMistakes(t *testing.T) {
	for _, m := range []struct {
		name, text string
		has        []string
	}{
		{"fence and resume", failover(`resume = "6s"`, `fence = "5s"`), []string{"fence (5s) is shorter than resume (6s)"}},
		{"unsafe and deadline", failover(`unsafe = "replay"`, `deadline = "5s"`),
			[]string{`unsafe = "replay" needs a deadline (5s) that is longer than fence (5s)`, `at: "5s"`}},
		{"unsafe and fence", failover(`unsafe = "replay"`, `fence = "1m"`), []string{"deadline (30s)", "fence (1m)", `at: "1m"`}},
		{"fence without mapping", direct(failover(`fence = "5s"`)), []string{`"fence" is impossible without a mapping`}},
		{"close", failover(`on_server_close = "fail"`), []string{`Write one of: "auto", "close", "failover"`}},
		{"fence_exec", failover(`fence_exec = []`), []string{"belongs to a pool_element"}},
		{"state", failover(`state "x" {}`), []string{"belongs to the protocol block"}},
		{"callback in the pool_user", user(`protocol "line" {}`, "callback {}"), []string{`"callback" belongs to`, "belongs to its failover block"}},
		{"callback at the top", minimal + "callback {}", []string{"belongs to the failover block of a pool_user"}},
		{"read at another host", direct(failover(`ack = "read"`)),
			[]string{`ack = "read" is impossible for element "a" of pool "p"`, "10.0.0.1", "delivered", `at: "read"`}},
	} {
		t.Run(m.name, func(t *testing.T) { checkMistake(t, m.text, m.has, m.name != "read at another host") })
	}
}

// inLineBlock is a protocol line with these settings, each on its own line.
func inLineBlock(settings ...string) string {
	return "protocol \"line\" {\n" + strings.Join(settings, "\n") + "\n}"
}

// A pool_user must not be an element of its own pool, under whatever address of the host.
func TestOwnElement(t *testing.T) {
	for _, c := range []struct {
		listen, address string
		own             bool
	}{
		{"127.0.0.1:5000", "127.0.0.1:5000", true},
		{":5000", "127.0.0.1:5000", true},
		{"0.0.0.0:5000", "127.0.0.1:5000", true},
		{"127.0.0.1:5000", "0.0.0.0:5000", true},
		{"127.0.0.1:5000", "127.0.0.1:5001", false},
		{"127.0.0.1:5000", "127.0.0.2:5000", false},
		{":5000", "192.0.2.1:5000", false}, // another host's
	} {
		text := strings.Replace(direct(user(`protocol "http" {}`, "")), "127.0.0.1:5000", c.listen, 1)
		text = strings.Replace(text, "10.0.0.1:1", c.address, 1)
		l := loadText(t, text)
		if l.Failed() != c.own || c.own && (len(l.Diagnostics) != 1 || !strings.Contains(about(l, l.Diagnostics[0]), `pool_user "u" would connect to itself`)) {
			t.Errorf("%+v: %v", c, l.Diagnostics)
		}
	}
	if l := loadText(t, strings.Replace(user(`protocol "http" {}`, ""), "10.0.0.1:1", "127.0.0.1:5001", 1)); l.Failed() {
		t.Error(l.Diagnostics)
	}
}

// What is accepted and does nothing is said.
func TestFailoverIdle(t *testing.T) {
	for _, c := range []struct {
		protocol, failover, says string
	}{
		{`protocol "line" { lost = "ERR\n" }`, `replay = "session"`, `"lost" has no effect`},
		{`protocol "line" { lost = "ERR\n" }`, ``, ``},
		{inLineBlock(`sync = ["^RESET$"]`), ``, `"sync" has no effect without replay = "session"`},
		{inLineBlock(`sync = ["^RESET$"]`, `safe = ["^GET "]`), `replay = "session"`, ``},
		{`protocol "length" { sync = ["^x"] }`, `replay = "unacked"`, `"sync" has no effect`},
		{`protocol "line" {}`, `replay = "session"`, `all requests are unsafe`},
		{`protocol "line" { safe = [] }`, `replay = "session"`, `all requests are unsafe`},
		{`protocol "length" {}`, `replay = "session"`, `this protocol length calls none safe`},
		{`protocol "length" { safe = [{ offset = 4, bytes = "00" }] }`, `replay = "session"`, ``},
		{`protocol "line" { safe = ["^GET "] }`, `replay = "session"`, ``},
		{`protocol "line" {}`, "replay = \"session\"\nunsafe = \"replay\"", ``},
		{"protocol \"line\" {\nstate \"s\" { match = \"^USE \" }\n}", `replay = "session"`, ``},
		{`protocol "http" {}`, `replay = "session"`, ``},
		{`protocol "redis" {}`, `replay = "session"`, ``},
		{`protocol "stream" {}`, `replay = "session"`, ``},
		{`protocol "stream" {}`, `on_server_close = "failover"`, "next to no effect"},
		{`protocol "stream" {}`, "replay = \"session\"\non_server_close = \"failover\"", ``},
	} {
		l := loadText(t, user(c.protocol, "failover {\n"+c.failover+"\n}"))
		text := written(t, l, "")
		if l.Diagnostics.HasErrors() || (c.says == "") != (len(l.Diagnostics) == 0) || !strings.Contains(text, c.says) {
			t.Errorf("%s, %s: %s", c.protocol, c.failover, text)
		}
	}
}
