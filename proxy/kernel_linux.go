package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// kernel asks the Linux kernel about sockets (sock_diag(7)). It needs no privileges. It belongs to the loop's goroutine: a question takes some
// microseconds and is answered within the call.
type kernel struct {
	conn *netlink.Conn
}

// openKernel returns nil where the kernel cannot be asked.
func openKernel() *kernel {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil
	}
	k := &kernel{conn: conn}
	runtime.AddCleanup(k, func(c *netlink.Conn) { _ = c.Close() }, conn)
	return k
}

// sockDiagByFamily is SOCK_DIAG_BY_FAMILY of linux/sock_diag.h.
const sockDiagByFamily = 20

// inetDiagReqSize is the size of struct inet_diag_req_v2.
const inetDiagReqSize = 56

// listens reports whether a socket listens at the address. It asks for the connection of an impossible peer (port 0): the kernel finds
// what would accept it.
func (k *kernel) listens(at netip.AddrPort) (bool, error) {
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
	for i := 48; i < 56; i++ {
		req[i] = 0xff // INET_DIAG_NOCOOKIE
	}
	replies, err := k.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request},
		Data:   req,
	})
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("proxy: sock_diag about %v: %w", at, err)
	}
	const tcpListen = 10
	for _, r := range replies {
		if len(r.Data) > 1 && r.Data[1] == tcpListen {
			return true, nil
		}
	}
	return false, nil
}
