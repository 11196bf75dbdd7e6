// Package etcdtest runs real etcd clusters for tests.
package etcdtest

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// Binary is where etcd is. Without it the test is skipped, or fails if it is one of make check.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("etcd")
	switch {
	case err == nil:
		return path
	case os.Getenv("POOLPROXY_CHECK") != "":
		t.Fatal("etcd is not installed")
	}
	t.Skipf("%s SKIPPED: etcd is not installed (apt-get install etcd-server): no real cluster was asked", t.Name())
	return ""
}

// WaitFor polls until it is so, with a deadline.
func WaitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in 30 s not seen: %s", what)
		}
	}
}

// Cluster is a cluster of real processes.
type Cluster struct {
	t       testing.TB
	dir     string
	tls     *TLS // nil: without
	Members []*Member
}

// TLS is how clients come to a cluster: the paths of files, and what the tests themselves come with.
type TLS struct {
	Cert, Key, CA string
	Client        *tls.Config
}

// Member is one process of a cluster. Its data outlives it.
type Member struct {
	Name     string
	Endpoint string // where clients reach it, "127.0.0.1:port"

	t    testing.TB
	path string // of the program
	args []string
	log  string
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process is reaped; nil: there is none
}

// Start starts a cluster of n members, and waits until it can be written to. One that is alone is its leader within half a second, where
// Debian's etcd needs more than one; several have the usual second, since on a loaded machine they would else lose their leader all the time.
func Start(t testing.TB, n int) *Cluster { t.Helper(); return StartTLS(t, n, nil) }

// StartTLS is Start for clients in TLS, of whom a certificate is demanded.
func StartTLS(t testing.TB, n int, secured *TLS) *Cluster {
	t.Helper()
	path := Binary(t)
	c := &Cluster{t: t, dir: t.TempDir(), tls: secured}
	scheme := "http://"
	if secured != nil {
		scheme = "https://"
	}
	var ports []string
	for range 2 * n {
		ports = append(ports, porttest.FreeString(t))
	}
	heartbeat, election := "30", "300" // of one who is alone
	if n > 1 {
		heartbeat, election = "100", "1000"
	}
	var all string
	for i := range n {
		all += fmt.Sprintf(",m%d=http://%s", i, ports[n+i])
	}
	for i := range n {
		name := fmt.Sprintf("m%d", i)
		m := &Member{Name: name, Endpoint: ports[i], t: t, path: path, log: filepath.Join(c.dir, name+".log")}
		m.args = []string{"--name", name, "--data-dir", filepath.Join(c.dir, name),
			"--listen-client-urls", scheme + ports[i], "--advertise-client-urls", scheme + ports[i],
			"--listen-peer-urls", "http://" + ports[n+i], "--initial-advertise-peer-urls", "http://" + ports[n+i],
			"--initial-cluster", all[1:], "--initial-cluster-token", filepath.Base(c.dir), "--initial-cluster-state", "new",
			"--heartbeat-interval", heartbeat, "--election-timeout", election, "--bcrypt-cost", "4",
			"--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn"}
		if secured != nil {
			m.args = append(m.args, "--cert-file", secured.Cert, "--key-file", secured.Key, "--trusted-ca-file", secured.CA, "--client-cert-auth")
		}
		c.Members = append(c.Members, m)
	}
	t.Cleanup(c.Kill)
	c.Restart()
	return c
}

// Endpoints are those of all members, whether they run or not.
func (c *Cluster) Endpoints() (all []string) {
	for _, m := range c.Members {
		all = append(all, m.Endpoint)
	}
	return all
}

// Kill kills all members.
func (c *Cluster) Kill() {
	for _, m := range c.Members {
		m.Kill()
	}
}

// Restart starts the members that do not run, and waits until the cluster can be written to.
func (c *Cluster) Restart() {
	c.t.Helper()
	for _, m := range c.Members {
		m.start()
	}
	WaitFor(c.t, "the cluster has a leader", func() bool {
		for _, m := range c.Members {
			m.lives()
		}
		return c.Leader() != nil
	})
}
