//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// limits make the kernel find a dead path, and a dead peer, within seconds instead of minutes. The association gives up before all
// of its paths together have had their misses: a peer with one path left alive answers, and that resets the count.
func limits(fd int) error {
	rto := make([]byte, 16)
	native.PutUint32(rto[4:], 200)  // initial, ms
	native.PutUint32(rto[8:], 400)  // maximum
	native.PutUint32(rto[12:], 100) // minimum
	association := make([]byte, 20)
	native.PutUint16(association[4:], 5) // misses in a row until the association is lost
	path := make([]byte, 156)
	native.PutUint32(path[132:], 200) // heartbeat interval, ms
	native.PutUint16(path[136:], 3)   // misses in a row until the path is
	native.PutUint32(path[146:], 1)   // heartbeats on
	return errors.Join(setOption(fd, optRTOInfo, rto), setOption(fd, optAssocInfo, association), setOption(fd, optPeerAddrParams, path),
		setOption(fd, optNoDelay, []byte{1, 0, 0, 0}))
}

// bound opens a socket with the limits, at all of the addresses.
func bound(local []netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if !local[0].Addr().Is4() {
		family = unix.AF_INET6
	}
	fd, err := socket(family, 0)
	if err != nil {
		return -1, err
	}
	return fd, errors.Join(limits(fd), setOption(fd, optBindxAdd, packed(local)))
}

// serve echoes what comes over one association until that ends.
func serve(local []netip.AddrPort) error {
	listener, err := bound(local)
	if err != nil {
		return err
	}
	if err := unix.Listen(listener, 1); err != nil {
		return err
	}
	say("listening on %v", local)
	fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return err
	}
	if err := showAddresses(fd); err != nil {
		return err
	}
	for {
		message, notification, err := receive(fd)
		if err != nil || notification || len(message) == 0 {
			say("%s", outcome(message, notification, err))
		}
		switch {
		case err != nil:
			return err
		case notification:
		case len(message) == 0:
			return nil
		default:
			if err := send(fd, 0, 0, message); err != nil {
				return fmt.Errorf("sending the echo: %w", err)
			}
		}
	}
}

// dial sends numbered messages until the association ends. Each is sent when the last has come back.
func dial(local, remote []netip.AddrPort) error {
	fd, err := bound(local)
	if err != nil {
		return err
	}
	association, err := connectx(fd, remote)
	if err != nil {
		return err
	}
	say("association %d", association)
	if err := showAddresses(fd); err != nil {
		return err
	}
	for n := uint32(1); ; n++ {
		begin := time.Now()
		if err := send(fd, 0, n, fmt.Appendf(nil, "message %d", n)); err != nil {
			return fmt.Errorf("sending message %d: %w", n, err)
		}
		for done := false; !done; {
			message, notification, err := receive(fd)
			switch {
			case err != nil || notification || len(message) == 0:
				say("%s", outcome(message, notification, err))
				if err != nil || len(message) == 0 {
					return err
				}
			case string(message) != fmt.Sprintf("message %d", n):
				return fmt.Errorf("%q came back for message %d", message, n)
			default:
				say("echo %d after %d ms", n, time.Since(begin).Milliseconds())
				done = true
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// showAddresses prints what the kernel takes for the two ends of the association.
func showAddresses(fd int) error {
	here, err := listAddresses(fd, optGetLocalAddrs)
	if err != nil {
		return err
	}
	there, err := listAddresses(fd, optGetPeerAddrs)
	if err != nil {
		return err
	}
	say("local addresses %v, peer addresses %v", here, there)
	return nil
}

// errno finds the kernel's error in a chain.
func errno(err error) unix.Errno {
	var e unix.Errno
	errors.As(err, &e)
	return e
}
