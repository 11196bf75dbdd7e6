//go:build linux

package test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

// oddServer is a journalServer whose reply to lines with "odd" in them has another byte 8.
func oddServer(args []string) error {
	flags := flag.NewFlagSet("odd", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return serve(*listen, func(conn *net.TCPConn) {
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Printf("1 did %d %s", now(), line)
			reply := []byte("did " + line)
			if strings.Contains(line, "odd") && len(reply) > 8 {
				reply[8]++
			}
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	})
}

// rehearsed is a fleet with an element for rehearsals.
type rehearsed struct {
	*fleet
	address string   // of its server
	server  *process // that
}

// startRehearsed starts one with a server of the role for clients, and one for rehearsals.
func startRehearsed(t *testing.T, mapping, protocol, role string) *rehearsed {
	t.Helper()
	r := &rehearsed{address: porttest.FreeString(t)}
	at, user, element := r.address, "", ""
	if mapping == "tls" {
		a := securetest.NewAuthority(t)
		user, element = tlsBlock(a.Issue(tlsUser, nil), tlsElement), tlsBlock(a.Issue(tlsElement, nil), tlsUser)
		mapping = "tcp"
	}
	r.startServer(t, role)
	if mapping == "tcp" {
		at = porttest.FreeString(t)
		config := elementConfig("r", at, r.address, element)
		sidecar := startProcess(t, command{name: "element-r", args: []string{builtBinary(t), "run", "-config", writeConfig(t, "element-r", config)}})
		sidecar.waitListening(t, at)
	}
	r.fleet = launch(t, plan{mapping: mapping, servers: []string{"journal"}, checks: element,
		pool:     user + fmt.Sprintf("  element \"r\" {\n    address   = %q\n    rehearsal = true\n  }\n", at),
		protocol: protocol + "\n  rehearsal { sample = \"100%\" }\n"})
	return r
}

func (r *rehearsed) startServer(t *testing.T, role string) {
	t.Helper()
	r.server = startProcess(t, command{name: "server-r", role: role, args: []string{"-listen", r.address}})
	r.server.waitListening(t, r.address)
}

// rehearse runs the command, and returns what it says and its exit status.
func (f *fleet) rehearse(args ...string) (proxy.RehearsalReport, string, int) {
	f.t.Helper()
	f.rehearsals++
	p := startProcess(f.t, command{name: fmt.Sprintf("rehearse-%d", f.rehearsals), args: append([]string{builtBinary(f.t), "rehearse", "test", "-json", "-admin", f.admin}, args...)})
	status := p.wait(f.t, patience)
	var report proxy.RehearsalReport
	out := p.output(f.t)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		f.t.Fatalf("%q: %v", out, err)
	}
	return report, out, status
}

// talk has a client say lines, one after another, and await each reply.
func talk(t *testing.T, conn net.Conn, in *bufio.Reader, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(conn, line+"\n"); err != nil {
			t.Fatal(err)
		}
		if reply, err := in.ReadString('\n'); err != nil || reply != "did "+line+"\n" {
			t.Fatalf("the reply to %q is %q, error %v", line, reply, err)
		}
	}
}

