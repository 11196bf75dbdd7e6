//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// plan is what a world consists of.
type plan struct {
	name     string
	level    string   // of the sidecars' logs
	mappings []string // tcp, none
	dialects []dialect
	etcd     bool   // the pools' elements are found in etcd, where their sidecars register them
	upgrade  string // the binary that sidecars are replaced by; "": their own
}

// world is one deployment: a client's host with a pool_user process, three hosts with a pool_element process and servers each, and, if
// the plan has it, one with an etcd cluster. Each column of the table is a pool of it, with servers of its own.
type world struct {
	plan     plan
	dir      string // logs, journals, configurations
	exchange *exchange
	user     *host
	hosts    []*host // a, b, d: in the order in which sessions prefer them
	columns  []*column
	cluster  *cluster // nil: none

	mu       sync.Mutex // guards what follows: processes are killed and started again
	proxy    *process   // the pool_user
	sidecars []*process // of hosts
	said     map[string]string
	upgrades time.Duration // how long the last one has taken
}

// column is one protocol over one mapping: a pool, its pool_user, and a server on each host.
type column struct {
	world   *world
	name    string // line-tcp
	dialect dialect
	mapping string
	number  int
	servers []*process // of the world's hosts
	holds   workload.Holds
	seen    ledger
}

// port is the column's own of a range.
func (c *column) port(base int) uint16 {
	if c.mapping == "none" {
		base += portNone
	}
	return uint16(base + c.number)
}

// portAt is where the pool has its elements.
func (c *column) portAt() uint16 {
	if c.mapping == "none" {
		return c.port(portServer)
	}
	return c.port(portElement)
}

// hostNames are those of elements, too.
var hostNames = []string{"a", "b", "c"}

// newWorld starts all of it. The caller closes it.
func newWorld(p plan) (*world, error) {
	w := &world{plan: p, dir: filepath.Join(workdir, p.name), exchange: newExchange(), said: map[string]string{}}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, err
	}
	for i, d := range p.dialects {
		for _, m := range p.mappings {
			c := &column{world: w, name: d.name + "-" + m, dialect: d, mapping: m, number: i, servers: make([]*process, len(hostNames)),
				seen: ledger{read: map[string]int64{}, done: map[[2]uint64]string{}}}
			c.holds.Dir = filepath.Join(w.dir, "holds-"+c.name)
			w.columns = append(w.columns, c)
			if err := os.MkdirAll(c.holds.Dir, 0o755); err != nil {
				return nil, err
			}
		}
	}
	if err := w.start(); err != nil {
		w.close()
		return nil, fmt.Errorf("world %s: %w", p.name, err)
	}
	return w, nil
}

// start starts hosts, then what runs on them.
func (w *world) start() (err error) {
	if w.user, err = newHost(w.exchange, "user", netip.AddrFrom4([4]byte{10, 77, 0, 1})); err != nil {
		return err
	}
	if err = w.disk(w.user); err != nil {
		return err
	}
	for i, name := range hostNames {
		h, err := newHost(w.exchange, name, netip.AddrFrom4([4]byte{10, 77, 0, byte(11 + i)}))
		if err != nil {
			return err
		}
		w.hosts = append(w.hosts, h)
		if err := w.disk(h); err != nil {
			return err
		}
	}
	if w.plan.etcd {
		if err := w.startCluster(); err != nil {
			return err
		}
	}
	w.sidecars = make([]*process, len(w.hosts))
	for i := range w.hosts {
		for _, c := range w.columns {
			if err := c.startServer(i); err != nil {
				return err
			}
		}
		if err := w.startSidecar(i); err != nil {
			return err
		}
	}
	return w.startUser()
}

// startServer starts the column's server on a host, also again.
func (c *column) startServer(i int) error {
	h := c.world.hosts[i]
	name := "server-" + c.name + "-" + h.name
	args, err := c.serverArgs(i)
	if err != nil {
		return err
	}
	p, err := h.start(name, filepath.Join(c.world.dir, name+".log"), nil, args...)
	if err != nil {
		return err
	}
	c.servers[i] = p
	if c.dialect.kind == workload.Redis {
		return c.loadRedis(i)
	}
	err = eventually(name+" listens", func() bool { // to be asked is cheaper than to be looked up, and servers do not mind
		conn, err := h.dial(fmt.Sprintf("%s:%d", h.address, c.port(portServer)))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil || !p.lives()
	})
	if err == nil && !p.lives() {
		err = fmt.Errorf("%s has ended: %s (its output: %s)", name, p.cmd.ProcessState, p.log)
	}
	return err
}

// serverArgs is its command line.
func (c *column) serverArgs(i int) ([]string, error) {
	if c.dialect.kind == workload.Redis {
		return c.redisArgs(i), nil
	}
	b, err := binaries()
	if err != nil {
		return nil, err
	}
	h := c.world.hosts[i]
	return []string{b.server, fmt.Sprintf("-differs=%v", c.dialect.differs && i > 0), "-kind", string(c.dialect.kind), "-listen", fmt.Sprintf("%s:%d", h.address, c.port(portServer)),
		"-journal", c.journal(i), "-holds", c.holds.Dir, "-name", c.name + "-" + h.name}, nil
}

// journal is the file of the server on a host, on that host's own disk.
func (c *column) journal(i int) string {
	return filepath.Join(c.world.diskOf(c.world.hosts[i]), c.name+".journal")
}

// startSidecar starts the pool_element process of a host, startUser that of the client's; also again.
func (w *world) startSidecar(i int) error {
	p, err := w.run(w.hosts[i], "element-"+w.hosts[i].name, w.elementConfig(i))
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.sidecars[i] = p
	w.mu.Unlock()
	for _, c := range w.columns {
		if c.mapping != "none" {
			err = errors.Join(err, p.up(c.port(portElement)))
		}
	}
	return err
}

func (w *world) startUser() error {
	p, err := w.run(w.user, "user", w.userConfig())
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.proxy = p
	w.mu.Unlock()
	for _, c := range w.columns {
		err = errors.Join(err, p.up(c.port(portUser)))
	}
	return err
}

// sidecar is the process on one of the hosts; with -1 the pool_user's.
func (w *world) sidecar(i int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i < 0 {
		return w.proxy
	}
	return w.sidecars[i]
}

// say notes how a failure was made here, for the page.
func (w *world) say(failure, how string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said[failure] = how
}

func (w *world) how(failure string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said[failure]
}

// run starts poolproxy on a host.
func (w *world) run(h *host, name, config string) (*process, error) {
	b, err := binaries()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(w.dir, name+".hcl")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return nil, err
	}
	return h.start(name, filepath.Join(w.dir, name+".log"), nil, b.proxy, "run", "-config", path)
}

// close ends all processes, then the hosts.
func (w *world) close() {
	all := append([]*process{w.proxy}, w.sidecars...)
	for _, c := range w.columns {
		all = append(all, c.servers...)
	}
	for _, p := range all {
		if p != nil {
			p.kill()
		}
	}
	w.stopCluster()
	for _, h := range append(w.hosts, w.user) {
		if h != nil {
			h.close()
		}
	}
	w.exchange.wait()
}
