//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// environment is what systems are started in.
type environment struct {
	folder    string // for configurations; removed at the end
	poolproxy string // the binary; "" if there is none
	origin    string // address
	files     int
	port      int      // the last one given out
	workload  workload // that for which a system is being started
}

// start writes the configuration to a file of its own and starts the program with it.
func (e *environment) start(program, config string, args func(file string) []string) (*process, error) {
	cmd, err := e.command(program, config, args)
	if err != nil {
		return nil, err
	}
	return startProcess(filepath.Base(program), cmd)
}

func (e *environment) command(program, config string, args func(file string) []string) (*exec.Cmd, error) {
	e.files++
	file := filepath.Join(e.folder, fmt.Sprintf("%d.conf", e.files))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return child(context.Background(), program, args(file)...), nil
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
	ready   func(address string) error // nil: greetOne
	origins []*process                 // of its own; none: it uses that of the run
	servers []server                   // those of them that may be killed
	admin   string                     // address of the first hop's admin API; "" if there is none
	helpers []*process                 // what else belongs to it: its CPU time is ours, but not the system's
}

// startSystem starts a system for a workload and waits until a request comes through. On an error, too, the instance is to be stopped.
func (e *environment) startSystem(s system, w workload) (*instance, error) {
	e.workload = w
	if w.plan != "" {
		return s.plans[w.plan](e)
	}
	i := &instance{address: e.origin}
	if s.hop == nil {
		return i, nil
	}
	if s.single {
		return i, e.startHops(i, s.hop, true)
	}
	return i, e.startHops(i, s.hop, false, true)
}

// startHops puts hops before the address of i, one for each place (is it the first one, beside the client?), and waits until a request comes
// through.
func (e *environment) startHops(i *instance, h hop, places ...bool) error {
	for _, first := range places {
		listen, err := e.address()
		if err != nil {
			return err
		}
		p, err := h(e, first, listen, i.address)
		if err != nil {
			return err
		}
		i.address, i.hops = listen, append(i.hops, p)
	}
	return i.waitReady()
}

// readyWithin bounds the start of a system.
const readyWithin = 30 * time.Second

func (i *instance) waitReady() error {
	until := time.Now().Add(readyWithin)
	for {
		greet := i.ready
		if greet == nil {
			greet = greetOne
		}
		err := greet(i.address)
		if err == nil {
			return nil
		}
		if gone := i.alive(); gone != nil {
			return gone
		}
		if time.Now().After(until) {
			return fmt.Errorf("no request came through within %v: %w", readyWithin, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// greetOne sends one line.
func greetOne(address string) error {
	conns, err := greetAll(address, 1)
	hangUp(conns)
	return err
}

// pids are the processes of the hops, with those that they have started.
func (i *instance) pids() []int {
	var pids []int
	for _, p := range i.hops {
		pids = append(append(pids, p.pid()), children(p.pid())...)
	}
	return pids
}

// children are the processes that a process has started and that live. There are none where /proc does not tell.
func children(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var pids []int
	for _, word := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(word); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

// others are the processes that are ours and not measured: the servers.
func (i *instance) others(origin *process) []int {
	var pids []int
	if len(i.origins) == 0 {
		pids = append(pids, origin.pid())
	}
	for _, p := range i.helpers {
		pids = append(pids, p.pid())
	}
	for _, p := range i.origins {
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
	for _, p := range slices.Concat(i.hops, i.origins, i.helpers) {
		p.kill()
	}
}
