//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// The systems of the series of elements. They differ in what is behind the pool user, which alone is measured.
const (
	elementsSystem = "poolproxy-elements"
	aliveSystem    = "others alive"
	deadSystem     = "one other alive"
)

// elementAddress is the i-th of many loopback addresses.
func elementAddress(i int, port string) string {
	return net.JoinHostPort(fmt.Sprintf("127.2.%d.%d", i>>8, i&255), port)
}

// elements is a plan for as many elements as the workload asks for, all at one port. start starts them, and the pool user.
func elements(start func(e *environment, i *instance, n int, port string) error) plan {
	return func(e *environment) (*instance, error) {
		i := &instance{}
		at, err := e.address()
		if err != nil {
			return i, err
		}
		_, port, _ := net.SplitHostPort(at) // made by address
		return i, start(e, i, e.workload.elements, port)
	}
}

// elementsPlan is a pool of elements that each have a pool_element of their own in one process, all before the run's origin.
func elementsPlan(e *environment, i *instance, n int, port string) error {
	if err := e.startElements(i, 0, n, port, e.origin); err != nil {
		return err
	}
	return e.startUser(i, commonConfig, "round_robin", n, port)
}

// elementsKill is the same with two servers: the first element's, which serves all sessions, and one for all others; or for the last one
// alone, while at the others' addresses nobody listens.
func elementsKill(alive bool) plan {
	return elements(func(e *environment, i *instance, n int, port string) error {
		from := 1
		if !alive {
			from = n - 1
		}
		for _, part := range [][2]int{{0, 1}, {from, n}} {
			origin, err := e.address()
			if err != nil {
				return err
			}
			server, err := startProcess("the origin", again(context.Background(), roleOrigin, origin))
			if err != nil {
				return err
			}
			i.origins, i.servers = append(i.origins, server), append(i.servers, serverAt(origin, server))
			if err := e.startElements(i, part[0], part[1], port, origin); err != nil {
				return err
			}
		}
		var err error
		if i.admin, err = e.address(); err != nil {
			return err
		}
		return e.startUser(i, fmt.Sprintf("log { level = \"warn\" }\nadmin { listen = %q }\n", i.admin), "priority", n, port)
	})
}

// startElements starts a process with the elements first to last-1 in front of one server.
func (e *environment) startElements(i *instance, first, last int, port, server string) error {
	p, err := e.start(e.poolproxy, commonConfig+poolElements(first, last, port, server), runConfig)
	if err == nil {
		i.helpers = append(i.helpers, p)
	}
	return err
}

func serverAt(address string, p *process) server { return server{Address: address, Pid: p.pid()} }

// startUser starts the pool user of n elements and waits until a request comes through. With policy priority the first one is preferred.
func (e *environment) startUser(i *instance, common, policy string, n int, port string) error {
	var config strings.Builder
	fmt.Fprintf(&config, "%s\npool \"bench\" {\n  policy  = %q\n  mapping = \"tcp\"\n", common, policy)
	for k := range n {
		priority := ""
		if policy == "priority" && k == 0 {
			priority = "\n    priority = 1"
		}
		fmt.Fprintf(&config, "  element \"e%d\" {\n    address = %q%s\n  }\n", k, elementAddress(k, port), priority)
	}
	var err error
	if i.address, err = e.address(); err != nil {
		return err
	}
	fmt.Fprintf(&config, "}\n\npool_user \"bench\" {\n  listen = %q\n  pool   = \"bench\"\n  %s\n}\n", i.address, poolproxyLine)
	p, err := e.start(e.poolproxy, config.String(), runConfig)
	if err != nil {
		return err
	}
	i.hops = append(i.hops, p)
	return i.waitReady()
}

// poolElements are the blocks of the elements first to last-1 in front of one server.
func poolElements(first, last int, port, server string) string {
	var out strings.Builder
	for k := first; k < last; k++ {
		fmt.Fprintf(&out, "pool_element \"e%d\" {\n  listen = %q\n  server = %q\n}\n", k, elementAddress(k, port), server)
	}
	return out.String()
}
