//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// trustworthy refuses a program that somebody else could have put there: who may ask the admin API, which may be any user of this host, is
// not to have a program of his own run as the proxy's user. It is to belong to root or to that user, and nobody else may write to it.
func trustworthy(program string) error {
	info, err := os.Stat(program)
	if err != nil {
		return fmt.Errorf("the program: %w", err)
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is no program: it has to be a file that can be executed", program)
	case info.Mode()&0o022 != 0:
		return fmt.Errorf("%s can be written to by others than its owner: it is not started (chmod go-w)", program)
	case known && owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d: it is not started; it has to be root's, or that of user %d, as which the proxy runs", program,
			owner.Uid, os.Geteuid())
	}
	return nil
}
