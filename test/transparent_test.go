//go:build linux

package test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// transparent is issue 7, item 6: a client on a network of its own behind a router, on which a pool_user sidecar stands with the rules of
// deploy/transparent; two hosts with nginx, which wants a PROXY protocol header on each connection, and a sidecar that sends it: version 1
// at host a, version 2 at host b. The client knows the servers' own addresses only.
type transparent struct {
	t      *testing.T
	whole  *testing.T // with which the servers end
	net    *network
	dir    string
	client string // the client's namespace
	file   []byte // what /file is
	nginx  map[string]*process
	starts int
}

const (
	transparentSize = 8 << 20
	transparentRate = "6m" // of nginx, so that what it has not said is in no buffer on the way; bytes a second

	clientV4, clientV6 = "10.78.0.2", "fd78::2"
	routerV4, routerV6 = "10.77.0.1", "fd77::1" // on the servers' network
)

// serverV6 is the IPv6 address of host number i.
func serverV6(i int) string { return fmt.Sprintf("fd77::%d", 11+i) }

const transparentConfig = `
log { level = "debug" }
admin { listen = "127.0.0.1:7878" }

pool "web" {
  policy = "round_robin"
  element "a" { address = "10.77.0.11:7001" }
  element "b" { address = "10.77.0.12:7001" }
}
pool "direct" {
  mapping    = "none"
  send_proxy = "v2"
  element "b" { address = "10.77.0.12:81" }
}
pool_user "web" {
  listen      = ":5000"
  transparent = "MODE"
  match       = ["10.77.0.0/24:80", "[fd77::/64]:80"]
  pool        = "web"
  protocol "http" {}
  failover {
    ack    = "reply"
    resume = "1s"
  }
}
pool_user "direct" {
  listen      = ":5000"
  transparent = "MODE"
  match       = ["10.77.0.12:81", "[fd77::12]:81"]
  pool        = "direct"
  protocol "http" {}
}
`

func TestTransparent(t *testing.T) {
	needs(t, true, "nginx", "curl", "ip", "nft", "setpriv")
	x := newTransparent(t)
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			x.t, x.net.t = t, t
			user := x.startUser(mode)
			x.rules(mode, true)
			x.small()
			x.local()
			x.direct(user)
			x.stranger(user)
			x.death("10.77.0.11", clientV4)
			x.death("[fd77::11]", clientV6)
			user.kill()
			x.rules(mode, false)
		})
		x.t, x.net.t = t, t
	}
}

