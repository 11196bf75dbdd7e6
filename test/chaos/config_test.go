//go:build linux

package chaos

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// Times of every world. Silence must be noticed within what a cell may take; on a loaded machine a sidecar that gets no processor for so
// long is taken for dead, which moves sessions and harms none.
const (
	beat         = 100 * time.Millisecond
	misses       = 3
	silence      = beat * (misses + 1) // until a side that hears nothing gives the other up
	resumes      = 300 * time.Millisecond
	fences       = 600 * time.Millisecond
	replyTimeout = 1200 * time.Millisecond // longer than any hold
	deadline     = 30 * time.Second
)

// dialect is how one pool is spoken to, as the columns of the table have it.
type dialect struct {
	name     string // in the table
	kind     workload.Kind
	protocol string // HCL
	failover string // further settings, HCL
	// unprotected: a session of it does not survive its server, and must say so by its end.
	unprotected bool
	// differs: the servers of all hosts but the first reply with other content.
	differs bool
}

// dialects are the five protocols, and stream as it is by default, which is not protected and must end as promised.
var dialects = []dialect{
	{name: "line", kind: workload.Line, protocol: `protocol "line" {
    safe  = ["^GET "]
    lost  = "ERR lost\n"
    abort = "ERR abort\n"
  }`},
	{name: "length", kind: workload.Length, protocol: `protocol "length" {
    safe  = [{ offset = 4, bytes = "47" }]
    lost  = "\u0000\u0000\u0000\u0005Elost"
    abort = "\u0000\u0000\u0000\u0006Eabort"
  }`},
	{name: "http", kind: workload.HTTP, protocol: `protocol "http" {}`},
	{name: "redis", kind: workload.Redis, protocol: `protocol "redis" {}`},
	{name: "stream+session", kind: workload.Stream, protocol: `protocol "stream" {}`, failover: "    replay = \"session\"\n"},
	{name: "stream", kind: workload.Stream, protocol: `protocol "stream" {}`, unprotected: true},
}

// Ports: a dialect's number is added to each of them, and 50 for mapping none.
const (
	portUser    = 5000 // of a pool_user, on the client's host
	portElement = 7000 // of a pool_element
	portServer  = 8000
	portNone    = 50
)

// adminAddress is that of every sidecar: each host has a loopback of its own.
const adminAddress = "127.0.0.1:7878"

// heartbeats is the block of both sides.
var heartbeats = fmt.Sprintf("  heartbeat {\n    interval = %q\n    misses = %d\n  }\n", beat, misses)

// userConfig is the configuration of a world's pool_user process: a pool and a pool_user for each column.
func (w *world) userConfig() string {
	var b strings.Builder
	b.WriteString(w.common(w.user))
	for _, c := range w.columns {
		fmt.Fprintf(&b, "pool %q {\n  policy = \"priority\"\n  mapping = %q\n", c.name, c.mapping)
		if w.cluster != nil {
			b.WriteString("  source = \"etcd.world\"\n")
		} else {
			for i, h := range w.hosts {
				fmt.Fprintf(&b, "  element %q {\n    address = \"%s:%d\"\n    priority = %d\n  }\n", c.element(i), h.address, c.portAt(), 9-i)
			}
		}
		fmt.Fprintf(&b, "}\npool_user %q {\n  listen = \"%s:%d\"\n  pool = %q\n  %s\n", c.name, w.user.address, c.port(portUser), c.name,
			c.dialect.protocol)
		b.WriteString(c.failover())
		b.WriteString("}\n")
	}
	return b.String()
}

// common is what both sides have. The access log is on the host's disk, which may be full.
func (w *world) common(h *host) string {
	return fmt.Sprintf("log { level = %q }\nadmin { listen = %q }\naccess_log { file = %q }\n%s", w.plan.level, adminAddress,
		filepath.Join(w.diskOf(h), "access.log"), w.source())
}

// failover are the blocks of a pool_user that say how it fails over.
func (c *column) failover() string {
	text, more := "", c.dialect.failover
	if c.mapping != "none" {
		text = heartbeats
		more += fmt.Sprintf("    resume = %q\n    fence = %q\n", resumes, fences)
	}
	if c.mapping == "none" && !c.dialect.unprotected {
		more += "    on_server_close = \"failover\"\n" // a reset that somebody injects looks as the server's own
	}
	if c.dialect.kind != workload.Stream {
		more += fmt.Sprintf("    reply_timeout = %q\n", replyTimeout)
	}
	return fmt.Sprintf("%s  failover {\n%s    deadline = %q\n    attempts = 20\n  }\n", text, more, deadline)
}

// elementConfig is that of the sidecar before the servers of a host.
func (w *world) elementConfig(i int) string {
	var b strings.Builder
	h := w.hosts[i]
	b.WriteString(w.common(h))
	for _, c := range w.columns {
		if c.mapping == "none" && w.cluster == nil {
			continue
		}
		fmt.Fprintf(&b, "pool_element %q {\n  server = \"%s:%d\"\n", c.element(i), h.address, c.port(portServer))
		fmt.Fprintf(&b, "  listen = \"%s:%d\"\n%s", h.address, c.port(portElement), heartbeats)
		if w.cluster != nil {
			fmt.Fprintf(&b, "  register {\n    pool = %q\n    source = \"etcd.world\"\n    name = %q\n    policy = \"priority\"\n    priority = %d\n",
				c.name, c.element(i), 9-i)
			if c.mapping == "none" {
				fmt.Fprintf(&b, "    mapping = \"none\"\n    address = \"%s:%d\"\n", h.address, c.portAt())
			}
			b.WriteString("  }\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// source is the block of the etcd cluster, if the world has one.
func (w *world) source() string {
	if w.cluster == nil {
		return ""
	}
	return fmt.Sprintf("source \"etcd\" \"world\" {\n  endpoints = [\"%s\"]\n  lease = \"5s\"\n  timeout = \"1s\"\n}\n", strings.Join(w.cluster.endpoints(), `", "`))
}
