//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// system is one way to get from a client over two hops to the origin.
type system struct {
	name   string
	about  string // for the legend under the tables
	class  class  // the workloads it is for
	hop    hop    // nil: no hops, the client speaks to the origin itself
	needs  string // the program without which it is left out: "haproxy", "poolproxy" or none
	option bool   // only when it is asked for by name
}

// hop starts one process that listens and passes on to target. first is true for the hop beside the client.
type hop func(e *environment, first bool, listen, target string) (*process, error)

// The systems that all others are compared with: there is a table of ratios to each, as none is the best in every workload.
const (
	baseSystem   = "haproxy"
	singleSystem = "haproxy-1"
	spliceSystem = "haproxy-splice" // bulk only
)

// allSystems is the table of systems; the order is that of the columns.
var allSystems = []system{
	{name: baseSystem, needs: "haproxy", class: classAll, hop: haproxy(2, ""),
		about: "two HAProxy, mode tcp, nbthread 2 each: what it chooses itself on two cores"},
	{name: singleSystem, needs: "haproxy", class: classAll, hop: haproxy(1, ""),
		about: "the same with nbthread 1: better at a steady, light load"},
	{name: spliceSystem, needs: "haproxy", class: classBulk, hop: haproxy(2, haproxySplice),
		about: "the same as haproxy with splicing forced (option splice-request, splice-response)"},
	{name: "haproxy-1-splice", needs: "haproxy", class: classBulk, hop: haproxy(1, haproxySplice), option: true,
		about: "the same as haproxy-1 with splicing forced"},
	{name: "poolproxy-stream", needs: "poolproxy", class: classAll, hop: poolproxy(`protocol "stream" {}`),
		about: "two sidecars, mapping tcp, protocol stream with its defaults"},
	{name: "poolproxy-line", needs: "poolproxy", class: classRequests | classIdle, hop: poolproxy(poolproxyLine),
		about: "two sidecars, mapping tcp, protocol line: all requests safe, replay unacked, ack reply"},
	{name: "io.Copy", class: classAll, hop: ioCopy,
		about: "two plain TCP proxies in Go: a goroutine a direction and io.Copy, which splices"},
	{name: "direct", class: classAll &^ classIdle,
		about: "no proxy: what client and origin can do, the ceiling of this harness"},
}

func haproxy(threads int, extra string) hop {
	return func(e *environment, _ bool, listen, target string) (*process, error) {
		config := fmt.Sprintf(haproxyConfig, threads, extra, listen, target)
		return e.start("haproxy", config, func(file string) []string { return []string{"-db", "-f", file} })
	}
}

// haproxyConfig has no log, no statistics and no checks.
const haproxyConfig = `global
    nbthread %d
    maxconn 6000

defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
%s
frontend in
    bind %s
    maxconn 6000
    default_backend out

backend out
    server next %s
`

const haproxySplice = `    option splice-request
    option splice-response
`

// poolproxy starts a pool_user sidecar as the first hop and a pool_element sidecar as the second.
func poolproxy(user string) hop {
	return func(e *environment, first bool, listen, target string) (*process, error) {
		config := fmt.Sprintf(elementConfig, listen, target)
		if first {
			config = fmt.Sprintf(userConfig, target, listen, user)
		}
		return e.start(e.poolproxy, config, func(file string) []string { return []string{"run", "-config", file} })
	}
}

const commonConfig = `log { level = "warn" }
admin { listen = "off" }
limits { sessions = 20000 }
`

const userConfig = commonConfig + `
pool "bench" {
  mapping = "tcp"
  element "origin" { address = "%s" }
}

pool_user "bench" {
  listen = "%s"
  pool   = "bench"
  %s
}
`

const poolproxyLine = `protocol "line" {
    safe = ["^"]
  }
  failover {
    replay = "unacked"
    ack    = "reply"
  }`

const elementConfig = commonConfig + `
pool_element "origin" {
  listen  = "%s"
  server  = "%s"
  mapping = "tcp"
}
`

func ioCopy(_ *environment, _ bool, listen, target string) (*process, error) {
	return startProcess("io.Copy", again(context.Background(), roleCopy, listen, target))
}

// environment is what systems are started in.
type environment struct {
	folder    string // for configurations; removed at the end
	poolproxy string // the binary; "" if there is none
	origin    string // address
	files     int
	port      int // the last one given out
}

// start writes the configuration to a file of its own and starts the program with it.
func (e *environment) start(program, config string, args func(file string) []string) (*process, error) {
	e.files++
	file := filepath.Join(e.folder, fmt.Sprintf("%d.conf", e.files))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return startProcess(filepath.Base(program), child(context.Background(), program, args(file)...))
}

// The ports that are listened on lie below those that the kernel gives to outgoing connections.
const (
	firstPort = 12000
	lastPort  = 16000
)

// address finds a loopback address that nobody listens on.
func (e *environment) address() (string, error) {
	for e.port < lastPort {
		e.port = max(e.port+1, firstPort)
		at := fmt.Sprintf("127.0.0.1:%d", e.port)
		if l, err := net.Listen("tcp4", at); err == nil {
			return at, l.Close()
		}
	}
	return "", fmt.Errorf("no port is free between %d and %d", firstPort, lastPort)
}

// instance is a running system.
type instance struct {
	address string // where clients connect
	hops    []*process
}

// startSystem starts both hops and waits until a request comes through.
func (e *environment) startSystem(s system) (*instance, error) {
	i := &instance{address: e.origin}
	if s.hop == nil {
		return i, nil
	}
	for _, first := range []bool{false, true} {
		listen, err := e.address()
		if err != nil {
			return i, err
		}
		p, err := s.hop(e, first, listen, i.address)
		if err != nil {
			return i, err
		}
		i.address, i.hops = listen, append(i.hops, p)
	}
	return i, i.waitReady()
}

// readyWithin bounds the start of a system.
const readyWithin = 10 * time.Second

func (i *instance) waitReady() error {
	until := time.Now().Add(readyWithin)
	for {
		conns, err := greetAll(i.address, 1)
		hangUp(conns)
		if err == nil {
			return nil
		}
		for _, p := range i.hops {
			if gone := p.ended(); gone != nil {
				return gone
			}
		}
		if time.Now().After(until) {
			return fmt.Errorf("no request came through within %v: %w", readyWithin, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (i *instance) pids() []int {
	var pids []int
	for _, p := range i.hops {
		pids = append(pids, p.pid())
	}
	return pids
}

// alive is an error when a hop has ended.
func (i *instance) alive() error {
	for _, p := range i.hops {
		if err := p.ended(); err != nil {
			return err
		}
	}
	return nil
}

func (i *instance) stop() {
	for _, p := range i.hops {
		p.kill()
	}
}
