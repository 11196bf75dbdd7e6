//go:build unix

package access

import "syscall"

// openFlags: a named pipe that nobody reads is an error, and not a start that hangs.
const openFlags = syscall.O_NONBLOCK
