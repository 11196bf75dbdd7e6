//go:build linux

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// The file that curl downloads, and how fast: the transfer takes some 13 s without its interruptions.
const (
	nginxFile = 256 << 20
	nginxRate = "20M"
)

// nginxHost is a machine with an nginx and a pool_element sidecar before it.
type nginxHost struct {
	name, address  string
	nginx, sidecar *process
	starts         int
}

// nginxTest is what TestNginxAndCurl works with: two hosts, and the client's with a pool_user sidecar and curl.
type nginxTest struct {
	t       *testing.T
	net     *network
	dir     string
	hosts   map[string]*nginxHost
	records int // failovers seen
}

// TestNginxAndCurl is issue 2, item 3: real programs, and three kinds of death under one download.
func TestNginxAndCurl(t *testing.T) {
	needs(t, true, "nginx", "curl", "ip")
	n := &nginxTest{t: t, dir: logDir(t), net: newNetwork(t, "a", "b"), hosts: map[string]*nginxHost{}}
	file := n.writeFile()
	for i, name := range []string{"a", "b"} {
		n.hosts[name] = &nginxHost{name: name, address: hostAddress(i)}
		n.startNginx(name)
		n.startSidecar(name)
	}
	n.startUser()
	target := filepath.Join(n.dir, "downloaded")
	curl := n.startCurl(target)

	n.await(target, 0.15)
	first := n.serving()
	second := map[string]string{"a": "b", "b": "a"}[first]
	n.hosts[first].nginx.kill() // the group: the master and its workers
	n.moved(first, second, "nginx killed")
	curl.freeze(t) // or the download would have come to its end before a slow machine has started this
	n.startNginx(first)
	curl.thaw(t)

	n.await(target, 0.4)
	n.hosts[second].sidecar.kill()
	n.moved(second, first, "sidecar killed")
	curl.freeze(t)
	n.startSidecar(second)
	curl.thaw(t)

	n.await(target, 0.65)
	n.net.pull(first)
	n.moved(first, second, "association cut in silence")

	if status := curl.wait(t, 5*time.Minute); status != 0 {
		t.Fatalf("curl ended with %d", status)
	}
	if out := curl.output(t); !strings.Contains(out, "connections=1 status=200") {
		t.Errorf("curl reports %q, not one connection and status 200", out)
	}
	n.compare(file, target)
	n.partialReplies()
}

// writeFile makes the file that both servers serve, of bytes that cannot be taken for others.
func (n *nginxTest) writeFile() string {
	n.t.Helper()
	if err := os.MkdirAll(filepath.Join(n.dir, "www"), 0o755); err != nil {
		n.t.Fatal(err)
	}
	path := filepath.Join(n.dir, "www", "file")
	f, err := os.Create(path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{1}), nginxFile); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// startNginx starts the nginx of a host, in the host's network namespace. nginx's access log is one for all its lives.
func (n *nginxTest) startNginx(name string) {
	n.t.Helper()
	h := n.hosts[name]
	h.starts++
	config := fmt.Sprintf(`user root; worker_processes 2; daemon off; pid %[1]s/nginx-%[2]s.pid; error_log stderr;
events { worker_connections 64; }
http {
  access_log %[1]s/access-%[2]s.log;
  client_body_temp_path %[1]s/tmp-%[2]s; proxy_temp_path %[1]s/tmp-%[2]s; fastcgi_temp_path %[1]s/tmp-%[2]s;
  uwsgi_temp_path %[1]s/tmp-%[2]s; scgi_temp_path %[1]s/tmp-%[2]s;
  server { listen 127.0.0.1:8080; root %[1]s/www; }
}
`, n.dir, name)
	path := filepath.Join(n.dir, "nginx-"+name+".conf")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		n.t.Fatal(err)
	}
	h.nginx = startProcess(n.t, command{
		name: fmt.Sprintf("nginx-%s-%d", name, h.starts), netns: n.net.hosts[name], args: []string{"nginx", "-c", path},
	})
	h.nginx.waitListening(n.t, "127.0.0.1:8080")
}

// startSidecar starts the pool_element sidecar of a host.
func (n *nginxTest) startSidecar(name string) {
	n.t.Helper()
	h := n.hosts[name]
	listen := h.address + ":7001"
	config := writeConfig(n.t, "element-"+name, elementConfig(name, listen, "127.0.0.1:8080", ""))
	h.sidecar = startProcess(n.t, command{
		name: "element-" + name, netns: n.net.hosts[name], args: []string{builtBinary(n.t), "run", "-config", config},
	})
	h.sidecar.waitListening(n.t, listen)
}

