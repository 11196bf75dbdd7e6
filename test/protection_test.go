//go:build linux

package test

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// mute accepts connections and says nothing. It ends with the test.
func mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", porttest.FreeString(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		var conns []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				for _, c := range conns {
					c.Close()
				}
				return
			}
			conns = append(conns, conn)
		}
	}()
	return l.Addr().String()
}

// protections are the pool_users of one sidecar, each with one session in a different state.
var protections = []struct {
	name, protocol, failover string
	servers                  int
	sends                    string
	wants                    string // a regular expression for the last column of poolproxy status
}{
	{"idle", `protocol "line" {}`, "", 2, "", `protected$`},
	{"safe", `protocol "line" { safe = ["^GET"] }`, "", 2, "GET 1\n", `protected$`},
	{"alone", `protocol "line" { safe = ["^GET"] }`, "", 1, "GET 1\n", `degraded: no other element of the pool is believed alive$`},
	{"answered", `protocol "http" {}`, "", 2, "POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
		`degraded: an unsafe request is in flight \(POST /pay\) and may have been executed: it is not repeated; it would be answered by an error, and the session go on$`},
	{"unsafe", `protocol "line" {}`, "", 2, "PAY 1\n", `unprotected: an unsafe request is in flight \(line of up to \d bytes\) and may have been executed: it is not repeated$`},
	{"opted", `protocol "line" {}`, `unsafe = "replay"`, 2, "PAY 1\n", `protected$`},
	{"stream", `protocol "stream" {}`, "", 2, "x", `unprotected: replay is not allowed for protocol stream: failover { replay = "session" } would allow it.*$`},
	{"tunnel", `protocol "http" {}`, "", 2, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nx", `unprotected: nothing is known of what followed the request in flight \(CONNECT a:1\)$`},
	{"large", `protocol "http" {}`, "", 2, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + strings.Repeat("x", 2_900_000),
		`unprotected: the request in flight \(PUT /\) passed retrieval.memory: a larger one would keep it$`},
}

// TestProtectionShown has sessions in all states of protection on one host, and reads in poolproxy status, as its user would, what
// holds and why.
func TestProtectionShown(t *testing.T) {
	admin := porttest.FreeString(t)
	var config strings.Builder
	fmt.Fprintf(&config, "admin { listen = %q }\n", admin)
	listens := make([]string, len(protections))
	for i, p := range protections {
		listens[i] = porttest.FreeString(t)
		fmt.Fprintf(&config, "pool %q {\n  policy = \"round_robin\"\n  mapping = \"none\"\n", p.name)
		for n := range p.servers {
			fmt.Fprintf(&config, "  element \"%c\" { address = %q }\n", 'a'+n, mute(t))
		}
		fmt.Fprintf(&config, "}\npool_user %q {\n  listen = %q\n  pool = %q\n  %s\n  failover {\n    %s\n  }\n}\n", p.name, listens[i], p.name, p.protocol, p.failover)
	}
	sidecar := startProcess(t, command{name: "user", args: []string{builtBinary(t), "run", "-config", writeConfig(t, "user", config.String())}})
	for i, p := range protections {
		sidecar.waitListening(t, listens[i])
		conn, err := net.Dial("tcp", listens[i])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetWriteDeadline(time.Now().Add(patience)) // who does not read is not waited for
		go func() { _, _ = io.WriteString(conn, p.sends) }()
	}
	var page []byte
	t.Cleanup(func() { t.Logf("poolproxy status:\n%s", page) })
	for _, p := range protections {
		line := regexp.MustCompile(`(?m)^ +\d+ +` + p.name + ` .* +` + p.wants)
		waitFor(t, fmt.Sprintf("the session of %s to be %s", p.name, p.wants), func() bool {
			var err error
			if page, err = exec.Command(builtBinary(t), "status", "-admin", admin).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, page)
			}
			return line.Match(page) || t.Failed()
		})
	}
}
