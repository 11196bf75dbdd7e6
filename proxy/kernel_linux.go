package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// kernel asks the Linux kernel about sockets (sock_diag(7)). It needs no privileges. It belongs to the loop's goroutine: a
// question takes some microseconds and is answered within the call.
type kernel struct {
	conn     *netlink.Conn
	raw      syscall.RawConn // of conn
	sequence uint32          // of the last question
	buf      [4096]byte      // of the last answer
	census   *census         // of the processes that hold listening sockets, for all shards
}

// openKernel returns nil where the kernel cannot be asked.
func openKernel(c *census) *kernel {
	k := &kernel{census: c}
	if k.open() != nil {
		return nil
	}
	return k
}

func (k *kernel) open() error {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return err
	}
	k.conn, k.raw = conn, raw
	return nil
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

// listener returns the inode of the socket that listens at the address, 0 if there is none. It asks for the connection of an impossible
// peer (port 0): the kernel finds what would accept it.
func (k *kernel) listener(at netip.AddrPort) (inode uint32, err error) {
	msg, err := k.ask(diagRequest(at, netip.AddrPortFrom(at.Addr(), 0), 0))
	if err != nil {
		return 0, fmt.Errorf("proxy: sock_diag about %v: %w", at, err)
	}
	if msg == nil || msg.state() != tcpListen {
		return 0, nil
	}
	return msg.inode(), nil
}

// backlog is how many connections wait to be accepted by the socket that listens at the address, and how many may. Of several
// that share the address (SO_REUSEPORT) it is one.
func (k *kernel) backlog(at netip.AddrPort) (waiting, most int, err error) {
	msg, err := k.ask(diagRequest(at, netip.AddrPortFrom(at.Addr(), 0), 0))
	if err != nil {
		return 0, 0, fmt.Errorf("proxy: sock_diag about %v: %w", at, err)
	}
	if msg == nil || msg.state() != tcpListen {
		return 0, 0, fmt.Errorf("proxy: nobody listens at %v", at)
	}
	return int(msg.received()), int(msg.room()), nil
}

// ask returns what the kernel knows of one socket, nil if there is none. It is valid until the next question.
func (k *kernel) ask(request []byte) (diagMessage, error) {
	answer, err := k.exchange(request)
	if err != nil {
		k.reopen()
		return nil, err
	}
	return answered(answer)
}

// answered is what an answer says, nil if there is no such socket.
func answered(answer netlink.Message) (diagMessage, error) {
	switch {
	case answer.Header.Type == netlink.Error && len(answer.Data) >= 4:
		errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(answer.Data)))
		if errno == syscall.ENOENT {
			return nil, nil
		}
		return nil, errno
	case answer.Header.Type != sockDiagByFamily || len(answer.Data) < diagMessageSize:
		return nil, fmt.Errorf("an answer of type %d with %d bytes", answer.Header.Type, len(answer.Data))
	}
	return answer.Data, nil
}

// exchange asks one question. The kernel answers it while it takes it, so nothing is waited for, and one call each way does:
// netlink.Conn's Execute, which is made for answers that are long or late, costs four times as much.
func (k *kernel) exchange(request []byte) (answer netlink.Message, err error) {
	k.sequence++
	question := netlink.Message{Header: netlink.Header{Length: uint32(netlinkHeader + len(request)), Type: sockDiagByFamily,
		Flags: netlink.Request, Sequence: k.sequence}, Data: request}
	q, err := question.MarshalBinary()
	if err != nil {
		return answer, err
	}
	n := 0
	closed := k.raw.Control(func(fd uintptr) {
		if _, err = unix.Write(int(fd), q); err == nil {
			n, err = unix.Read(int(fd), k.buf[:])
		}
	})
	if err = errors.Join(closed, err); err != nil {
		return answer, err
	}
	return parseAnswer(k.buf[:n], k.sequence)
}

// parseAnswer reads what the kernel has written. The answer's data lies in b.
func parseAnswer(b []byte, sequence uint32) (answer netlink.Message, err error) {
	if err := answer.UnmarshalBinary(b); err != nil {
		return answer, err
	}
	if answer.Header.Sequence != sequence {
		return answer, fmt.Errorf("answer number %d to question number %d", answer.Header.Sequence, sequence)
	}
	return answer, nil
}

// netlinkHeader is the size of struct nlmsghdr.
const netlinkHeader = 16

// reopen begins a new conversation: an answer to the old one's last question may still come, and would be taken for that to the next.
func (k *kernel) reopen() {
	old := k.conn
	if k.open() == nil {
		_ = old.Close()
	}
}

// diagRequest is a struct inet_diag_req_v2 for the socket at src that is connected to dst. A port 0 of dst is nobody's: then the
// kernel finds the socket that listens at src. The device is 0 but for addresses that need one.
func diagRequest(src, dst netip.AddrPort, device uint32) []byte {
	req := make([]byte, inetDiagReqSize)
	req[0] = unix.AF_INET6
	if src.Addr().Unmap().Is4() {
		req[0] = unix.AF_INET
	}
	req[1] = unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(req[8:], src.Port())
	binary.BigEndian.PutUint16(req[10:], dst.Port())
	copy(req[12:28], src.Addr().Unmap().AsSlice())
	copy(req[28:44], dst.Addr().Unmap().AsSlice())
	binary.NativeEndian.PutUint32(req[44:], device)
	for i := 48; i < inetDiagReqSize; i++ {
		req[i] = 0xff // INET_DIAG_NOCOOKIE
	}
	return req
}

// diagMessage is a struct inet_diag_msg with the attributes that follow it, at least diagMessageSize bytes.
type diagMessage []byte

const diagMessageSize = 72

// States of linux/tcp.h.
const (
	tcpEstablished = 1
	tcpSynReceived = 3
	tcpFinWait1    = 4
	tcpFinWait2    = 5
	tcpCloseWait   = 8
	tcpLastAck     = 9
	tcpListen      = 10
	tcpClosing     = 11
)

func (m diagMessage) state() byte      { return m[1] }
func (m diagMessage) received() uint32 { return binary.NativeEndian.Uint32(m[56:]) } // idiag_rqueue
func (m diagMessage) room() uint32     { return binary.NativeEndian.Uint32(m[60:]) } // idiag_wqueue, of a listening socket its backlog
func (m diagMessage) inode() uint32    { return binary.NativeEndian.Uint32(m[68:]) }

// is reports whether the message is about the socket at src that is connected to dst.
func (m diagMessage) is(src, dst netip.AddrPort) bool {
	return m.address(8, 4) == plain(src) && m.address(24, 6) == plain(dst)
}

func (m diagMessage) address(ip, port int) netip.AddrPort {
	var addr netip.Addr
	switch m[0] {
	case unix.AF_INET:
		addr = netip.AddrFrom4([4]byte(m[ip : ip+4]))
	case unix.AF_INET6:
		addr = netip.AddrFrom16([16]byte(m[ip : ip+16])).Unmap()
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(m[port:]))
}

// plain is an address as the kernel tells it: no IPv4 in IPv6 clothes, no zone.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
