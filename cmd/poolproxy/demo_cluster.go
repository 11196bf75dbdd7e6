package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// demoCluster is what the demo runs: two servers, a pool_element sidecar before each, and one pool_user sidecar. It is used by
// one goroutine, the one that started the processes.
type demoCluster struct {
	dir    string
	binary string

	listen string // where the client connects
	admin  string // of the pool_user sidecar
	chaos  bool   // the sidecars may be disturbed by poolproxy chaos

	user     *demoProcess
	elements []*demoElement

	failovers int // records seen
	lastLook  time.Time
	lastName  string
}

// demoElement is one pool element: a server and its sidecar.
type demoElement struct {
	name            string
	listen, address string // of the sidecar, of the server
	admin           string // of the sidecar; "off"
	chaos           bool
	sidecar, server *demoProcess
}

// newDemoCluster finds this binary, a place for the files, and free ports. chaos says that the sidecars may be disturbed.
func newDemoCluster(chaos bool) (*demoCluster, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program's own file: %w", err)
	}
	dir, err := os.MkdirTemp("", "poolproxy-demo-")
	if err != nil {
		return nil, err
	}
	ports, err := freeAddresses(8)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c := &demoCluster{dir: dir, binary: binary, listen: ports[0], admin: ports[1], chaos: chaos}
	for i, name := range []string{"a", "b"} {
		e := &demoElement{name: name, listen: ports[2+2*i], address: ports[3+2*i], admin: "off", chaos: chaos}
		if chaos {
			e.admin = ports[6+i]
		}
		c.elements = append(c.elements, e)
	}
	return c, nil
}

// freeAddresses picks loopback addresses that nobody listens on, below the ports that the kernel gives to clients: so a
// process that is killed and started again finds its port free.
func freeAddresses(n int) ([]string, error) {
	var found []string
	var last error
	for port := 21000 + os.Getpid()%8000; port < 32000 && len(found) < n; port++ {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", address)
		if err != nil {
			last = err
			continue
		}
		l.Close()
		found = append(found, address)
	}
	if len(found) < n {
		return nil, fmt.Errorf("no %d free ports on 127.0.0.1 below 32000: %w", n, last)
	}
	return found, nil
}

// start starts everything and returns when each part answers.
func (c *demoCluster) start(ctx context.Context) error {
	for _, e := range c.elements {
		e.server = c.process("server "+e.name, "demo-server", "-listen", e.address)
		file, err := c.write("element-"+e.name+".hcl", e.config())
		if err != nil {
			return err
		}
		e.sidecar = c.process("pool_element "+e.name, "run", "-config", file)
	}
	file, err := c.write("user.hcl", c.config())
	if err != nil {
		return err
	}
	c.user = c.process("pool_user", "run", "-config", file)
	for _, p := range c.processes() {
		if err := p.start(); err != nil {
			return err
		}
	}
	if err := c.waitReady(ctx); err != nil {
		return errors.Join(err, c.complaints())
	}
	return nil
}

// waitReady returns when everything answers. The pool_user sidecar is asked for its status: a connection to its listening
// address would be a session.
func (c *demoCluster) waitReady(ctx context.Context) error {
	for _, e := range c.elements {
		for _, address := range []string{e.address, e.listen} {
			if err := answering(ctx, address); err != nil {
				return err
			}
		}
	}
	if err := answering(ctx, c.admin); err != nil {
		return err
	}
	for {
		status, err := c.status(ctx)
		if err != nil || len(status.Users) > 0 {
			return err
		}
		if err := pause(ctx, "the pool_user sidecar does not serve"); err != nil {
			return err
		}
	}
}

// process describes one process of this same binary.
func (c *demoCluster) process(name string, args ...string) *demoProcess {
	log := filepath.Join(c.dir, strings.ReplaceAll(name, " ", "-")+".log")
	return &demoProcess{name: name, binary: c.binary, args: args, log: log}
}

// processes lists everything in the order of starting.
func (c *demoCluster) processes() []*demoProcess {
	var all []*demoProcess
	for _, e := range c.elements {
		all = append(all, e.server, e.sidecar)
	}
	return append(all, c.user)
}

// write puts a configuration into the demo's folder and returns its path.
func (c *demoCluster) write(name, text string) (string, error) {
	path := filepath.Join(c.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// config is the pool_user side: what a real user would write, with short heartbeats.
func (c *demoCluster) config() string {
	return fmt.Sprintf(`log { level = "info" }
admin { listen = %q }

pool "demo" {
  policy  = "round_robin"
  mapping = "tcp"
  chaos   = %t
  element "a" { address = %q }
  element "b" { address = %q }
}

pool_user "demo" {
  listen = %q
  pool   = "demo"
  protocol "http" {}
  heartbeat {
    interval = "250ms"
    misses   = 3
  }
  failover {
    replay   = "unacked"
    ack      = "reply"
    resume   = "2s"
    deadline = "20s"
    attempts = 5
  }
}
`, c.admin, c.chaos, c.elements[0].listen, c.elements[1].listen, c.listen)
}

// config is the pool_element side.
func (e *demoElement) config() string {
	return fmt.Sprintf(`log { level = "info" }
admin { listen = %q }

pool_element %q {
  listen  = %q
  server  = %q
  mapping = "tcp"
  chaos   = %t
}
`, e.admin, e.name, e.listen, e.address, e.chaos)
}

// status asks the pool_user sidecar.
func (c *demoCluster) status(ctx context.Context) (proxy.Status, error) {
	var status proxy.Status
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+"/v1/status", nil)
	if err != nil {
		return status, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return status, fmt.Errorf("asking the pool_user sidecar for its status: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return status, fmt.Errorf("the status of the pool_user sidecar: %s", response.Status)
	}
	return status, json.NewDecoder(response.Body).Decode(&status)
}

// serving names the element that serves the client, "" when there is none at the moment. It asks anew a few times a second.
func (c *demoCluster) serving(ctx context.Context) string {
	if time.Since(c.lastLook) < 250*time.Millisecond {
		return c.lastName
	}
	c.lastLook = time.Now()
	if e, _ := c.servingNow(ctx); e != nil {
		c.lastName = e.name
	}
	return c.lastName
}

// servingNow finds the element of the one open session.
func (c *demoCluster) servingNow(ctx context.Context) (*demoElement, error) {
	status, err := c.status(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range status.Sessions {
		for _, e := range c.elements {
			if s.State == "open" && s.Element == e.name {
				return e, nil
			}
		}
	}
	return nil, nil
}

// complaints collects the last lines that the processes wrote, for when something went wrong.
func (c *demoCluster) complaints() error {
	var errs []error
	for _, p := range c.processes() {
		if p != nil {
			errs = append(errs, p.lastWords())
		}
	}
	return errors.Join(errs...)
}

// close ends every process and removes the files.
func (c *demoCluster) close() {
	for _, p := range c.processes() {
		if p != nil {
			p.kill()
		}
	}
	os.RemoveAll(c.dir) // what is left in a temporary folder does no harm
}
