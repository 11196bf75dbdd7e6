package main

import "time"

// The kinds of load. Each is run by a process of its own: this program, started again.
const (
	jobDown    = "down"    // bulk from the origin
	jobUp      = "up"      // bulk to the origin
	jobClosed  = "closed"  // a request as soon as its connection's last reply has come
	jobOpen    = "open"    // requests at a fixed rate, whatever the replies do
	jobConnect = "connect" // connect, one request, close, again
	jobIdle    = "idle"    // one request, then silence
	jobMixed   = "mixed"   // closed, beside a download
	jobStall   = "stall"   // open, alone and then beside a download that is never read
	jobKill    = "kill"    // closed, and the server is killed
	jobFreeze  = "freeze"  // closed, and the server is stopped
	jobHTTP    = "http"    // closed, with http
	jobRedis   = "redis"   // redis-benchmark
	jobSized   = "sized"   // closed, with messages of any size

	jobKillAgain = "kill again" // closed, and whichever server serves is killed, and started again, several times
)

// The names of what some loads work out themselves, in outcome.Values.
const (
	valueBulk      = "the download"
	valueRateShare = "rate to the same alone"
	valueP99Share  = "p99 to the same alone"
	valueBroken    = "broken"
	valueStuck     = "stuck"
	valueLost      = "lost"
	valueDoubled   = "doubled"
	valueGap       = "gap, median"
	valueGap99     = "gap, p99"
)

const (
	stepNoticed = "step: noticed after"
	stepFirst   = "step: first reply"
)

// recordSteps are the steps of a failover record that are shown, by their names in JSON. Times count from when the failure was noticed.
// What comes before that, from the kill on, no record can know; it is the gap less the first reply.
var recordSteps = []struct{ name, json string }{
	{"step: fence", "fence_ns"},
	{"step: choose", "choose_ns"},
	{"step: leg open", "connect_ns"},
	{"step: replayed", "replayed_ns"},
	{stepFirst, "first_reply_ns"},
}

// job is what the load process is told, as JSON in its argument.
type job struct {
	Kind        string
	Address     string // of the first hop
	Connections int
	Rate        int           `json:",omitempty"` // requests per second, all connections together
	Pipeline    int           `json:",omitempty"` // requests in flight on each connection
	Size        int           `json:",omitempty"` // of each message, where that is not lineSize
	Fill        int64         `json:",omitempty"` // bytes that each connection carries before the window
	Servers     []server      `json:",omitempty"` // the origins that may be killed, the one in use first
	Admin       string        `json:",omitempty"` // address of the first hop's admin API
	Warmup      time.Duration `json:",omitempty"` // before it, if not warmup
	Length      time.Duration // of the measured window
	Proxies     []int         // process ids whose CPU time and memory are the system's
	Others      []int         // process ids that are ours, too: the origin
}

// server is an origin process that a load may kill.
type server struct {
	Address string
	Pid     int
}

// outcome is what the load process answers, as JSON on its standard output.
type outcome struct {
	Error   string  `json:",omitempty"`
	Seconds float64 // length of the window, measured
	Count   int64   // replies or connections in the window; idle: sessions held
	Bytes   int64   // bulk: payload that arrived, checked

	P50, P99 time.Duration // of requests

	ProxyCPU, LoadCPU, OriginCPU float64 // seconds of CPU in the window
	Foreign                      float64 // share of the machine that was used by none of these

	Values map[string]float64 `json:",omitempty"` // what else the load has worked out

	ResidentBefore, ResidentAfter int64 // bytes, all proxies together
}
