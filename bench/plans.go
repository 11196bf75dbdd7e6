//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"time"
)

// plan sets up a system in another way. On an error the instance holds what has been started.
type plan func(e *environment) (*instance, error)

// linkPlan is two hops to the origin with the workload's bad link between them.
func linkPlan(h hop) plan {
	return func(e *environment) (*instance, error) {
		i := &instance{address: e.origin}
		p, err := startLink(*e.workload.link)
		if p != nil {
			i.helpers = append(i.helpers, p)
		}
		if err != nil {
			return i, err
		}
		var at [2]string
		for n := range at {
			if at[n], err = e.address(); err != nil {
				return i, err
			}
		}
		_, port, _ := net.SplitHostPort(at[0]) // made by address
		second, err := h(e, false, net.JoinHostPort(linkHere.String(), port), e.origin)
		if err != nil {
			return i, err
		}
		i.hops = append(i.hops, second)
		first, err := h(e, true, at[1], net.JoinHostPort(linkThere.String(), port))
		if err != nil {
			return i, err
		}
		i.hops, i.address = append(i.hops, first), at[1]
		return i, i.waitReady()
	}
}

// httpPlan is two hops to the origin, for http.
func httpPlan(h hop) plan {
	return func(e *environment) (*instance, error) {
		i := &instance{address: e.origin, ready: greetHTTP}
		return i, e.startHops(i, h, false, true)
	}
}

// redisPlan is two hops to a redis-server of its own.
func redisPlan(h hop) plan {
	return func(e *environment) (*instance, error) {
		i := &instance{ready: greetRedis}
		var err error
		if i.address, err = e.address(); err != nil {
			return i, err
		}
		_, port, _ := net.SplitHostPort(i.address) // made by address
		p, err := startProcess("redis-server", child(context.Background(), "redis-server", "--port", port, "--bind", "127.0.0.1",
			"--save", "", "--appendonly", "no", "--dir", e.folder))
		if err != nil {
			return i, err
		}
		i.origins = append(i.origins, p)
		return i, e.startHops(i, h, false, true)
	}
}

// killPlan is a first hop that knows two second hops, each with an origin behind it; with no second hop, the origins. It shall prefer the
// first one.
func killPlan(first func(e *environment, i *instance, listen, a, b string) (*process, error), second hop) plan {
	return func(e *environment) (*instance, error) {
		i := &instance{}
		var seconds [2]string
		for n := range seconds {
			at, err := e.address()
			if err != nil {
				return i, err
			}
			origin, err := startProcess("the origin", again(context.Background(), roleOrigin, at))
			if err != nil {
				return i, err
			}
			i.origins = append(i.origins, origin)
			i.servers = append(i.servers, server{Address: at, Pid: origin.pid()})
			if second == nil {
				seconds[n] = at
				continue
			}
			if seconds[n], err = e.address(); err != nil {
				return i, err
			}
			p, err := second(e, false, seconds[n], at)
			if err != nil {
				return i, err
			}
			i.hops = append(i.hops, p)
		}
		var err error
		if i.address, err = e.address(); err != nil {
			return i, err
		}
		p, err := first(e, i, i.address, seconds[0], seconds[1])
		if err != nil {
			return i, err
		}
		i.hops = append(i.hops, p)
		return i, i.waitReady()
	}
}

// poolproxyKill is a fully protected pool_user of two elements, with sidecars if the mapping has any. failover holds more settings of that
// block.
func poolproxyKill(mapping, failover string) plan {
	second := poolproxy("")
	if mapping == "none" {
		second = nil
	}
	return killPlan(func(e *environment, i *instance, listen, a, b string) (*process, error) {
		var err error
		if i.admin, err = e.address(); err != nil {
			return nil, err
		}
		return e.start(e.poolproxy, fmt.Sprintf(killUserConfig, i.admin, mapping, a, b, listen, failover), runConfig)
	}, second)
}