// What was recorded is repeated by real processes: what differs is found at its byte, an unsafe message never gets to the server for
// rehearsals, and the sessions go on as if nothing had been.
func TestRehearse(t *testing.T) {
	for _, mapping := range []string{"tcp", "tls", "none"} {
		t.Run(mapping, func(t *testing.T) {
			r := startRehearsed(t, mapping, `  protocol "line" { safe = ["^GET"] }`, "odd")
			odd, even := r.dial(), r.dial()
			inOdd, inEven := bufio.NewReader(odd), bufio.NewReader(even)
			talk(t, odd, inOdd, "GET 1", "GET odd", "GET 2", "PUT 1", "GET 3")
			talk(t, even, inEven, "GET 4", "GET 5")

			report, out, status := r.rehearse()
			u := report.Users[0]
			if status != 1 || report.Works || len(u.Sessions) != 2 || u.Recorded != 2 || len(u.Kinds) != 1 {
				t.Fatalf("status %d: %s", status, out)
			}
			first, second := u.Sessions[0], u.Sessions[1]
			if first.Repeated != 3 || first.Messages != 5 || first.Different != 1 || !strings.HasPrefix(first.Stopped, "message 4 ") || second.Repeated != 2 || second.Different != 0 {
				t.Error(out)
			}
			if k := u.Kinds[0]; k.Kind != "line GET" || k.Replies != 5 || k.Same != 4 || k.Joined != 0 || k.First == nil || k.First.Offset != 8 || k.First.Message != 2 ||
				k.First.Client != `"did GET odd\n"` || k.First.Rehearsal != `"did GET pdd\n"` {
				t.Error(out)
			}
			if report, out, status := r.rehearse("-session", fmt.Sprint(second.ID)); status != 0 || !report.Works || len(report.Users[0].Sessions) != 1 {
				t.Errorf("status %d: %s", status, out)
			}
			if got := did(r.server.journal(t)); got["PUT 1"] > 0 || got["GET 3"] > 0 || got["GET odd"] != 1 || got["GET 4"] != 2 {
				t.Errorf("the server for rehearsals did %v", got)
			}
			talk(t, odd, inOdd, "PUT 2", "GET 6")
			for line, n := range did(r.elements[0].server.journal(t)) {
				if n != 1 {
					t.Errorf("the server of the clients did %q %d times", line, n)
				}
			}
			if s := r.status(); len(s.Failovers) > 0 || len(s.Sessions) != 2 {
				t.Errorf("%d sessions, failovers %+v", len(s.Sessions), s.Failovers)
			}
		})
	}
}

// A server for rehearsals that is killed in the middle of one ends that, and nothing else.
func TestRehearseKilled(t *testing.T) {
	r := startRehearsed(t, "tcp", `  protocol "line" { safe = ["^GET"] }`, "odd")
	client := r.dial()
	in := bufio.NewReader(client)
	talk(t, client, in, "GET 1", "GET 2")
	r.server.freeze(t)
	rehearsing := startProcess(t, command{name: "rehearse", args: []string{builtBinary(t), "rehearse", "test", "-json", "-timeout", "1m", "-admin", r.admin}})
	waitFor(t, "a connection to the server for rehearsals", func() bool { return r.connected(t) })
	r.server.kill()
	talk(t, client, in, "GET 3")
	if status := rehearsing.wait(t, patience); status != 1 {
		t.Errorf("status %d", status)
	}
	var report proxy.RehearsalReport
	out := rehearsing.output(t)
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Works || report.Users[0].Sessions[0].Failed == "" || strings.Contains(out, "too long") {
		t.Errorf("%v: %s", err, out)
	}
	r.startServer(t, "odd")
	if _, out, status := r.rehearse(); status != 0 {
		t.Errorf("status %d: %s", status, out)
	}
	talk(t, client, in, "PUT 4")
}

// connected reports whether somebody has a connection to the server for rehearsals.
func (r *rehearsed) connected(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	return err == nil && strings.Contains(string(text), " "+hexAddress(r.address)+" 01 ")
}

// Nobody records, and nothing is rehearsed, unless it is asked for: then the command says what to write. A pool that there is not, and a
// command that is wrong, have exit statuses of their own.
func TestRehearseIsOff(t *testing.T) {
	f := launch(t, plan{mapping: "none", servers: []string{"journal"}, protocol: `  protocol "line" { safe = ["^GET"] }`})
	client := f.dial()
	talk(t, client, bufio.NewReader(client), "GET 1")
	for _, c := range []struct {
		pool   string
		status int
		want   string
	}{{"test", 1, "rehearsal = true"}, {"other", 3, "unknown"}, {"", 2, "POOL is empty"}} {
		p := startProcess(t, command{name: "off-" + c.pool, args: []string{builtBinary(t), "rehearse", c.pool, "-admin", f.admin}})
		if status := p.wait(t, patience); status != c.status || !strings.Contains(p.output(t), c.want) {
			t.Errorf("pool %q: status %d: %s", c.pool, status, p.output(t))
		}
	}
}

