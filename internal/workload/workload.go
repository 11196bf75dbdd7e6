// Package workload is traffic that can be judged: clients that send numbered requests, servers that answer them and keep a journal of what
// they carried out, and a verdict over both. It proves, or refutes, "0 lost, 0 doubled, 0 mixed".
//
// What it stands on:
//
//   - A reply is a function of its request, so all servers answer alike. Every eight bytes of its content (eleven letters where it must be text) are
//     a number that no other place of any reply of the run has: an invertible mixture of session, request and offset. A byte from elsewhere
//     is seen, and where it came from can be said.
//   - What a request carries with it is made the same way, and checked by the server.
//   - A server writes each unsafe request into its journal before it answers, by one write to a file opened O_APPEND, which outlives kill -9.
//   - Requests say where the server is to pause, so that a plug can be pulled at a known place; clients tell where they are, and wait.
//
// A Client is one session, which is one connection; a Server is one process's; Judge says what went wrong between them.
package workload

import "fmt"

// Kind is the protocol that a workload speaks, named as poolproxy's protocol block is.
type Kind string

// The kinds. Redis has no Server here: a real one serves it, after LoadRedis.
const (
	Line   Kind = "line"   // safe = ["^GET "], lost and abort begin with "ERR "
	Length Kind = "length" // safe = [{ offset = 4, bytes = "47" }], lost and abort are messages that begin with "E"
	HTTP   Kind = "http"   // unsafe requests are POST
	Redis  Kind = "redis"  // unsafe requests are HINCRBY
	Stream Kind = "stream" // for replay = "session": each reply depends on all that was said before. Nothing in it is unsafe
)

// Kinds are all of them, in the order in which they are shown.
var Kinds = []Kind{Line, Length, HTTP, Redis, Stream}

// ParseKind returns the kind of that name; the error lists all.
func ParseKind(name string) (Kind, error) {
	for _, k := range Kinds {
		if string(k) == name {
			return k, nil
		}
	}
	return "", fmt.Errorf("there is no kind of workload %q: one of %v", name, Kinds)
}

// number of a kind, for what is mixed into its content.
func (k Kind) number() uint64 {
	for i, known := range Kinds {
		if k == known {
			return uint64(i) + 1
		}
	}
	return 0
}
