//go:build linux

package test

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// lookups is a host with a poolproxy whose DNS answerer is the resolver of all others there. Its servers have two addresses in each family,
// and one port: that is not told by A and AAAA.
type lookups struct {
	t       *testing.T
	net     *network
	user    *process
	program string // test/testdata/lookup.c, compiled
	prelude string // what a shell does before a program, so that the system's resolver asks the answerer
	servers map[string]*process
}

const lookupConfig = `
admin { listen = "127.0.0.1:7878" }
dns { listen = "127.0.0.1:53" }
pool "four" {
  policy  = "priority"
  mapping = "none"
  element "a" {
    address  = "127.0.0.11:7001"
    priority = 2
  }
  element "b" {
    address  = "127.0.0.12:7001"
    priority = 1
  }
}
pool "six" {
  policy  = "priority"
  mapping = "none"
  element "c" {
    address  = "[fd00::11]:7001"
    priority = 2
  }
  element "d" {
    address  = "[fd00::12]:7001"
    priority = 1
  }
}
pool_user "four" {
  listen = "127.0.0.1:5004"
  pool   = "four"
  protocol "line" { safe = ["."] }
}
pool_user "six" {
  listen = "127.0.0.1:5006"
  pool   = "six"
  protocol "line" { safe = ["."] }
}
`

// TestLookups is a failover as programs see it that only know how to look up a host: dig, and a C program that calls getaddrinfo. The
// session of a pool_user notices that a server has died; from then on the name has another's address.
func TestLookups(t *testing.T) {
	needs(t, true, "ip", "dig", "gcc", "mount")
	l := newLookups(t)
	for _, c := range []struct{ pool, kind, user, first, second string }{
		{"four", "A", "127.0.0.1:5004", "127.0.0.11", "127.0.0.12"},
		{"six", "AAAA", "127.0.0.1:5006", "fd00::11", "fd00::12"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			l.t, l.net.t = t, t
			l.follow(c.pool, c.kind, c.user, c.first, c.second)
		})
		l.t, l.net.t = t, t
	}
}

// follow kills the pool's first server, starts it again, and looks who is named.
func (l *lookups) follow(pool, kind, user, first, second string) {
	l.t.Helper()
	session := l.net.dial(l.net.hub, user)
	in := bufio.NewReader(session)
	ask(l.t, session, in, 0)
	program := startProcess(l.t, command{name: "lookup-" + pool, netns: l.net.hub, args: []string{"sh", "-c",
		l.prelude + " exec " + l.program + " " + pool + ".pool 7001"}})
	program.said(l.t, "served by "+first+": did hello", 1)
	l.names(pool, kind, first, second)

	l.servers[first].kill()
	ask(l.t, session, in, 1) // the session has been moved: that its server has died is known
	l.names(pool, kind, second, first)
	program.said(l.t, "gone: "+first, 1)
	program.said(l.t, "served by "+second+": did hello", 1)

	l.serve(first)
	waitFor(l.t, "the first server to be named again", func() bool {
		again := l.net.dial(l.net.hub, user) // a session that looks for an element is what occasions a look at one that failed
		defer again.Close()
		ask(l.t, again, bufio.NewReader(again), 2)
		return l.dig(pool+".pool", kind)[0] == first
	})
	l.names(pool, kind, first, second)
	if text := program.output(l.t); strings.Contains(text, "gone: "+second) {
		l.t.Errorf("nothing has happened to the second server:\n%s", text)
	}
	l.servers[second].kill()
	program.said(l.t, "served by "+first+": did hello", 2)
}

// names checks whom dig finds: the first by the address records, and by SRV before the second.
func (l *lookups) names(pool, kind, first, second string) {
	l.t.Helper()
	if got := l.dig(pool+".pool", kind); len(got) != 1 || got[0] != first {
		l.t.Errorf("%s of %s is %q, not %s", kind, pool, got, first)
	}
	other := map[string]string{"A": "AAAA", "AAAA": "A"}[kind]
	if got := l.dig(pool+".pool", other); len(got) != 0 {
		l.t.Errorf("%s of %s is %q", other, pool, got)
	}
	var order []string
	for _, record := range l.dig(pool+".pool", "SRV") { // priority, weight, port, target
		words := strings.Fields(record)
		if len(words) != 4 || words[2] != "7001" {
			l.t.Fatalf("SRV of %s: %q", pool, record)
		}
		order = append(order, words[0]+" "+strings.Join(l.dig(words[3], kind), " "))
	}
	if len(order) == 2 && order[0] > order[1] { // dig shows them as they come
		order[0], order[1] = order[1], order[0]
	}
	if len(order) != 2 || order[0] != "0 "+first || !strings.HasSuffix(order[1], " "+second) || order[1][0] == '0' {
		l.t.Errorf("SRV of %s is %q, not %s and then %s", pool, order, first, second)
	}
}

// dig asks the answerer. It returns the lines of the answer.
func (l *lookups) dig(name, kind string) (lines []string) {
	l.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", l.net.hub, "dig", "+short", "@127.0.0.1", name, kind).CombinedOutput()
	if err != nil {
		l.t.Fatalf("dig %s %s: %v\n%s", name, kind, err, out)
	}
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func newLookups(t *testing.T) *lookups {
	t.Helper()
	l := &lookups{t: t, net: newNetwork(t), servers: make(map[string]*process)}
	dir := logDir(t)
	l.program = filepath.Join(dir, "lookup")
	if out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-o", l.program, "testdata/lookup.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	l.prelude = "set -e;" + l.mounted("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:5\n") +
		l.mounted("/etc/nsswitch.conf", "hosts: dns\n")
	l.net.ip("-n", l.net.hub, "address", "add", "fd00::11/128", "dev", "lo")
	l.net.ip("-n", l.net.hub, "address", "add", "fd00::12/128", "dev", "lo")
	for _, address := range []string{"127.0.0.11", "127.0.0.12", "fd00::11", "fd00::12"} {
		l.serve(address)
	}
	l.user = startProcess(t, command{name: "user", netns: l.net.hub,
		args: []string{builtBinary(t), "run", "-config", writeConfig(t, "user", lookupConfig)}})
	for _, at := range []string{"127.0.0.1:5004", "127.0.0.1:5006", "127.0.0.1:53"} {
		l.user.waitListening(t, at)
	}
	return l
}

// mounted is what a shell does to have another text in a file of the system: `ip netns exec` has given it mounts of its own, which are
// gone with it, and which nobody else sees. A file that there is not does no harm.
func (l *lookups) mounted(file, text string) string {
	l.t.Helper()
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	path := filepath.Join(logDir(l.t), filepath.Base(file))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf(" mount --bind %s %s;", path, file)
}

// serve starts the server at an address, also again.
func (l *lookups) serve(address string) {
	l.t.Helper()
	at := net.JoinHostPort(netip.MustParseAddr(address).String(), "7001")
	name := "server-" + strings.NewReplacer(".", "-", ":", "-").Replace(address)
	l.servers[address] = startProcess(l.t, command{name: name, netns: l.net.hub, role: "line", args: []string{"-listen", at}})
	l.servers[address].waitListening(l.t, at)
}