// Two nginx that serve the same file differ in their Date, with which a reply that is cut is joined all the same; with another byte in the file
// it is not.
func TestRehearseNginx(t *testing.T) {
	needs(t, false, "nginx")
	f := &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t)}
	body := strings.Repeat("0123456789abcdef", 500)
	a := startFileServer(t, "a", body)
	b := startFileServer(t, "b", body)
	config := fmt.Sprintf(`admin { listen = %q }
pool "test" {
  mapping = "none"
  element "a" { address = %q }
  element "r" {
    address   = %q
    rehearsal = true
  }
}
pool_user "test" {
  listen = %q
  pool   = "test"
  protocol "http" {}
  rehearsal { sample = "100%%" }
}
`, f.admin, a.address, b.address, f.listen)
	f.user = f.run("user", config)
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	client := &http.Client{}
	get := func() {
		t.Helper()
		response, err := client.Get("http://" + f.listen + "/files/17")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if got, err := io.ReadAll(response.Body); err != nil || string(got) != body {
			t.Fatalf("%d bytes, error %v", len(got), err)
		}
	}
	get()
	get()
	a.touch(t, b)
	report, out, status := f.rehearse()
	if k := report.Users[0].Kinds; status != 0 || len(k) != 1 || k[0].Kind != "GET /files/*" || k[0].Replies != 2 || k[0].Joined != k[0].Different {
		t.Errorf("status %d: %s", status, out)
	}
	b.write(t, strings.Replace(body, "f0", "f_", 1))
	a.touch(t, b)
	report, out, status = f.rehearse()
	if k := report.Users[0].Kinds; status != 1 || k[0].Joined != 0 || !strings.Contains(k[0].First.NotJoined, "same validator") {
		t.Errorf("status %d: %s", status, out)
	}
	get()
}

// fileServer is an nginx with one file.
type fileServer struct{ address, file string }

func startFileServer(t *testing.T, name, body string) *fileServer {
	t.Helper()
	dir := logDir(t)
	s := &fileServer{address: porttest.FreeString(t), file: filepath.Join(dir, "www-"+name, "files", "17")}
	if err := os.MkdirAll(filepath.Dir(s.file), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(t, body)
	config := fmt.Sprintf(`daemon off; pid %[1]s/nginx-%[2]s.pid; error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %[1]s/tmp-%[2]s; proxy_temp_path %[1]s/tmp-%[2]s; fastcgi_temp_path %[1]s/tmp-%[2]s;
  uwsgi_temp_path %[1]s/tmp-%[2]s; scgi_temp_path %[1]s/tmp-%[2]s;
  server { listen %[3]s; root %[1]s/www-%[2]s; }
}
`, dir, name, s.address)
	if os.Geteuid() == 0 {
		config = "user root;\n" + config
	}
	path := filepath.Join(dir, "nginx-"+name+".conf")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, command{name: "nginx-" + name, args: []string{"nginx", "-p", dir, "-c", path}})
	p.waitListening(t, s.address)
	return s
}

func (s *fileServer) write(t *testing.T, body string) {
	t.Helper()
	if err := os.WriteFile(s.file, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

// touch gives the other one's file the time of this one's: nginx makes the ETag of that.
func (s *fileServer) touch(t *testing.T, other *fileServer) {
	t.Helper()
	info, err := os.Stat(s.file)
	if err == nil {
		err = os.Chtimes(other.file, info.ModTime(), info.ModTime())
	}
	if err != nil {
		t.Fatal(err)
	}
}