const killUserConfig = `log { level = "warn" }
admin { listen = "%s" }
pool "bench" {
  policy = "priority"
  mapping = "%s"
  element "a" {
    address = "%s"
    priority = 2
  }
  element "b" {
    address = "%s"
    priority = 1
  }
}

pool_user "bench" {
  listen = "%s"
  pool   = "bench"
  protocol "line" {
    safe = ["^"]
  }
  failover {
    replay = "unacked"
    ack    = "reply"
    %s
  }
}
`

// haproxyKill is the best that HAProxy can do for a protocol it does not know: it asks each server, through the second hop, for
// an echo every 100 ms; one that does not answer within 100 ms is down at once, its connections are closed so that clients can
// connect again, and connections that cannot be made go to the other.
func haproxyKill() plan {
	return killPlan(func(e *environment, _ *instance, listen, a, b string) (*process, error) {
		return e.start("haproxy", fmt.Sprintf(haproxyKillConfig, listen, a, b), haproxyArguments)
	}, haproxy(2, ""))
}

const haproxyKillConfig = `global
    nbthread 2
    maxconn 6000

defaults
    mode tcp
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout check 100ms
    option redispatch 1
    retries 3

frontend in
    bind %s
    default_backend out

backend out
    option tcp-check
    tcp-check connect
    tcp-check send echo\ check\n
    tcp-check expect string echo\ check
    default-server check inter 100ms fastinter 100ms downinter 100ms fall 1 rise 1 on-marked-down shutdown-sessions
    server a %s
    server b %s backup
`

// haproxyHTTP is haproxy in mode http, which keeps connections to the server alive and shares them, as it does by default.
func haproxyHTTP(threads int) hop {
	return func(e *environment, _ bool, listen, target string) (*process, error) {
		return e.start("haproxy", fmt.Sprintf(haproxyHTTPConfig, threads, listen, target), haproxyArguments)
	}
}

const haproxyHTTPConfig = `global
    nbthread %d
    maxconn 6000

defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s

frontend in
    bind %s
    default_backend out

backend out
    server next %s
`

// nginx is Debian's, with libnginx-mod-stream: a worker for each core.
func nginx(server string) hop {
	return func(e *environment, _ bool, listen, target string) (*process, error) {
		pid := filepath.Join(e.folder, "nginx-"+listen+".pid")
		config := fmt.Sprintf(nginxConfig, nginxModule, pid) + fmt.Sprintf(server, listen, target)
		cmd, err := e.command("nginx", config, func(file string) []string { return []string{"-e", "stderr", "-c", file} })
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM // so that its workers end, too
		p, err := startProcess("nginx", cmd)
		if err == nil {
			p.asks = true
		}
		return p, err
	}
}

// nginxModule is where Debian's package puts it.
const nginxModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

const nginxConfig = `load_module %s;
daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile 65536;
error_log stderr warn;
pid %s;
events { worker_connections 16384; }
`

const nginxStream = `stream {
    server {
        listen %s;
        proxy_pass %s;
        proxy_half_close on;
    }
}
`

// nginxHTTP keeps connections to the server, as many as there are clients, and for ever: by default it closes one after 1,000 requests.
const nginxHTTP = `http {
    access_log off;
    keepalive_requests 1000000000;
    server {
        listen %s;
        location / {
            proxy_pass http://next;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
    upstream next {
        server %s;
        keepalive 64;
        keepalive_requests 1000000000;
    }
}
`

// dialPatiently connects for one exchange: what is not over after patience fails.
func dialPatiently(address string) (*net.TCPConn, error) {
	c, err := dialTCP(address)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// greetHTTP asks for one page.
func greetHTTP(address string) error {
	c, err := dialPatiently(address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(appendGet(nil, 0, 0)); err != nil {
		return err
	}
	var reply []byte
	for piece := make([]byte, 1<<10); ; {
		n, err := c.Read(piece)
		reply = append(reply, piece[:n]...)
		if whole, wrong := checkHTTPReply(reply, 0, 0); whole || wrong != nil {
			return wrong
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}
