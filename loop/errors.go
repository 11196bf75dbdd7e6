package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// What Windows calls the same errors. Elsewhere no error has these numbers.
const (
	wsaConnAborted = syscall.Errno(10053)
	wsaConnReset   = syscall.Errno(10054)
	wsaConnRefused = syscall.Errno(10061)
)

// failure makes the error of a connection: what was tried, with whom, and why it failed, wrapping ErrReset or ErrRefused where
// that is the reason and the system's error where it is another.
func failure(what string, with netip.AddrPort, err error) error {
	switch {
	case err == nil:
		return nil
	case isOneOf(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, wsaConnReset, wsaConnAborted):
		err = ErrReset
	case isOneOf(err, syscall.ECONNREFUSED, wsaConnRefused):
		err = ErrRefused
	case isOneOf(err, syscall.EMFILE, syscall.ENFILE):
		err = fmt.Errorf("%w: %w", ErrScarce, err)
	}
	return fmt.Errorf("%s %v: %w", what, with, err)
}

func isOneOf(err error, reasons ...syscall.Errno) bool {
	for _, reason := range reasons {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
