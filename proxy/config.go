package proxy

import (
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// Config is what a process runs: plain values, checked. cmd/poolproxy makes it from HCL.
type Config struct {
	Log      Log
	Admin    Admin
	Limits   Limits
	Grace    time.Duration // how long sessions may go on after a stop was asked for
	Pools    []Pool
	Users    []User
	Elements []Element
}

// Log says what is logged and how.
type Log struct {
	Level string // trace, debug, info, warn, error
	JSON  bool
}

// Admin is where the admin API listens; an invalid address is none.
type Admin struct {
	Listen netip.AddrPort
}

// Limits bound the process.
type Limits struct {
	Sessions int   // at once
	Memory   int64 // bytes retained and queued, all sessions together
}

// Pool is a static pool.
type Pool struct {
	Handle   string
	Policy   pool.Policy
	Mapping  mapping.ID
	Elements []pool.Element
}

// User is the pool_user side: it stands beside clients.
type User struct {
	Name      string
	Listen    netip.AddrPort
	Pool      string // a pool handle in Config.Pools
	Protocol  protocol.Protocol
	Heartbeat mapping.Heartbeat
	Memory    int // bytes of one session's retrieval
	Failover  session.Failover
}

// Element is the pool_element side: it stands in front of one server.
type Element struct {
	Name      string
	Listen    netip.AddrPort
	Server    netip.AddrPort
	Mapping   mapping.ID
	Heartbeat mapping.Heartbeat
	Memory    int           // bytes of one session's buffers
	Hold      time.Duration // the longest that a leg is kept for a pool user out of touch
}