func newTransparent(t *testing.T) *transparent {
	t.Helper()
	x := &transparent{t: t, whole: t, dir: logDir(t), net: newNetwork(t, "a", "b"), nginx: map[string]*process{}}
	x.connectClient()
	x.file = make([]byte, transparentSize)
	if _, err := io.ReadFull(rand.NewChaCha8([32]byte{7}), x.file); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"file": x.file, "small": []byte("a small page")} {
		if err := os.MkdirAll(filepath.Join(x.dir, "www"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(x.dir, "www", name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"a", "b"} {
		x.startNginx(name)
		listen := hostAddress(i) + ":7001"
		header := fmt.Sprintf("  send_proxy = \"v%d\"\n", i+1)
		config := writeConfig(t, "element-"+name, elementConfig(name, listen, hostAddress(i)+":80", header))
		sidecar := startProcess(t, command{name: "element-" + name, netns: x.net.hosts[name], args: []string{builtBinary(t), "run", "-config", config}})
		sidecar.waitListening(t, listen)
	}
	return x
}

// connectClient makes the client's network, and the hub a router between that and the servers', in both families.
func (x *transparent) connectClient() {
	x.t.Helper()
	n := x.net
	x.client = fmt.Sprintf("pp%d-client", os.Getpid())
	n.addNamespace(x.client)
	n.ip("-n", n.hub, "link", "add", "to-client", "type", "veth", "peer", "name", "eth0", "netns", x.client)
	for _, a := range [][]string{{n.hub, "10.78.0.1/24", "to-client"}, {n.hub, "fd78::1/64", "to-client"}, {n.hub, routerV6 + "/64", "br0"},
		{x.client, clientV4 + "/24", "eth0"}, {x.client, clientV6 + "/64", "eth0"},
		{n.hosts["a"], serverV6(0) + "/64", "eth0"}, {n.hosts["b"], serverV6(1) + "/64", "eth0"}} {
		args := []string{"-n", a[0], "address", "add", a[1], "dev", a[2]}
		if strings.Contains(a[1], ":") {
			args = append(args, "nodad")
		}
		n.ip(args...)
	}
	n.ip("-n", n.hub, "link", "set", "to-client", "up")
	n.ip("-n", x.client, "link", "set", "eth0", "up")
	n.ip("-n", x.client, "route", "add", "default", "via", "10.78.0.1")
	n.ip("-n", x.client, "route", "add", "default", "via", "fd78::1")
	for _, name := range []string{"a", "b"} {
		n.ip("-n", n.hosts[name], "route", "add", "default", "via", routerV4)
		n.ip("-n", n.hosts[name], "route", "add", "default", "via", routerV6)
	}
	x.within(n.hub, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
}

// within runs a program in a namespace and returns what it says.
func (x *transparent) within(ns string, args ...string) string {
	x.t.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", ns}, args...)...).CombinedOutput()
	if err != nil {
		x.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// startNginx starts the nginx of a host, also again. It takes no connection without a header, and logs what that says.
func (x *transparent) startNginx(name string) {
	x.t.Helper()
	i := map[string]int{"a": 0, "b": 1}[name]
	v4, v6 := hostAddress(i), serverV6(i)
	config := fmt.Sprintf(`user root; worker_processes 1; daemon off; pid %[1]s/nginx-%[2]s.pid; error_log stderr;
events { worker_connections 64; }
http {
  log_format origin '$remote_addr $proxy_protocol_addr $proxy_protocol_server_addr $proxy_protocol_server_port $status $uri';
  access_log %[1]s/access-%[2]s.log origin;
  client_body_temp_path %[1]s/tmp-%[2]s; proxy_temp_path %[1]s/tmp-%[2]s; fastcgi_temp_path %[1]s/tmp-%[2]s;
  uwsgi_temp_path %[1]s/tmp-%[2]s; scgi_temp_path %[1]s/tmp-%[2]s;
  server { listen %[3]s:80 proxy_protocol; listen [%[4]s]:80 proxy_protocol; listen %[3]s:81 proxy_protocol; root %[1]s/www;
    location /file { limit_rate %[5]s; } }
}
`, x.dir, name, v4, v6, transparentRate)
	path := filepath.Join(x.dir, "nginx-"+name+".conf")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		x.t.Fatal(err)
	}
	x.starts++
	x.nginx[name] = startProcess(x.whole, command{name: fmt.Sprintf("nginx-%s-%d", name, x.starts), netns: x.net.hosts[name], args: []string{"nginx", "-c", path}})
	x.nginx[name].waitListening(x.t, v4+":80")
}

// startUser starts the pool_user sidecar on the router.
func (x *transparent) startUser(mode string) *process {
	x.t.Helper()
	config := writeConfig(x.t, "user-"+mode, strings.ReplaceAll(transparentConfig, "MODE", mode))
	user := startProcess(x.t, command{name: "user-" + mode, netns: x.net.hub, args: []string{builtBinary(x.t), "run", "-config", config}})
	user.waitListening(x.t, "127.0.0.1:7878")
	return user
}

// define is a definition in the rules.
var define = regexp.MustCompile(`(?m)^(define (\w+) += ).*$`)

// rules loads the rules of deploy/transparent as their comments say, with other definitions, or undoes them.
func (x *transparent) rules(mode string, on bool) {
	x.t.Helper()
	routes := filepath.Join("..", "deploy", "transparent", "tproxy-routes.sh")
	if !on {
		if mode == "tproxy" {
			x.within(x.net.hub, routes, "down")
		}
		x.within(x.net.hub, "nft", "delete", "table", "inet", "poolproxy")
		if left := x.within(x.net.hub, "sh", "-c", "nft list tables; ip rule; ip -6 rule"); strings.Contains(left, "poolproxy") || strings.Contains(left, "7070") {
			x.t.Errorf("what is left:\n%s", left)
		}
		return
	}
	text, err := os.ReadFile(filepath.Join("..", "deploy", "transparent", mode+".nft"))
	if err != nil {
		x.t.Fatal(err)
	}
	values := map[string]string{"servers4": "{ 10.77.0.11, 10.77.0.12 }", "servers6": "{ fd77::/64 }", "ports": "{ 80-82 }", "listener": "5000",
		"poolproxy": "0", "tag": "0x7070"}
	path := filepath.Join(x.dir, mode+".nft")
	changed := define.ReplaceAllStringFunc(string(text), func(line string) string {
		parts := define.FindStringSubmatch(line)
		if values[parts[2]] == "" {
			x.t.Errorf("what is %q?", line)
		}
		return parts[1] + values[parts[2]]
	})
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		x.t.Fatal(err)
	}
	for range 2 { // a second time it replaces what is there
		x.within(x.net.hub, "nft", "-f", path)
		if mode == "tproxy" {
			x.within(x.net.hub, routes, "up")
		}
	}
}

// get has curl fetch from an address, and returns what it says.
func (x *transparent) get(ns, url string, as ...string) string {
	x.t.Helper()
	return x.within(ns, append(as, "curl", "--silent", "--show-error", "--fail", "--max-time", "60", url)...)
}

// logged reports how many lines of a host's access log there are for the client, the dialled address and port, and the path.
func (x *transparent) logged(host, client, dialed, port, path string) int {
	x.t.Helper()
	log, _ := os.ReadFile(filepath.Join(x.dir, "access-"+host+".log"))
	n := 0
	for line := range strings.Lines(string(log)) {
		words := strings.Fields(line)
		if len(words) == 6 && words[1] == client && words[2] == dialed && words[3] == port && strings.HasPrefix(words[4], "20") && words[5] == path {
			n++
		}
	}
	return n
}

// awaitLog waits for a line in the log of one of the hosts.
func (x *transparent) awaitLog(hosts, client, dialed, port, path string, n int) {
	x.t.Helper()
	waitFor(x.t, fmt.Sprintf("%d lines in the logs of %s: %s to %s port %s, %s", n, hosts, client, dialed, port, path), func() bool {
		found := 0
		for _, host := range hosts {
			found += x.logged(string(host), client, dialed, port, path)
		}
		return found >= n
	})
}

// small fetches a page from each server's own address, in both families: both servers know the client, by v1 and by v2.
func (x *transparent) small() {
	x.t.Helper()
	for client, server := range map[string]string{clientV4: "10.77.0.11", clientV6: "[fd77::11]"} {
		bare := strings.Trim(server, "[]")
		a, b := x.logged("a", client, bare, "80", "/small"), x.logged("b", client, bare, "80", "/small")
		for range 2 { // round robin
			if page := x.get(x.client, "http://"+server+"/small"); page != "a small page" {
				x.t.Errorf("%s: %q", server, page)
			}
		}
		x.awaitLog("a", client, bare, "80", "/small", a+1)
		x.awaitLog("b", client, bare, "80", "/small", b+1)
	}
}

// local is a client on the router itself, as which poolproxy does not run.
func (x *transparent) local() {
	x.t.Helper()
	for client, server := range map[string]string{routerV4: "10.77.0.12", routerV6: "[fd77::12]"} {
		bare := strings.Trim(server, "[]")
		before := x.logged("a", client, bare, "80", "/small") + x.logged("b", client, bare, "80", "/small")
		if page := x.get(x.net.hub, "http://"+server+"/small", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"); page != "a small page" {
			x.t.Errorf("%s: %q", server, page)
		}
		x.awaitLog("ab", client, bare, "80", "/small", before+1)
	}
}

// direct is the other pool_user of the listener, whose server has no sidecar: what poolproxy says to it is left alone by the rules.
func (x *transparent) direct(user *process) {
	x.t.Helper()
	for client, server := range map[string]string{clientV4: "10.77.0.12", clientV6: "[fd77::12]"} {
		bare := strings.Trim(server, "[]")
		before := x.logged("b", client, bare, "81", "/small")
		if page := x.get(x.client, "http://"+server+":81/small"); page != "a small page" {
			x.t.Errorf("%s: %q", server, page)
		}
		x.awaitLog("b", client, bare, "81", "/small", before+1)
	}
	if strings.Contains(user.output(x.t), "round in circles") {
		x.t.Error("poolproxy's own connections came back to it")
	}
}

// stranger wants to go where no match is: it is refused at once, counted and logged.
func (x *transparent) stranger(user *process) {
	x.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", x.client, "curl", "--silent", "--show-error", "--max-time", "60", "http://10.77.0.11:82/").CombinedOutput()
	if err == nil {
		x.t.Errorf("port 82 answers %q", out)
	}
	user.said(x.t, "it wanted to go to 10.77.0.11:82", 1)
	n := uint64(0)
	for _, u := range x.net.status(x.net.hub, "127.0.0.1:7878").Users {
		n += u.Refused["no_match"]
	}
	if n != 1 {
		x.t.Errorf("%d clients refused", n)
	}
}

// death has the server that serves a download killed in the middle. curl notices nothing, and the next server knows whose it is.
func (x *transparent) death(server, client string) {
	x.t.Helper()
	bare := strings.Trim(server, "[]")
	before := map[string]int{"a": x.logged("a", client, bare, "80", "/file"), "b": x.logged("b", client, bare, "80", "/file")}
	target := filepath.Join(x.dir, "downloaded")
	os.Remove(target)
	x.starts++
	curl := startProcess(x.t, command{name: fmt.Sprintf("curl-%d", x.starts), netns: x.client, args: []string{
		"curl", "--silent", "--show-error", "--fail", "--output", target,
		"--write-out", "connections=%{num_connects} status=%{http_code}\n", "http://" + server + "/file",
	}})
	waitFor(x.t, "curl to get a quarter of the file", func() bool {
		info, err := os.Stat(target)
		return err == nil && info.Size() >= transparentSize/4
	})
	sessions := x.net.status(x.net.hub, "127.0.0.1:7878").Sessions
	if len(sessions) != 1 || x.nginx[sessions[0].Element] == nil || !strings.HasPrefix(strings.Trim(sessions[0].Client, "["), client) || sessions[0].Dialed != server+":80" {
		x.t.Fatalf("sessions: %+v, not one of %s", sessions, client)
	}
	first := sessions[0].Element
	second := map[string]string{"a": "b", "b": "a"}[first]
	x.nginx[first].kill()
	if status := curl.wait(x.t, time.Minute); status != 0 {
		x.t.Fatalf("curl ended with %d: %s", status, curl.output(x.t))
	}
	if out := curl.output(x.t); !strings.Contains(out, "connections=1 status=200") {
		x.t.Errorf("curl reports %q, not one connection and status 200", out)
	}
	got, err := os.ReadFile(target)
	if err != nil {
		x.t.Fatal(err)
	}
	if !bytes.Equal(got, x.file) {
		x.t.Errorf("%d bytes came, not those of the file, which has %d", len(got), len(x.file))
	}
	x.awaitLog(second, client, bare, "80", "/file", before[second]+1)
	x.startNginx(first)
}
