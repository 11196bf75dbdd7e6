//go:build linux

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawCall reads or writes p, which must not be empty. On an error the count is 0.
func rawCall(call uintptr, fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
