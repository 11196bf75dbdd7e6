//go:build !linux

package upgrade

import (
	"errors"
	"runtime"
)

// Open lists the sockets on which this process waits for others. On this system they cannot be found.
func Open() ([]Socket, error) {
	return nil, errors.New("upgrade: the sockets of a process cannot be listed on " + runtime.GOOS)
}
