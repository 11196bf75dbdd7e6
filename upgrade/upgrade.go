package upgrade

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
)

// Networks of a Socket, in the words of package net; SCTP has none there.
const (
	TCP  = "tcp"
	UDP  = "udp"
	SCTP = "sctp"
)

// Socket is one on which a process waits for others.
type Socket struct {
	Network string         `json:"network"`
	Address netip.AddrPort `json:"address"` // where it is bound; of several addresses the first
	FD      int            `json:"-"`
}

// Item is something that is handed over. Its bytes are the owners' affair.
type Item struct {
	Body []byte
	FD   int // -1: none
}

// hello is what the old process says of itself.
type hello struct {
	Version   int    `json:"version"`   // of the conversation
	Poolproxy string `json:"poolproxy"` // the version of the program, for people
	PID       int    `json:"pid"`
}

// Variable is the environment variable by which a process knows that it takes another one's place: the descriptor of its end of the
// conversation.
const Variable = "POOLPROXY_UPGRADE_FD"

// TakeTime is how long the new process may need from the moment that the old one stands still until it has said that it has all. It is less
// than the time after which other sidecars would take their sessions elsewhere.
const TakeTime = 3 * time.Second

// takenTime is how long it may need to say that it has taken over; it has nothing to do but that. killedTime is how long the kernel may need
// to end a process that is killed.
const (
	takenTime  = 10 * time.Second
	killedTime = 10 * time.Second
)

// ErrTaken is wrapped by an error after which the old process must not go on: the new one may have begun to serve.
var ErrTaken = errors.New("upgrade: the new process has taken over")

// Command is the program that takes over.
type Command struct {
	Path           string   // of the binary
	Args           []string // with its own name first
	Stdout, Stderr *os.File
	Version        string // of the program that runs now, for people
}

func count(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func checkCount(body []byte, n int) error {
	if len(body) != 8 || binary.BigEndian.Uint64(body) != uint64(n) {
		return fmt.Errorf("%w: %d items came, and that is not what the other one says", ErrProtocol, n)
	}
	return nil
}
