//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/proxy"
)

// plan is what a test wants to run: a pool_user sidecar, and elements behind it.
type plan struct {
	mapping  string   // tcp or none
	protocol string   // the protocol block, HCL
	pool     string   // more settings of the pool, HCL
	failover string   // the settings in the failover block, HCL
	servers  []string // for each element, the role of its server and the role's arguments: "line", "deliver -differ 1000"
	checks   string   // a health_check of each pool_element, HCL; NAME stands for the element's name, PARTNER for the address of the next one but one
	admins   bool     // each sidecar has an admin API, and the servers are told where (-admin)

	// between, when not nil, is told the address of each element and returns the one that the pool is to name: a place to stand
	// between the sidecars.
	between func(address string) string
}

// fleet is a plan that runs.
type fleet struct {
	t        *testing.T
	plan     plan
	listen   string // for clients
	admin    string // of the pool_user sidecar
	user     *process
	elements []*element

	rehearsals int // for the names of logs
}

// element is one pool element of a fleet.
type element struct {
	name            string
	listen, address string // of the sidecar, of the server; listen is empty over mapping none
	admin           string // of the sidecar before the server; empty: there is none
	sidecar, server *process
	starts          int // of the server, for the names of logs
}

// launch starts servers and sidecars and returns when all listen.
func launch(t *testing.T, p plan) *fleet {
	t.Helper()
	f := &fleet{t: t, plan: p, listen: porttest.FreeString(t), admin: porttest.FreeString(t)}
	for i := range p.servers {
		e := &element{name: string(rune('a' + i)), address: porttest.FreeString(t)}
		f.elements = append(f.elements, e)
		if p.mapping != "none" {
			e.listen = porttest.FreeString(t)
		}
		switch {
		case !p.admins:
		case p.mapping == "none":
			e.admin = f.admin
		default:
			e.admin = porttest.FreeString(t)
		}
	}
	for i := range p.servers {
		f.startServer(i)
		if p.mapping != "none" {
			f.startSidecar(i)
		}
	}
	f.user = f.run("user", f.userConfig())
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	return f
}

// startServer starts the server of element i, also again after it was killed. Its log is a new one each time.
func (f *fleet) startServer(i int) {
	f.t.Helper()
	e := f.elements[i]
	e.starts++
	words := strings.Fields(f.plan.servers[i])
	name := fmt.Sprintf("server-%s-%d", e.name, e.starts)
	args := []string{"-listen", e.address}
	if e.admin != "" && words[0] == "tally" {
		args = append(args, "-admin", e.admin)
	}
	e.server = startProcess(f.t, command{name: name, role: words[0], args: append(args, words[1:]...)})
	e.server.waitListening(f.t, e.address)
}

// startSidecar starts the pool_element sidecar of element i, also again after it was killed.
func (f *fleet) startSidecar(i int) {
	f.t.Helper()
	e := f.elements[i]
	more := strings.NewReplacer("NAME", e.name, "PARTNER", f.elements[f.partner(i)].listen).Replace(f.plan.checks)
	config := elementConfig(e.name, e.listen, e.address, more)
	if e.admin != "" {
		config = strings.Replace(config, `listen = "off"`, fmt.Sprintf("listen = %q", e.admin), 1)
	}
	e.sidecar = f.run("element-"+e.name, config)
	e.sidecar.waitListening(f.t, e.listen)
	if e.admin != "" {
		e.sidecar.waitListening(f.t, e.admin)
	}
}

// partner is the element behind the next one: not where round robin would go.
func (f *fleet) partner(i int) int { return (i + 2) % len(f.elements) }

// run starts poolproxy with a configuration.
func (f *fleet) run(name, config string) *process {
	f.t.Helper()
	return startProcess(f.t, command{name: name, args: []string{builtBinary(f.t), "run", "-config", writeConfig(f.t, name, config)}})
}

// writeConfig puts a configuration beside the logs.
func writeConfig(t *testing.T, name, config string) string {
	t.Helper()
	if n := os.Getenv(shardsVariable); n != "" {
		config += "\nlimits { shards = " + n + " }\n"
	}
	path := filepath.Join(logDir(t), name+".hcl")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// userConfig is the pool_user side.
func (f *fleet) userConfig() string {
	var addresses []string
	for _, e := range f.elements {
		at := e.listen
		if f.plan.mapping == "none" {
			at = e.address
		}
		if f.plan.between != nil {
			at = f.plan.between(at)
		}
		addresses = append(addresses, at)
	}
	return userConfig(f.listen, f.admin, f.plan, addresses)
}

// quickHeartbeat gives a silent peer up after 2.5 s: a sidecar to which a loaded machine gives no processor for a second is none.
const quickHeartbeat = `  heartbeat {
    interval = "500ms"
    misses   = 4
  }
`

// userConfig is the configuration of a pool_user before elements a, b, … at the addresses.
func userConfig(listen, admin string, p plan, addresses []string) string {
	var elements strings.Builder
	for i, a := range addresses {
		fmt.Fprintf(&elements, "  element \"%c\" { address = %q }\n", 'a'+i, a)
	}
	heartbeat := quickHeartbeat
	if p.mapping == "none" {
		heartbeat = ""
	}
	return fmt.Sprintf(`log { level = "debug" }
admin { listen = %q }

pool "test" {
  policy  = "round_robin"
  mapping = %q
%s%s}

pool_user "test" {
  listen = %q
  pool   = "test"
%s
%s  failover {
%s
  }
}
`, admin, p.mapping, p.pool, &elements, listen, p.protocol, heartbeat, p.failover)
}

// elementConfig is the configuration of a pool_element, with more blocks in it.
func elementConfig(name, listen, server, more string) string {
	return fmt.Sprintf(`log { level = "debug" }
admin { listen = "off" }

pool_element %q {
  listen  = %q
  server  = %q
  mapping = "tcp"
%s%s}
`, name, listen, server, quickHeartbeat, more)
}

// dial connects a client. The connection is closed when the test ends.
func (f *fleet) dial() *net.TCPConn {
	f.t.Helper()
	conn, err := net.DialTimeout("tcp", f.listen, patience)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		f.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// status asks the pool_user sidecar.
func (f *fleet) status() proxy.Status {
	f.t.Helper()
	client := http.Client{Timeout: patience}
	response, err := client.Get("http://" + f.admin + "/v1/status")
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	var s proxy.Status
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// serving waits until an element serves the one session that there is, and returns its index.
func (f *fleet) serving() int {
	f.t.Helper()
	found := -1
	waitFor(f.t, "an element to serve the session", func() bool {
		for _, s := range f.status().Sessions {
			for i, e := range f.elements {
				if s.State == "open" && s.Element == e.name {
					found = i
				}
			}
		}
		return found >= 0
	})
	return found
}

// records waits for n records of a kind and returns all of that kind.
func (f *fleet) records(kind string, n int) []proxy.Record {
	f.t.Helper()
	var found []proxy.Record
	waitFor(f.t, fmt.Sprintf("%d records of kind %s", n, kind), func() bool {
		found = f.recorded(kind)
		return len(found) >= n
	})
	return found
}

// recorded returns the records of a kind that there are now.
func (f *fleet) recorded(kind string) []proxy.Record {
	f.t.Helper()
	var found []proxy.Record
	for _, r := range f.status().Failovers {
		if r.Kind == kind {
			found = append(found, r)
		}
	}
	return found
}

// sessionsEnd waits until no session is left in the pool_user sidecar.
func (f *fleet) sessionsEnd() {
	f.t.Helper()
	waitFor(f.t, "all sessions to end", func() bool { return len(f.status().Sessions) == 0 })
}