// startUser starts the pool_user sidecar on the client's host.
func (n *nginxTest) startUser() {
	n.t.Helper()
	config := userConfig("127.0.0.1:5000", "127.0.0.1:7878", plan{
		mapping:  "tcp",
		protocol: `  protocol "http" {}`,
		failover: `    replay = "unacked"
    ack    = "reply"
    resume = "1s"`,
	}, []string{hostAddress(0) + ":7001", hostAddress(1) + ":7001"})
	user := startProcess(n.t, command{
		name: "user", netns: n.net.hub, args: []string{builtBinary(n.t), "run", "-config", writeConfig(n.t, "user", config)},
	})
	user.waitListening(n.t, "127.0.0.1:5000")
	user.waitListening(n.t, "127.0.0.1:7878")
}

// startCurl begins the download. curl does not retry unless it is told to.
func (n *nginxTest) startCurl(target string) *process {
	n.t.Helper()
	return startProcess(n.t, command{name: "curl", netns: n.net.hub, args: []string{
		"curl", "--silent", "--show-error", "--fail", "--limit-rate", nginxRate, "--output", target,
		"--write-out", "connections=%{num_connects} status=%{http_code}\n", "http://127.0.0.1:5000/file",
	}})
}

// await waits until curl has written a part of the file.
func (n *nginxTest) await(target string, part float64) {
	n.t.Helper()
	waitFor(n.t, fmt.Sprintf("curl to get %.0f %% of the file", part*100), func() bool {
		info, err := os.Stat(target)
		return err == nil && float64(info.Size()) >= part*nginxFile
	})
}

// status asks the pool_user sidecar, from its own host.
func (n *nginxTest) status() proxy.Status {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", n.net.hub,
		"curl", "--silent", "--fail", "http://127.0.0.1:7878/v1/status").Output()
	if err != nil {
		n.t.Fatalf("asking for the status: %v", err)
	}
	var s proxy.Status
	if err := json.Unmarshal(out, &s); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// serving names the element that serves curl.
func (n *nginxTest) serving() string {
	n.t.Helper()
	sessions := n.status().Sessions
	if len(sessions) != 1 || n.hosts[sessions[0].Element] == nil {
		n.t.Fatalf("sessions: %+v; not one, of curl, served by a or b", sessions)
	}
	return sessions[0].Element
}

// moved waits for the record of the next failover, with its first byte, and checks where it went.
func (n *nginxTest) moved(from, to, why string) {
	n.t.Helper()
	var r proxy.Record
	waitFor(n.t, "the failover after: "+why, func() bool {
		var moved []proxy.Record
		for _, r := range n.status().Failovers {
			if r.Kind == "moved" {
				moved = append(moved, r)
			}
		}
		if len(moved) <= n.records {
			return false
		}
		r = moved[n.records]
		return r.First > 0
	})
	n.records++
	n.t.Logf("%s: %s; first byte %s after it was noticed, %d bytes not fetched twice", why, r.Cause, r.First, r.Saved)
	if r.From != from || r.To != to {
		n.t.Errorf("%s: moved from %s to %s, not from %s to %s", why, r.From, r.To, from, to)
	}
}

// compare compares the files byte by byte.
func (n *nginxTest) compare(want, got string) {
	n.t.Helper()
	w, err := os.ReadFile(want)
	if err != nil {
		n.t.Fatal(err)
	}
	g, err := os.ReadFile(got)
	if err != nil {
		n.t.Fatal(err)
	}
	if !bytes.Equal(w, g) {
		n.t.Errorf("the downloaded file has %d bytes and differs from the original of %d", len(g), len(w))
	}
}

// partialReplies looks for the continuations in nginx's own logs: one for each failover, if the first answers of all lives were
// logged, but a killed nginx writes no log. What must be there is the last one, from a server that lived to its end.
func (n *nginxTest) partialReplies() {
	n.t.Helper()
	waitFor(n.t, "a 206 in nginx's access logs", func() bool {
		for name := range n.hosts {
			log, _ := os.ReadFile(filepath.Join(n.dir, "access-"+name+".log"))
			if strings.Contains(string(log), `"GET /file HTTP/1.1" 206 `) {
				return true
			}
		}
		return false
	})
}
