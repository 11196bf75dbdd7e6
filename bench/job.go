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
)

// job is what the load process is told, as JSON in its argument.
type job struct {
	Kind        string
	Address     string // of the first hop
	Connections int
	Rate        int           `json:",omitempty"` // requests per second, all connections together
	Length      time.Duration // of the measured window
	Proxies     []int         // process ids whose CPU time and memory are the system's
	Others      []int         // process ids that are ours, too: the origin
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

	ResidentBefore, ResidentAfter int64 // bytes, all proxies together
}
