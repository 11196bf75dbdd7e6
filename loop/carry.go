package loop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// A connection can be carried into another process: its descriptor by SCM_RIGHTS, and beside it what this process knows of it and the
// kernel does not tell again (Kept). What has arrived and was not read, and what was written and not sent, is in the kernel.

// Carrier is a Conn that another process can go on with.
type Carrier interface {
	Conn

	// Carry tells what has to be carried. Nothing changes by that: this process may as well go on. The descriptor stays the Conn's; it is
	// -1 if there is none any more, because the connection has failed. ok is false once the Conn is closed.
	Carry() (fd int, k Kept, ok bool)

	// Abandon closes this process's descriptor once another process has its own: the peer notices nothing. The Conn is closed with that,
	// and its Handler hears nothing more.
	Abandon()
}

// Heir is a Loop that goes on with connections of another process.
type Heir interface {
	Loop

	// Inherit makes a connection this loop's, and so its descriptor, also if there is an error. The Handler hears what the one in the other
	// process has not: nothing of the end if that was read (Kept), else whatever is ready. It hears nothing within the call.
	Inherit(fd int, k Kept, h Handler) (Conn, error)
}

// Kept is what a process knows of a connection.
type Kept struct {
	Remote     netip.AddrPort
	Connecting bool  // Dial was called, and nothing was said since
	Shut       bool  // CloseWrite was called
	Fin        bool  // the peer has finished in order
	Spoken     bool  // Read has returned the end, or the error
	HungUp     bool  // Hangup was said
	Err        error // what Conn.Err says
}

const (
	keptVersion = 1
	maxKept     = 2 + 1 + 4 + 18 + 64
)

// The bits of a Kept, as it is written.
const (
	keptConnecting = 1 << iota
	keptShut
	keptFin
	keptSpoken
	keptHungUp
)

// Why a connection has failed, as it is written.
const (
	keptNoError = iota
	keptReset
	keptRefused
	keptErrno
	keptOther
)

// AppendBinary appends the Kept as bytes (encoding.BinaryAppender): version, bits, the kind of the error and its number, the address.
func (k Kept) AppendBinary(to []byte) ([]byte, error) {
	bits := byte(0)
	for i, set := range []bool{k.Connecting, k.Shut, k.Fin, k.Spoken, k.HungUp} {
		if set {
			bits |= 1 << i
		}
	}
	kind, number := k.failure()
	to = append(to, keptVersion, bits, kind)
	to = binary.BigEndian.AppendUint32(to, number)
	return k.Remote.AppendBinary(to)
}

func (k Kept) failure() (kind byte, number uint32) {
	var errno syscall.Errno
	switch {
	case k.Err == nil:
		return keptNoError, 0
	case errors.Is(k.Err, ErrReset):
		return keptReset, 0
	case errors.Is(k.Err, ErrRefused):
		return keptRefused, 0
	case errors.As(k.Err, &errno):
		return keptErrno, uint32(errno)
	}
	return keptOther, 0
}

var errKept = errors.New("loop: not the state of a connection that this version understands")

// UnmarshalBinary reads what AppendBinary has written (encoding.BinaryUnmarshaler).
func (k *Kept) UnmarshalBinary(p []byte) error {
	if len(p) < 7 || len(p) > maxKept || p[0] != keptVersion || p[2] > keptOther {
		return errKept
	}
	bits := p[1]
	*k = Kept{Connecting: bits&keptConnecting != 0, Shut: bits&keptShut != 0, Fin: bits&keptFin != 0, Spoken: bits&keptSpoken != 0,
		HungUp: bits&keptHungUp != 0}
	if err := k.Remote.UnmarshalBinary(p[7:]); err != nil {
		return fmt.Errorf("%w: %w", errKept, err)
	}
	switch p[2] {
	case keptReset:
		k.Err = fmt.Errorf("connection with %v: %w", k.Remote, ErrReset)
	case keptRefused:
		k.Err = fmt.Errorf("connection with %v: %w", k.Remote, ErrRefused)
	case keptErrno:
		k.Err = failure("connection with", k.Remote, syscall.Errno(binary.BigEndian.Uint32(p[3:])))
	case keptOther:
		k.Err = fmt.Errorf("connection with %v failed before this process has taken it over", k.Remote)
	}
	return nil
}
