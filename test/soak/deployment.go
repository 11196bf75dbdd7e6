//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// deployment is everything that runs: three hosts, which are loopback addresses, and the pool_user.
type deployment struct {
	o     options
	kinds []kind
	hosts []*host
	user  *process
	admin string // of the pool_user
}

// host is one sidecar with the servers behind it. The last one's sidecar is never killed.
type host struct {
	name    string
	at      string // its loopback address
	path    string // where the pool_user finds it: the near end of the cable
	cable   *cable
	sidecar *process
	servers []*process // one a kind, in their order
	admin   string     // "": it has none
}

// The ports of every address.
const (
	firstServer  = 8001
	firstElement = 7001
	firstClient  = 5001
	adminPort    = 7878
)

// base makes loopback addresses that no other run of the machine has.
func base(n int) string {
	return fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()/250%128, os.Getpid()%250, n)
}

func at(address string, port int) string { return fmt.Sprintf("%s:%d", address, port) }

// deploy starts everything and waits until it serves.
func deploy(o options) (d *deployment, err error) {
	logs := filepath.Join(o.out, "logs")
	if err := errors.Join(os.RemoveAll(logs), os.MkdirAll(logs, 0o755)); err != nil {
		return nil, err
	}
	if o.binary == "" {
		if o.binary, err = build(o.out); err != nil {
			return nil, err
		}
	}
	d = &deployment{o: o, admin: at(base(1), adminPort), kinds: kindsThatThereAre(o.log)}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	for i, name := range []string{"a", "b", "c"} {
		if err := d.addHost(logs, name, 10*(i+1), i == 2); err != nil {
			return d, err
		}
	}
	config := filepath.Join(logs, "user.hcl")
	if err := os.WriteFile(config, []byte(d.userConfig()), 0o644); err != nil {
		return d, err
	}
	d.user = newProcess(logs, "user", o.binary, "run", "-config", config)
	if err := d.user.start(); err != nil {
		return d, err
	}
	return d, d.user.listening(d.admin)
}

func build(out string) (string, error) {
	path, err := filepath.Abs(filepath.Join(out, "poolproxy"))
	if err != nil {
		return "", err
	}
	text, err := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/poolproxy/poolproxy/cmd/poolproxy").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building poolproxy: %w\n%s", err, text)
	}
	return path, nil
}

// addHost starts the servers and the sidecar of a host, and its cable.
func (d *deployment) addHost(logs, name string, number int, measured bool) error {
	h := &host{name: name, at: base(number + 1), path: base(number + 2), cable: newCable()}
	if measured {
		h.admin = at(h.at, adminPort)
	}
	d.hosts = append(d.hosts, h)
	for i, k := range d.kinds {
		address := at(h.at, firstServer+i)
		args, err := k.server(d, h.name, address)
		if err != nil {
			return err
		}
		s := newProcess(logs, fmt.Sprintf("server-%s-%s", k.name, name), args...)
		h.servers = append(h.servers, s)
		if err := errors.Join(s.start(), s.listening(address)); err != nil {
			return err
		}
		if k.load != nil {
			if err := k.load(address); err != nil {
				return err
			}
		}
		h.cable.carry(at(h.path, firstElement+i), at(h.at, firstElement+i))
	}
	config := filepath.Join(logs, "element-"+name+".hcl")
	if err := os.WriteFile(config, []byte(d.elementConfig(h)), 0o644); err != nil {
		return err
	}
	h.sidecar = newProcess(logs, "element-"+name, d.o.binary, "run", "-config", config)
	return d.startSidecar(h)
}

// startSidecar starts it, and lets it be reached.
func (d *deployment) startSidecar(h *host) error {
	if err := h.sidecar.start(); err != nil {
		return err
	}
	for i := range d.kinds {
		if err := h.sidecar.listening(at(h.at, firstElement+i)); err != nil {
			return err
		}
	}
	return h.cable.listen()
}

// elementConfig is the configuration of a host's sidecar.
func (d *deployment) elementConfig(h *host) string {
	var out strings.Builder
	admin := "off"
	if h.admin != "" {
		admin = h.admin
	}
	fmt.Fprintf(&out, "admin { listen = %q }\n", admin)
	for i, k := range d.kinds {
		fmt.Fprintf(&out, "pool_element \"%s-%s\" {\n  listen  = %q\n  server  = %q\n  mapping = \"tcp\"\n}\n",
			k.name, h.name, at(h.at, firstElement+i), at(h.at, firstServer+i))
	}
	return out.String()
}

// userConfig is the configuration of the pool_user: everything that is not given is as by default.
func (d *deployment) userConfig() string {
	var out strings.Builder
	fmt.Fprintf(&out, "admin { listen = %q }\n", d.admin)
	for i, k := range d.kinds {
		fmt.Fprintf(&out, "pool %q {\n  policy  = \"round_robin\"\n  mapping = \"tcp\"\n", k.name)
		for _, h := range d.hosts {
			fmt.Fprintf(&out, "  element %q { address = %q }\n", h.name, at(h.path, firstElement+i))
		}
		fmt.Fprintf(&out, "}\npool_user %q {\n  listen = %q\n  pool   = %q\n%s}\n", k.name, d.client(i), k.name, k.config)
	}
	return out.String()
}

// client is where the sessions of a kind connect to.
func (d *deployment) client(kind int) string { return at(base(1), firstClient+kind) }

// heal has everything alive again.
func (d *deployment) heal() {
	for _, h := range d.hosts {
		for i, s := range h.servers {
			if !s.lives() {
				d.o.log("%v", errors.Join(s.start(), s.listening(at(h.at, firstServer+i))))
			}
		}
	}
}

// close kills everything.
func (d *deployment) close() {
	if d.user != nil {
		d.user.kill()
	}
	for _, h := range d.hosts {
		if h.sidecar != nil {
			h.sidecar.kill()
		}
		for _, s := range h.servers {
			s.kill()
		}
		h.cable.close()
	}
}

// listening waits until somebody accepts connections at the address.
func (p *process) listening(address string) error {
	for limit := time.Now().Add(time.Minute); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return nil
		}
		if !p.lives() {
			return fmt.Errorf("%s has ended; see %s", p.name, p.log)
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%s does not listen: %w; see %s", p.name, err, p.log)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// serverRole is the first argument of this program as a server.
const serverRole = "serve"

// serveRole is a server of the workload, until it is killed.
func serveRole(args []string) error {
	flags := flag.NewFlagSet(serverRole, flag.ContinueOnError)
	kind := flags.String("kind", "", "of workload")
	listen := flags.String("listen", "", "address")
	journal := flags.String("journal", "", "file")
	name := flags.String("name", "", "of the server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	j, err := workload.OpenJournal(*journal, *name, workload.Kind(*kind))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	return (&workload.Server{Kind: workload.Kind(*kind), Journal: j}).Serve(l)
}
