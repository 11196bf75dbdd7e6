//go:build linux

package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// place is a server, and the sidecar in front of it if the mapping has one.
type place struct {
	name    string
	server  *process
	sidecar *process // nil: mapping none
	at      string   // where pool users reach it
	serves  string   // where the server listens
	facts   string
	room    string // its max_sessions, as the configuration has it
}

// shape says what a world is like.
type shape struct {
	mapping  string // tcp or none
	elements int
	server   []string // arguments of the servers
	user     string   // more of the pool_user
	policy   string   // of the pool
	element  string   // more of each pool_element
	pool     string   // more of the pool
	room     []int    // max_sessions of each pool_element; nil: none is said
	limits   string
	shards   int
	users    int // pool_users' sidecars; 0: one
	files    int // how many descriptors the pool_users may have; 0: as many as the test
}

// world is one pool, with pool_users before it.
type world struct {
	t      *testing.T
	shape  shape
	places []*place
	users  []*entry
}

// entry is a pool_user's sidecar.
type entry struct {
	*process
	listen string
	admin  string
}

func newWorld(t *testing.T, s shape) *world {
	t.Helper()
	if s.limits == "" {
		s.limits = "sessions = 40000"
	}
	s.limits += fmt.Sprintf("\nshards = %d", max(s.shards, 1))
	w := &world{t: t, shape: s}
	for i := range s.elements {
		p := &place{name: fmt.Sprint("e", i+1), serves: freeAddress(t)}
		p.facts = filepath.Join(logDir(t), p.name+".facts")
		if p.at = p.serves; s.mapping != "none" {
			p.at = freeAddress(t)
		}
		if i < len(s.room) {
			p.room = fmt.Sprint("max_sessions = ", s.room[i])
		}
		w.begin(p)
		w.places = append(w.places, p)
	}
	for range max(s.users, 1) {
		w.startUser()
	}
	return w
}

// begin starts the server and its sidecar.
func (w *world) begin(p *place) {
	p.server = start(w.t, "server-"+p.name, "server", append([]string{"-listen", p.serves, "-name", p.name, "-facts", p.facts}, w.shape.server...)...)
	w.listens(p.server, p.serves)
	if w.shape.mapping == "none" {
		return
	}
	config := fmt.Sprintf(`
admin { listen = "off" }
limits {
  %s
}
pool_element %q {
  listen = %q
  server = %q
  %s
  %s
}
`, w.shape.limits, p.name, p.at, p.serves, w.shape.element, p.room)
	p.sidecar = w.proxy("element-"+p.name, 0, config)
	w.listens(p.sidecar, p.at)
}

func (w *world) startUser() {
	elements := ""
	for i, p := range w.places {
		more := ""
		if w.shape.policy == "priority" {
			more = fmt.Sprintf("priority = %d", len(w.places)-i)
		}
		elements += fmt.Sprintf("  element %q {\n    address = %q\n    %s\n  }\n", p.name, p.at, more)
	}
	u := &entry{listen: freeAddress(w.t), admin: freeAddress(w.t)}
	u.process = w.proxy(fmt.Sprint("user", len(w.users)+1), w.shape.files, fmt.Sprintf(`
admin { listen = %q }
limits {
  %s
}
pool "p" {
  mapping = %q
  policy  = %q
  %s
%s}
pool_user "u" {
  listen = %q
  pool   = "p"
  protocol "line" {
    safe  = ["^GET "]
    abort = "ERR nobody is there\n"
  }
  %s
}
`, u.admin, w.shape.limits, w.shape.mapping, cmp.Or(w.shape.policy, "round_robin"), w.shape.pool, elements, u.listen, w.shape.user))
	w.listens(u.process, u.listen)
	w.users = append(w.users, u)
}

// proxy starts a sidecar that may have so many descriptors; 0: as many as the test.
func (w *world) proxy(name string, files int, config string) *process {
	w.t.Helper()
	path := filepath.Join(logDir(w.t), name+".hcl")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		w.t.Fatal(err)
	}
	args := []string{builtBinary(w.t), "run", "-config", path}
	if files > 0 {
		args = append([]string{"prlimit", fmt.Sprintf("--nofile=%d:%d", files, files)}, args...)
	}
	return start(w.t, name, "", args...)
}

// listens waits until somebody listens at the address, without connecting.
func (w *world) listens(p *process, address string) {
	w.t.Helper()
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	want := fmt.Sprintf(" 0100007F:%04X 00000000:0000 0A ", n)
	waitFor(w.t, p.name+" to listen on "+address, func() bool {
		select {
		case <-p.gone:
			w.t.Fatalf("%s has ended: %s", p.name, p.cmd.ProcessState)
		default:
		}
		text, err := os.ReadFile("/proc/net/tcp")
		return err == nil && strings.Contains(string(text), want)
	})
}

// doors are where clients come in.
func (w *world) doors() (all []string) {
	for _, u := range w.users {
		all = append(all, u.listen)
	}
	return all
}

// die kills the server and its sidecar, as if their host had.
func (p *place) die() {
	p.server.kill()
	if p.sidecar != nil {
		p.sidecar.kill()
	}
}

// told is what the server has last told of itself.
func (p *place) told(t *testing.T) (f serverFacts) {
	t.Helper()
	text, err := os.ReadFile(p.facts)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// metric is the value of a metric of the pool user's sidecar, by its name and the beginning of its labels as the page has them.
func (u *entry) metric(t *testing.T, name string) float64 {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second}
	res, err := client.Get("http://" + u.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name) {
			f := strings.Fields(line)
			v, _ := strconv.ParseFloat(f[len(f)-1], 64)
			sum += v
		}
	}
	return sum
}

// kernel is a counter of this namespace's TCP: ListenOverflows, ListenDrops (netstat(8) -s has them in words).
func kernel(t *testing.T, name string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/net/netstat")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for k, n := range names {
			if n == name && k < len(values) {
				v, _ := strconv.ParseInt(values[k], 10, 64)
				return v
			}
		}
	}
	t.Fatalf("the kernel does not count %s", name)
	return 0
}
