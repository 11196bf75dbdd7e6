//go:build linux

package test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// knobs are what the test turns in the configurations of two running processes: that with the pool_users, and that with the pool_elements.
type knobs struct {
	listen, admin, level, safe, deadline, memory, interval, policy, sessions string
	elements                                                                 string // of the pool: the letters of those that are in it
	more                                                                     string // in the pool_users' file

	hold, buffer, beat, inElement, moreElements, elementAdmin string
	order                                                     []string // of the pool_elements
}

// turning is two processes that read their configurations again under load.
type turning struct {
	t            *testing.T
	now          knobs
	user, side   *process
	files        [2]string // of these
	servers, ats map[string]string
	steady       string // where a pool_user listens that nobody touches
	clients      []*lineClient
	stop         chan struct{}
	ended        chan error
}

const turningClients = 40

func launchTurning(t *testing.T) *turning {
	w := &turning{t: t, servers: map[string]string{}, ats: map[string]string{}, steady: porttest.FreeString(t), stop: make(chan struct{}),
		ended: make(chan error, turningClients)}
	w.now = knobs{listen: porttest.FreeString(t), admin: porttest.FreeString(t), level: "info", safe: ".", deadline: "30s", memory: "1MiB", interval: "200ms",
		policy: "round_robin", sessions: "1000", elements: "ab", hold: "30s", buffer: "1MiB", beat: "200ms", elementAdmin: porttest.FreeString(t),
		order: []string{"a", "b", "c"}}
	for _, name := range w.now.order {
		w.servers[name], w.ats[name] = porttest.FreeString(t), porttest.FreeString(t)
		startProcess(t, command{name: "server-" + name, role: "line", args: []string{"-listen", w.servers[name]}}).waitListening(t, w.servers[name])
	}
	for i := range w.files {
		w.files[i] = filepath.Join(logDir(t), []string{"user.hcl", "side.hcl"}[i])
	}
	w.write()
	start := func(name, file, at string) *process {
		p := startProcess(t, command{name: name, args: []string{builtBinary(t), "run", "-config", file}})
		p.waitListening(t, at)
		return p
	}
	w.side = start("side", w.files[1], w.now.elementAdmin)
	w.user = start("user", w.files[0], w.now.admin)
	return w
}

// write writes both files.
func (w *turning) write() {
	w.t.Helper()
	k := w.now
	var in, elements strings.Builder
	for _, name := range strings.Split(k.elements, "") {
		fmt.Fprintf(&in, "  element %q { address = %q }\n", name, w.ats[name])
	}
	user := `pool_user %q {
  listen = %q
  pool   = "test"
  protocol "line" { safe = [%q] }
  heartbeat {
    interval = %q
    misses   = 10
  }
  retrieval { memory = %q }
  failover {
    replay   = "unacked"
    deadline = %q
  }
}
`
	texts := [2]string{fmt.Sprintf("log { level = %q }\nadmin { listen = %q }\nlimits { sessions = %s }\npool \"test\" {\n  policy = %q\n%s}\n",
		k.level, k.admin, k.sessions, k.policy, &in)}
	texts[0] += fmt.Sprintf(user, "test", k.listen, k.safe, k.interval, k.memory, k.deadline) +
		fmt.Sprintf(user, "steady", w.steady, ".", "200ms", "1MiB", "30s") + k.more
	for _, name := range k.order {
		fmt.Fprintf(&elements, "pool_element %q {\n  listen = %q\n  server = %q\n  hold = %q\n  retrieval { memory = %q }\n  heartbeat {\n    interval = %q\n    misses = 10\n  }\n%s}\n",
			name, w.ats[name], w.servers[name], k.hold, k.buffer, k.beat, k.inElement)
	}
	texts[1] = fmt.Sprintf("admin { listen = %q }\n", k.elementAdmin) + elements.String() + k.moreElements
	for i, text := range texts {
		other := w.files[i] + ".new" // as an operator should: a process must not read half of it
		if err := errors.Join(os.WriteFile(other, []byte(text), 0o644), os.Rename(other, w.files[i])); err != nil {
			w.t.Fatal(err)
		}
	}
}

// reload asks both processes, at the addresses that they have now, to read their files, and returns the exit statuses and what was said.
func (w *turning) reload(user, side string) (status [2]int, said string) {
	w.t.Helper()
	for i, at := range []string{user, side} {
		cmd := exec.Command(builtBinary(w.t), "reload", "-admin", at)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			w.t.Fatal(err)
		}
		status[i] = cmd.ProcessState.ExitCode()
		said += string(out)
	}
	return status, said
}

