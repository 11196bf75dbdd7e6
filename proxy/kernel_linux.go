package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// kernel asks the Linux kernel about sockets (sock_diag(7)). It needs no privileges. It belongs to the loop's goroutine: a
// question takes some microseconds and is answered within the call.
type kernel struct {
	conn   *netlink.Conn
	owners map[netip.AddrPort]*owners // of the sockets that listen at these addresses
}

// openKernel returns nil where the kernel cannot be asked.
func openKernel() *kernel {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil
	}
	return &kernel{conn: conn, owners: make(map[netip.AddrPort]*owners)}
}

func (k *kernel) close() { _ = k.conn.Close() }

// sockDiagByFamily is SOCK_DIAG_BY_FAMILY of linux/sock_diag.h.
const sockDiagByFamily = 20

// inetDiagReqSize is the size of struct inet_diag_req_v2.
const inetDiagReqSize = 56

// life is what the kernel knows of a listening socket.
type life uint8

const (
	absent  life = iota // nothing listens
	present             // something listens; whose it is cannot be seen
	held                // something listens, and a process that is not exiting holds it
)

// listens tells whether a socket listens at the address. It asks for the connection of an impossible peer (port 0): the kernel finds
// what would accept it.
func (k *kernel) listens(at netip.AddrPort) (life, error) {
	inode, err := k.listener(at)
	if err != nil || inode == 0 {
		return absent, err
	}
	o := k.owners[at]
	if o == nil {
		o = &owners{}
		k.owners[at] = o
	}
	switch alive, known := o.alive(inode); {
	case alive:
		return held, nil
	case known:
		return absent, nil
	}
	return present, nil
}

// listener returns the inode of the socket that listens at the address, 0 if there is none.
func (k *kernel) listener(at netip.AddrPort) (inode uint32, err error) {
	replies, err := k.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request},
		Data:   listenerRequest(at),
	})
	switch {
	case errors.Is(err, os.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("proxy: sock_diag about %v: %w", at, err)
	}
	for _, r := range replies {
		const tcpListen, inodeAt = 10, 68 // in struct inet_diag_msg
		if len(r.Data) >= inodeAt+4 && r.Data[1] == tcpListen {
			return binary.NativeEndian.Uint32(r.Data[inodeAt:]), nil
		}
	}
	return 0, nil
}

// listenerRequest is a struct inet_diag_req_v2 for the socket that listens at the address.
func listenerRequest(at netip.AddrPort) []byte {
	req := make([]byte, inetDiagReqSize)
	addr := at.Addr().Unmap()
	req[0] = unix.AF_INET6
	if addr.Is4() {
		req[0] = unix.AF_INET
	}
	req[1] = unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[4:], 1<<10) // idiag_states: TCP_LISTEN
	binary.BigEndian.PutUint16(req[8:], at.Port())
	copy(req[12:28], addr.AsSlice()) // idiag_src
	copy(req[28:44], addr.AsSlice()) // idiag_dst
	for i := 48; i < inetDiagReqSize; i++ {
		req[i] = 0xff // INET_DIAG_NOCOOKIE
	}
	return req
}
