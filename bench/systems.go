//go:build linux

package main

import (
	"context"
	"fmt"
)

// system is one way to get from a client over two hops to the origin.
type system struct {
	name   string
	about  string // for the legend under the tables
	class  class  // the workloads it is for
	hop    hop    // nil: no hops, the client speaks to the origin itself
	single bool   // there is one hop, not two
	needs  string // the program without which it is left out: "haproxy", "poolproxy" or none
	option bool   // only when it is asked for by name
	plans  map[string]plan
}

// does tells whether the workload is measured of the system.
func (s system) does(w workload) bool {
	if w.plan != "" {
		return s.plans[w.plan] != nil
	}
	return s.class&w.class != 0
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
var allSystems = append([]system{
	{name: baseSystem, needs: "haproxy", class: classAll, hop: haproxy(2, ""),
		about: "two HAProxy, mode tcp, nbthread 2 each: what it chooses itself on two cores; for kill and freeze with checks every 100 ms, " +
			"redispatch and shutdown-sessions",
		plans: map[string]plan{planKill: haproxyKill(), planFreeze: haproxyKill(), planHTTP: httpPlan(haproxyHTTP(2)),
			planLink: linkPlan(haproxy(2, "")), planRedis: redisPlan(haproxy(2, ""))}},
	{name: singleSystem, needs: "haproxy", class: classAll, hop: haproxy(1, ""),
		about: "the same with nbthread 1: better at a steady, light load",
		plans: map[string]plan{planHTTP: httpPlan(haproxyHTTP(1)), planRedis: redisPlan(haproxy(1, ""))}},
	{name: "nginx", needs: "nginx", class: classBulk | classRequests | classConnect, hop: nginx(nginxStream),
		about: "two nginx with libnginx-mod-stream, a worker for each core; for http proxy_pass with keepalive",
		plans: map[string]plan{planHTTP: httpPlan(nginx(nginxHTTP)), planRedis: redisPlan(nginx(nginxStream))}},
	{name: spliceSystem, needs: "haproxy", class: classBulk, hop: haproxy(2, haproxySplice),
		about: "the same as haproxy with splicing forced (option splice-request, splice-response)"},
	{name: "haproxy-1-splice", needs: "haproxy", class: classBulk, hop: haproxy(1, haproxySplice), option: true,
		about: "the same as haproxy-1 with splicing forced"},
	{name: "poolproxy-stream", needs: "poolproxy", class: classAll, hop: poolproxy(`protocol "stream" {}`),
		about: "two sidecars, mapping tcp, protocol stream with its defaults"},
	{name: "poolproxy-line", needs: "poolproxy", class: classAll&^classBulk | classLegion, hop: poolproxy(poolproxyLine),
		about: "two sidecars, mapping tcp, protocol line: all requests safe, replay unacked, ack reply; for kill and freeze three, and " +
			"two servers, for freeze with reply_timeout 200 ms",
		plans: map[string]plan{planKill: poolproxyKill("tcp", ""), planFreeze: poolproxyKill("tcp", `reply_timeout = "200ms"`),
			planLink: linkPlan(poolproxy(poolproxyLine))}},
	poolproxyLines(2), poolproxyLines(4), poolproxyLines(8),
	{name: elementsSystem, needs: "poolproxy", option: true, plans: map[string]plan{planElements: elements(elementsPlan)}, about: "a pool of many elements"},
	{name: aliveSystem, needs: "poolproxy", option: true, plans: map[string]plan{planElements: elementsKill(true)}, about: "the same, one is killed"},
	{name: deadSystem, needs: "poolproxy", option: true, plans: map[string]plan{planElements: elementsKill(false)},
		about: "the same, and all but one of the others are dead"},
	{name: sessionSystem, needs: "poolproxy", class: classHistory, hop: poolproxy(poolproxySession), option: true,
		about: "as poolproxy-line, with replay session and retrieval.memory 256 MiB"},
	{name: "poolproxy-none", needs: "poolproxy", class: classRequests | classConnect, hop: poolproxyNone(poolproxyLine), single: true,
		about: "ONE sidecar, and so one hop less than all others: mapping none, which connects to the servers itself; else as poolproxy-line",
		plans: map[string]plan{planKill: poolproxyKill("none", "")}},
	{name: "poolproxy-none-stream", needs: "poolproxy", class: classBulk, hop: poolproxyNone(`protocol "stream" {}`), single: true,
		about: "the same with protocol stream and its defaults"},
	{name: "poolproxy-http", needs: "poolproxy", about: "two sidecars, mapping tcp, protocol http with its defaults",
		plans: map[string]plan{planHTTP: httpPlan(poolproxy(`protocol "http" {}`))}},
	{name: "poolproxy-redis", needs: "poolproxy", about: "two sidecars, mapping tcp, protocol redis with its defaults",
		plans: map[string]plan{planRedis: redisPlan(poolproxy(`protocol "redis" {}`))}},
	{name: "io.Copy", class: classAll &^ classCrowd, hop: ioCopy, // 6 descriptors for each session
		about: "two plain TCP proxies in Go: a goroutine a direction and io.Copy, which splices"},
	{name: "direct", class: classAll &^ (classIdle | classCrowd),
		about: "no proxy: what client and origin can do, the ceiling of this harness"},
}, tlsSystems()...)

// poolproxyLines is poolproxy-line with several associations with the element.
func poolproxyLines(n int) system {
	h := poolproxy(fmt.Sprintf("associations = %d\n  %s", n, poolproxyLine))
	return system{name: fmt.Sprintf("poolproxy-line-%d", n), needs: "poolproxy", class: classRequests | classBeside, hop: h, option: true,
		about: fmt.Sprintf("as poolproxy-line, with %d associations", n), plans: map[string]plan{planLink: linkPlan(h)}}
}

func haproxy(threads int, extra string) hop {
	return func(e *environment, _ bool, listen, target string) (*process, error) {
		most := 6000
		if e.workload.fresh && e.workload.job.Connections > 5000 {
			most = e.workload.job.Connections + 100
		}
		config := fmt.Sprintf(haproxyConfig, threads, most, extra, listen, most, target)
		return e.start("haproxy", config, haproxyArguments)
	}
}

func haproxyArguments(file string) []string { return []string{"-db", "-f", file} }

// haproxyConfig has no log, no statistics and no checks.
const haproxyConfig = `global
    nbthread %d
    maxconn %d

defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
%s
frontend in
    bind %s
    maxconn %d
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
			config = fmt.Sprintf(userConfig, "tcp", target, listen, user)
		}
		return e.start(e.poolproxy, config, runConfig)
	}
}

// poolproxyNone starts a pool_user sidecar with mapping none.
func poolproxyNone(user string) hop {
	return func(e *environment, _ bool, listen, target string) (*process, error) {
		return e.start(e.poolproxy, fmt.Sprintf(userConfig, "none", target, listen, user), runConfig)
	}
}

func runConfig(file string) []string { return []string{"run", "-config", file} }

const commonConfig = `log { level = "warn" }
admin { listen = "off" }
limits { sessions = 25000 }
`

const userConfig = commonConfig + `
pool "bench" {
  mapping = "%s"
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

const poolproxySession = `protocol "line" {
    safe = ["^"]
  }
  retrieval { memory = "256MiB" }
  failover {
    replay = "session"
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
