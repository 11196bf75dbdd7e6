//go:build unix

package etcdtest

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/poolproxy/poolproxy/internal/threads"
)

// start starts the process, if it does not run.
func (m *Member) start() {
	m.t.Helper()
	if m.gone != nil {
		return
	}
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command(m.path, m.args...)
	m.cmd.Stdout, m.cmd.Stderr = log, log
	m.cmd.Env = append(os.Environ(), "ETCD_UNSUPPORTED_ARCH=arm64")
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.gone = make(chan struct{})
	go m.reap(m.cmd, m.gone)
}

// reap ends with the process; who kills it waits for gone.
func (m *Member) reap(cmd *exec.Cmd, gone chan struct{}) {
	_ = cmd.Wait()
	close(gone)
}

// lives fails the test if the process has ended by itself, with what it said last.
func (m *Member) lives() {
	m.t.Helper()
	select {
	case <-m.gone:
		said, _ := os.ReadFile(m.log)
		m.t.Fatalf("etcd %s has ended: %s", m.Name, said[max(0, len(said)-2000):])
	default:
	}
}

// Kill kills the process (kill -9), and waits until it is gone.
func (m *Member) Kill() {
	if m.gone == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	<-m.gone
	m.gone = nil
}

// Freeze stops the process: its kernel goes on taking connections for it. It waits until none of its threads runs any more, which takes a
// moment on a loaded machine.
func (m *Member) Freeze() {
	m.t.Helper()
	m.signal(syscall.SIGSTOP)
	if runtime.GOOS == "linux" {
		WaitFor(m.t, m.Name+" to stop", func() bool { return threads.Stopped(m.cmd.Process.Pid) })
	}
}

// Thaw lets a frozen process go on.
func (m *Member) Thaw() { m.signal(syscall.SIGCONT) }

func (m *Member) signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
}

// Leader is the member that leads, nil: none of those that answer knows, or not all that run agree.
func (c *Cluster) Leader() (leader *Member) {
	ids := make(map[uint64]*Member)
	var led uint64
	for _, m := range c.Members {
		if m.gone == nil {
			continue
		}
		client := c.client(m.Endpoint)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		st, err := client.Status(ctx, c.url(m.Endpoint))
		cancel()
		client.Close()
		if err != nil || st.Leader == 0 || led != 0 && led != st.Leader {
			return nil
		}
		led = st.Leader
		ids[st.Header.MemberId] = m
	}
	return ids[led]
}

func (c *Cluster) url(endpoint string) string {
	if c.tls != nil {
		return "https://" + endpoint
	}
	return endpoint
}

func (c *Cluster) client(endpoint string) *clientv3.Client {
	c.t.Helper()
	if c.tls == nil {
		return Client(c.t, endpoint)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{c.url(endpoint)}, TLS: c.tls.Client, Logger: zap.NewNop()})
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// Client is a client of these members, to be closed by the caller.
func Client(t testing.TB, endpoints ...string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}
