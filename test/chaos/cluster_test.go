//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
)

// cluster is the etcd of a world: three members on a host of their own.
type cluster struct {
	world   *world
	host    *host
	members []*process
	client  *http.Client
}

const (
	portEtcd  = 2379 // of the first member, for clients; those of the others follow
	portPeers = 2479
)

func (c *cluster) endpoints() (all []string) {
	for i := range c.members {
		all = append(all, c.at(portEtcd, i))
	}
	return all
}

func (c *cluster) at(port, i int) string { return fmt.Sprintf("%s:%d", c.host.address, port+i) }

// startCluster starts it, and waits until it has a leader.
func (w *world) startCluster() (err error) {
	c := &cluster{world: w, members: make([]*process, 3)}
	if c.host, err = newHost(w.exchange, "etcd", netip.AddrFrom4([4]byte{10, 77, 0, 2})); err != nil {
		return err
	}
	w.cluster = c
	c.client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return c.host.dial(address) }}}
	for i := range c.members {
		if err := c.start(i); err != nil {
			return err
		}
	}
	return eventually("etcd has a leader", func() bool { return c.leader() >= 0 })
}

// start starts a member, also again.
func (c *cluster) start(i int) (err error) {
	name := fmt.Sprintf("m%d", i)
	all := ""
	for k := range c.members {
		all += fmt.Sprintf(",m%d=http://%s", k, c.at(portPeers, k))
	}
	c.members[i], err = c.host.start("etcd-"+name, filepath.Join(c.world.dir, "etcd-"+name+".log"), nil,
		"etcd", "--name", name, "--data-dir", filepath.Join(c.world.dir, "etcd-"+name), "--unsafe-no-fsync",
		"--listen-client-urls", "http://"+c.at(portEtcd, i), "--advertise-client-urls", "http://"+c.at(portEtcd, i),
		"--listen-peer-urls", "http://"+c.at(portPeers, i), "--initial-advertise-peer-urls", "http://"+c.at(portPeers, i),
		"--initial-cluster", all[1:], "--initial-cluster-state", "new", "--heartbeat-interval", "50", "--election-timeout", "500",
		"--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn")
	return err
}

// leader is the member that says it is the leader, or -1.
func (c *cluster) leader() int {
	for i := range c.members {
		var status struct {
			Header struct {
				Member string `json:"member_id"`
			} `json:"header"`
			Leader string `json:"leader"`
		}
		response, err := c.client.Post("http://"+c.at(portEtcd, i)+"/v3/maintenance/status", "application/json", bytes.NewReader([]byte("{}")))
		if err != nil {
			continue
		}
		err = json.NewDecoder(response.Body).Decode(&status)
		_ = response.Body.Close()
		if err == nil && status.Leader != "" && status.Leader == status.Header.Member {
			return i
		}
	}
	return -1
}

// killLeader is kill -9 of the member that leads.
func killLeader(t *target) (heal, error) {
	c := t.world.cluster
	if c == nil {
		return nil, fmt.Errorf("world %s has no etcd", t.world.plan.name)
	}
	leader := -1
	if err := eventually("etcd has a leader", func() bool { leader = c.leader(); return leader >= 0 }); err != nil {
		return nil, err
	}
	c.members[leader].kill()
	return func() error {
		if err := c.start(leader); err != nil {
			return err
		}
		return eventually("etcd has a leader", func() bool { return c.leader() >= 0 })
	}, nil
}

func (w *world) stopCluster() {
	if w.cluster == nil {
		return
	}
	for _, m := range w.cluster.members {
		if m != nil {
			m.kill()
		}
	}
	w.cluster.host.close()
}