// serves checks that a new client is served at an address.
func (w *turning) serves(at string) {
	w.t.Helper()
	conn, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := question(conn, bufio.NewReader(conn), 1); err != nil {
		w.t.Fatal(err)
	}
}

// load begins the clients: each has one connection for the whole test.
func (w *turning) load() {
	w.t.Helper()
	for i := range turningClients {
		at := []string{w.now.listen, w.steady}[i%2]
		conn, err := net.DialTimeout("tcp", at, patience)
		if err != nil {
			w.t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
		c := &lineClient{number: i, conn: conn.(*net.TCPConn), killed: &atomic.Bool{}}
		w.clients = append(w.clients, c)
		go func() { w.ended <- c.run(w.stop) }()
	}
	w.t.Cleanup(func() {
		for _, c := range w.clients {
			c.conn.Close()
		}
	})
}

// goOn waits until every client has had more replies.
func (w *turning) goOn() {
	w.t.Helper()
	for _, c := range w.clients {
		n := c.done.Load()
		waitFor(w.t, fmt.Sprintf("client %d to get further replies", c.number), func() bool {
			select {
			case err := <-w.ended:
				w.t.Fatal(err)
			default:
			}
			return c.done.Load() > n+1
		})
	}
}

// turn is one change of the configuration.
type turn struct {
	what   string
	change func(w *turning, k *knobs)
	says   string // what poolproxy reload tells; of a refused one, why
	bad    bool
}

func turns(t *testing.T) []turn {
	t.Helper()
	set := func(what, says string, change func(k *knobs)) turn {
		return turn{what: what, says: says, change: func(_ *turning, k *knobs) { change(k) }}
	}
	bad := func(what, says string, change func(w *turning, k *knobs)) turn {
		return turn{what: what, says: says, change: change, bad: true}
	}
	held, err := net.Listen("tcp", "127.0.0.1:0") // by somebody else
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	block := `pool "two" {
  element "x" { address = "127.0.0.1:9" }
}
pool_user "two" {
  listen = %q
  pool   = "two"
  protocol "stream" {}
}
`
	two, three, admin, elementAdmin := fmt.Sprintf(block, porttest.FreeString(t)), porttest.FreeString(t), porttest.FreeString(t), porttest.FreeString(t)
	return []turn{
		set("an element more", `pool "test" elements: added c`, func(k *knobs) { k.elements = "abc" }),
		set("protocol", `pool_user "test" protocol changed`, func(k *knobs) { k.safe = "^[0-9]" }),
		set("failover", `failover.deadline changed from 30s to 40s`, func(k *knobs) { k.deadline = "40s" }),
		set("heartbeat of a pool_user", `heartbeat.interval changed from 200ms to 300ms`, func(k *knobs) { k.interval = "300ms" }),
		set("retrieval", `retrieval.memory changed from 1048576 to 2097152`, func(k *knobs) { k.memory = "2MiB" }),
		set("limits", `limits.sessions changed from 1000 to 500`, func(k *knobs) { k.sessions = "500" }),
		set("policy", `policy changed from round_robin to random`, func(k *knobs) { k.policy = "random" }),
		set("log level", `log.level changed from "info" to "debug"`, func(k *knobs) { k.level = "debug" }),
		set("hold of pool_elements", `hold changed from 30s to 20s`, func(k *knobs) { k.hold = "20s" }),
		set("buffers of pool_elements, less", `retrieval.memory changed from 1048576 to 65536`, func(k *knobs) { k.buffer = "64KiB" }),
		set("heartbeat of pool_elements", `heartbeat.interval changed from 200ms to 250ms`, func(k *knobs) { k.beat = "250ms" }),
		set("a health check", `health_check changed from none to given`, func(k *knobs) {
			k.inElement = "  health_check {\n    connect  = \"127.0.0.1:1\"\n    interval = \"1h\"\n  }\n"
		}),
		bad("a syntax error", `Argument or block definition required`, func(_ *turning, k *knobs) { k.more = "}\n"; k.moreElements = "}\n" }),
		set("no health check", `health_check changed from given to none`, func(k *knobs) { k.inElement = "" }),
		bad("an address that is taken", held.Addr().String(), func(_ *turning, k *knobs) {
			k.listen, k.safe, k.moreElements = held.Addr().String(), "^x", fmt.Sprintf("pool_element \"z\" {\n listen = %q\n server = \"127.0.0.1:1\"\n}\n", held.Addr())
		}),
		set("where clients connect", `listen changed from`, func(k *knobs) { k.listen = porttest.FreeString(t) }),
		bad("a file that is missing", "no such file", func(_ *turning, k *knobs) {
			tls := "  tls {\n    cert = \"/nowhere/c\"\n    key = \"/nowhere/k\"\n    ca = \"/nowhere/a\"\n    allow = [\"x\"]\n  }\n"
			k.inElement, k.more = tls, `pool "secret" {`+"\n"+tls+"element \"x\" { address = \"127.0.0.1:9\" }\n}\n"
		}),
		set("a pool and a pool_user more", `pool_user "two" is new`, func(k *knobs) { k.more = two }),
		set("a pool_element more", `pool_element "d" is new`, func(k *knobs) {
			k.moreElements = fmt.Sprintf("pool_element \"d\" {\n listen = %q\n server = \"127.0.0.1:9\"\n}\n", three)
		}),
		set("they are gone", `pool_user "two" is gone`, func(k *knobs) { k.more, k.moreElements = "", "" }),
		set("the admin API elsewhere", `admin.listen changed from`, func(k *knobs) { k.admin, k.elementAdmin = admin, elementAdmin }),
		bad("the admin API where it cannot be", held.Addr().String(), func(_ *turning, k *knobs) { k.admin, k.elementAdmin = held.Addr().String(), held.Addr().String() }),
		set("answers over DNS", `dns.listen changed from none to`, func(k *knobs) { k.more = "dns { listen = \"127.0.0.1:0\" }\n" }),
		set("their time to live", `dns.ttl changed from`, func(k *knobs) { k.more = "dns {\n listen = \"127.0.0.1:0\"\n ttl = \"3s\"\n}\n" }),
		set("statsd", `metrics.statsd changed from none to`, func(k *knobs) { k.more = "metrics { statsd = \"127.0.0.1:9\" }\n" }),
		set("an element less", `pool "test" elements: gone b`, func(k *knobs) { k.elements = "ac" }),
		set("all at once", `policy changed from random to round_robin`, func(k *knobs) {
			k.safe, k.deadline, k.interval, k.memory, k.policy, k.level, k.elements, k.more = ".", "30s", "200ms", "1MiB", "round_robin", "info", "ab", ""
			k.hold, k.buffer, k.beat = "30s", "1MiB", "200ms"
		}),
		set("nothing", `the configuration is as it was`, func(*knobs) {}),
	}
}

// turn makes one change, and says how many times a process has read its configuration.
func (w *turning) turn(x turn) (reloads int) {
	t, before := w.t, w.now
	t.Helper()
	x.change(w, &w.now)
	w.write()
	status, said := w.reload(before.admin, before.elementAdmin)
	if !strings.Contains(said, x.says) {
		t.Fatalf("%s: %q is not said: %v\n%s", x.what, x.says, status, said)
	}
	if x.bad != (status != [2]int{}) || x.bad && status != [2]int{11, 11} {
		t.Fatalf("%s: exit statuses %v\n%s", x.what, status, said)
	}
	if x.bad {
		w.now = before
	}
	w.serves(w.now.listen)
	w.serves(w.steady)
	w.goOn()
	if !x.bad {
		return 2
	}
	w.write() // the files are as they were: there is nothing to be changed
	if status, said := w.reload(w.now.admin, w.now.elementAdmin); status != [2]int{} || strings.Count(said, "as it was") != 2 {
		t.Fatalf("behind %s: %v\n%s", x.what, status, said)
	}
	return 4
}

// Issue 7, reload: whatever can be changed is changed while 40 clients are at work, each over one connection; none of them notices. What cannot
// be had leaves everything as it was.
func TestReloadEverything(t *testing.T) {
	w := launchTurning(t)
	w.load()
	w.goOn()
	reloads := 0
	for _, x := range turns(t) {
		reloads += w.turn(x)
	}
	w.goOn()
	close(w.stop)
	for range w.clients {
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
	}
	f := &fleet{t: t, admin: w.now.admin}
	if ended := f.recorded("ended"); len(ended) > 0 {
		t.Errorf("%+v", ended)
	}
	waitFor(t, "what has begun by earlier configurations to end", func() bool {
		s := f.status()
		return len(s.Users) == 2 && len(s.Sessions) == 0 && !s.Users[0].Leaving && !s.Users[1].Leaving && len(s.Associations) <= 8
	})
	t.Logf("%d reloads", reloads)
}
