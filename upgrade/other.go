//go:build !linux

package upgrade

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// Successor is the new process, as the old one sees it. On this system there is none: descriptors of live connections cannot be handed over.
type Successor struct{}

// Start is an error on this system.
func Start(Command, []Socket, []byte) (*Successor, error) {
	return nil, fmt.Errorf("upgrade: a process cannot be replaced under live connections on %s: restart it", runtime.GOOS)
}

// PID is the process's number.
func (s *Successor) PID() int { panic("upgrade: there is no successor on " + runtime.GOOS) }

// Ready waits until the new process could serve.
func (s *Successor) Ready(time.Time) error {
	panic("upgrade: there is no successor on " + runtime.GOOS)
}

// Send hands something over.
func (s *Successor) Send(Item) error { panic("upgrade: there is no successor on " + runtime.GOOS) }

// Commit has the new process take over.
func (s *Successor) Commit() error { panic("upgrade: there is no successor on " + runtime.GOOS) }

// GiveUp ends the new process.
func (s *Successor) GiveUp() {}

// Kill ends the new process.
func (s *Successor) Kill() {}

// Predecessor is the old process, as the new one sees it. On this system there is none.
type Predecessor struct {
	Version string
	PID     int
	Sockets []Socket
	Begin   []byte
}

// Follow returns nil: no process is replaced on this system.
func Follow() (*Predecessor, error) {
	os.Unsetenv(Variable)
	return nil, nil
}

// Ready tells the old process that this one could serve.
func (p *Predecessor) Ready() error { panic("upgrade: there is no predecessor on " + runtime.GOOS) }

// Next returns what is handed over.
func (p *Predecessor) Next() (Item, bool, error) {
	panic("upgrade: there is no predecessor on " + runtime.GOOS)
}

// Take takes over.
func (p *Predecessor) Take() error { panic("upgrade: there is no predecessor on " + runtime.GOOS) }

// Fail tells the old process why this one gives up.
func (p *Predecessor) Fail(error) {}
