//go:build linux

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/proxy"
)

// network is a switch with hosts: network namespaces of the test's own, connected by virtual cables that can be pulled. Each host
// has its own loopback, and nothing leaves the machine.
type network struct {
	t     *testing.T
	hub   string            // the namespace with the switch; the client's host
	hosts map[string]string // name -> namespace
}

// hubAddress is the address of the host that stands at the switch itself.
const hubAddress = "10.77.0.1"

// newNetwork makes the switch and a host for each name; host number i has the address 10.77.0.(11+i).
func newNetwork(t *testing.T, names ...string) *network {
	t.Helper()
	n := &network{t: t, hub: fmt.Sprintf("pp%d-hub", os.Getpid()), hosts: map[string]string{}}
	n.addNamespace(n.hub)
	// With an address of its own. Else it has that of one of the cables, and what comes over that one when it is pulled is taken for it.
	n.ip("-n", n.hub, "link", "add", "br0", "address", "02:00:0a:4d:00:01", "type", "bridge")
	n.ip("-n", n.hub, "address", "add", hubAddress+"/24", "dev", "br0")
	n.ip("-n", n.hub, "link", "set", "br0", "up")
	for i, name := range names {
		ns := fmt.Sprintf("pp%d-%s", os.Getpid(), name)
		n.addNamespace(ns)
		n.hosts[name] = ns
		n.ip("-n", n.hub, "link", "add", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", ns)
		n.ip("-n", n.hub, "link", "set", "to-"+name, "master", "br0", "up")
		n.ip("-n", ns, "address", "add", hostAddress(i)+"/24", "dev", "eth0")
		n.ip("-n", ns, "link", "set", "eth0", "up")
	}
	return n
}

// hostAddress is the address of host number i.
func hostAddress(i int) string { return fmt.Sprintf("10.77.0.%d", 11+i) }

// addNamespace makes a namespace with a loopback. It is removed when the test ends.
func (n *network) addNamespace(ns string) {
	n.t.Helper()
	n.ip("netns", "add", ns)
	n.t.Cleanup(func() { n.ip("netns", "delete", ns) })
	n.ip("-n", ns, "link", "set", "lo", "up")
}

// pull pulls the cable of a host out of the switch: from now on packets are lost in silence, both ways, and both ends still
// believe that their link is up.
func (n *network) pull(host string) {
	n.t.Helper()
	n.ip("-n", n.hub, "link", "set", "to-"+host, "nomaster")
}

// plug plugs the cable of a host in again.
func (n *network) plug(host string) {
	n.t.Helper()
	n.ip("-n", n.hub, "link", "set", "to-"+host, "master", "br0")
}

// dial connects from a host, which is a namespace, to an address. The connection is closed when the test ends.
func (n *network) dial(namespace, address string) *net.TCPConn {
	n.t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which is in the namespace, ends with this goroutine
		conn, err := dialWithin(namespace, address)
		dialled <- result{conn, err}
	}()
	r := <-dialled
	if r.err != nil {
		n.t.Fatal(r.err)
	}
	n.t.Cleanup(func() { r.conn.Close() })
	return r.conn.(*net.TCPConn)
}

// dialWithin takes the calling thread into a network namespace and connects from there.
func dialWithin(namespace, address string) (net.Conn, error) {
	ns, err := os.Open("/var/run/netns/" + namespace)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("entering the network namespace %s: %w", namespace, err)
	}
	return net.DialTimeout("tcp", address, patience)
}

// status asks a pool_user sidecar for its status, from its own host.
func (n *network) status(namespace, admin string) (s proxy.Status) {
	n.t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return n.dial(namespace, admin), nil }}}
	response, err := client.Get("http://" + admin + "/v1/status")
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// ip runs ip(8).
func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
