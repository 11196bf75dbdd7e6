//go:build linux

package test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// curl runs curl with the admin API's page of a session's cookie, and returns what it says and the HTTP status.
func curl(admin, session string, args ...string) (text string, status int, err error) {
	all := append([]string{"--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}"}, args...)
	out, err := exec.Command("curl", append(all, "http://"+admin+"/v1/cookies/"+session)...).Output()
	if err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			err = fmt.Errorf("%w: %s", err, ended.Stderr)
		}
		return "", 0, err
	}
	at := strings.LastIndexByte(string(out), '\n')
	status, err = strconv.Atoi(string(out[at+1:]))
	return string(out[:at]), status, err
}

// tallyServer counts the lines of a session, also those that other servers have had: it asks for the session's cookie before it reads
// anything, and sets it before it answers. It knows nothing of sidecars but an address to ask.
func tallyServer(args []string) error {
	flags := flag.NewFlagSet("tally", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	admin := flags.String("admin", "", "address of the admin API of the sidecar before it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return serve(*listen, func(conn *net.TCPConn) {
		session := conn.RemoteAddr().String() + "?server=" + conn.LocalAddr().String()
		cookie, status, err := curl(*admin, session)
		fmt.Printf("begins with %q, status %d, error %v\n", cookie, status, err)
		if err != nil {
			return
		}
		count, _ := strconv.Atoi(cookie)
		in := bufio.NewReader(conn)
		for {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			count++
			text, status, err := curl(*admin, session, "--request", "PUT", "--data-binary", strconv.Itoa(count))
			if err != nil || status != 204 {
				fmt.Printf("cannot set the cookie: %q, status %d, error %v\n", text, status, err)
				return
			}
			if _, err := fmt.Fprintln(conn, count); err != nil {
				return
			}
		}
	})
}

// tally asks for the next n counts.
func tally(t *testing.T, conn io.Writer, in *bufio.Reader, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		if _, err := fmt.Fprintln(conn, "count"); err != nil {
			t.Fatal(err)
		}
		if text, err := in.ReadString('\n'); err != nil || text != fmt.Sprintln(i) {
			t.Fatalf("the answer is %q, %v, not %d", text, err, i)
		}
	}
}

// keyFile is a file with a key for cookies.
func keyFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(strings.Repeat("k", 40)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestCookies kills servers, once with its sidecar, whose programs keep their state in cookies by way of curl and the admin API: the next
// server begins with it, and the client sees one count.
func TestCookies(t *testing.T) {
	needs(t, false, "curl")
	for _, mapping := range []string{"tcp", "none"} {
		t.Run(mapping, func(t *testing.T) {
			p := plan{mapping: mapping, protocol: `  protocol "line" {}`, failover: `    resume = "500ms"`, servers: []string{"tally", "tally", "tally"},
				admins: true}
			if mapping == "tcp" {
				p.checks = fmt.Sprintf("  cookie_key_file = %q\n  business_card {\n    pool = \"test\"\n    order = [\"PARTNER\"]\n  }\n", keyFile(t))
			} else {
				p.failover = ""
			}
			f := launch(t, p)
			client := f.dial()
			in := bufio.NewReader(client)
			tally(t, client, in, 1, 5)
			for round := 1; round <= 2; round++ {
				was := f.serving()
				dies := f.elements[was]
				dies.server.kill()
				if round == 2 && dies.sidecar != nil {
					dies.sidecar.kill()
				}
				tally(t, client, in, 5*round+1, 5)
				now := f.serving()
				f.elements[now].server.said(t, fmt.Sprintf("begins with \"%d\", status 200", 5*round), 1)
				if mapping == "tcp" && now != f.partner(was) {
					t.Errorf("from element %d the session went to %d, and not where its card says", was, now)
				}
			}
			if s := f.status().Sessions; len(s) != 1 || s[0].Cookie == 0 || s[0].Leg < 3 {
				t.Errorf("the sessions are %+v", s)
			}
		})
	}
}

// TestCookieRefusals: what the admin API says to scripts that ask for what there is not, or for too much.
func TestCookieRefusals(t *testing.T) {
	needs(t, false, "curl")
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "line" {}`, servers: []string{"line"}, admins: true})
	client := f.dial()
	ask(t, client, bufio.NewReader(client), 1)
	e := f.elements[0]
	var session string
	waitFor(t, "the sidecar's connection", func() bool {
		session = connectionTo(t, e.sidecar, e.address)
		return session != ""
	})
	for _, c := range []struct {
		session string
		args    []string
		status  int
		text    string
	}{
		{session, nil, 204, ""},
		{session, []string{"--request", "PUT", "--data-binary", "x"}, 409, "cookie_key_file"},
		{session, []string{"--request", "PUT", "--data-binary", strings.Repeat("x", 4097)}, 413, "at most 4096 bytes"},
		{session, []string{"--request", "DELETE"}, 405, ""},
		{session, []string{"--header", "Host: evil.example"}, 403, "Host header"},
		{session + "?server=127.0.0.1:1", nil, 404, "to server 127.0.0.1:1"},
		{"127.0.0.1:1", nil, 404, "no session has a connection"},
		{"me", nil, 400, "is not an address"},
	} {
		text, status, err := curl(e.admin, c.session, c.args...)
		if err != nil || status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s %.60q: %d %q, %v; not %d with %q", c.session, c.args, status, text, err, c.status, c.text)
		}
	}
	client.Close()
	waitFor(t, "the session to end", func() bool {
		_, status, err := curl(e.admin, session)
		return err == nil && status == 404
	})
}

// connectionTo is the near end of the process's connection to an address, "" if there is none.
func connectionTo(t *testing.T, p *process, address string) string {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	want := hexAddress(address)
	for _, line := range strings.Split(string(table), "\n") {
		f := strings.Fields(line) // sl, local, remote, state
		if len(f) > 3 && f[2] == want && f[3] == "01" {
			_, port, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("127.0.0.1:%d", n)
		}
	}
	return ""
}
