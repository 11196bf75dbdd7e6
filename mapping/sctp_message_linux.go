package mapping

import (
	"encoding/binary"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Control messages of SCTP (RFC 6458 §5.3), as Linux numbers them.
const (
	controlSend     = 2 // SCTP_SNDINFO
	controlReceive  = 3 // SCTP_RCVINFO
	controlLifetime = 5 // SCTP_PRINFO

	sendUnordered   = 1      // SCTP_UNORDERED
	lifetimePolicy  = 0x10   // SCTP_PR_SCTP_TTL
	flagNotify      = 0x8000 // MSG_NOTIFICATION
	receiveInfoSize = 28     // struct sctp_rcvinfo
	lifetimeSize    = 8      // struct sctp_prinfo
)

// sctpIO is the memory that one system call needs: the kernel reads and writes it. It is used by one goroutine.
type sctpIO struct {
	header  unix.Msghdr
	iovecs  [maxParts]unix.Iovec
	control [128]byte
}

// maxParts is how many pieces of memory one message may lie in.
const maxParts = 64

// part is what one receive has returned: a message or a notification, or a part of one.
type part struct {
	n            int // bytes; 0 is the end
	notification bool
	whole        bool // the last part
	stream       uint16
	ppid         uint32
	unordered    bool
}

// send gives the kernel one message, all of it or nothing: the bytes of data, at most maxParts of them, and of m the rest. The context
// comes back in notifySendFailed.
func (s *sctpIO) send(fd int, m *Message, data [][]byte, context uint32) unix.Errno {
	c := s.control[:unix.CmsgSpace(sendInfoSize)]
	clear(c)
	info := s.controlHeader(0, controlSend, sendInfoSize)
	flags := uint16(0)
	if m.Unordered {
		flags = sendUnordered
	}
	binary.NativeEndian.PutUint16(info, m.Stream)
	binary.NativeEndian.PutUint16(info[2:], flags)
	binary.BigEndian.PutUint32(info[4:], m.PPID)
	binary.NativeEndian.PutUint32(info[8:], context)
	if m.Lifetime > 0 {
		at := len(c)
		c = s.control[:at+unix.CmsgSpace(lifetimeSize)]
		life := s.controlHeader(at, controlLifetime, lifetimeSize)
		binary.NativeEndian.PutUint16(life, lifetimePolicy)
		binary.NativeEndian.PutUint32(life[4:], millis(min(m.Lifetime, 24*time.Hour)))
	}
	s.header.Control = &c[0]
	s.header.SetControllen(len(c))
	for i, b := range data {
		s.iovecs[i].Base = &b[0]
		s.iovecs[i].SetLen(len(b))
	}
	s.header.Iov = &s.iovecs[0]
	s.header.SetIovlen(len(data))
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.header)), unix.MSG_NOSIGNAL)
		if errno != unix.EINTR {
			clear(s.iovecs[:len(data)])
			return errno
		}
	}
}

// controlHeader writes the head of the control message at the offset and returns its data.
func (s *sctpIO) controlHeader(at int, kind int32, size int) []byte {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[at]))
	h.Level, h.Type = unix.IPPROTO_SCTP, kind
	h.SetLen(unix.CmsgLen(size))
	from := at + unix.CmsgLen(0)
	return s.control[from : from+size]
}

// receive takes what comes next into p.
func (s *sctpIO) receive(fd int, p []byte) (part, unix.Errno) {
	s.header = unix.Msghdr{Control: &s.control[0], Iov: &s.iovecs[0]}
	s.header.SetControllen(len(s.control))
	s.header.SetIovlen(1)
	s.iovecs[0].Base = &p[0]
	s.iovecs[0].SetLen(len(p))
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.header)), 0)
		if errno == unix.EINTR {
			continue
		}
		s.iovecs[0].Base = nil
		if errno != 0 {
			return part{}, errno
		}
		flags := int(s.header.Flags)
		got := part{n: int(n), notification: flags&flagNotify != 0, whole: flags&unix.MSG_EOR != 0}
		s.receiveInfo(&got)
		return got, 0
	}
}

// receiveInfo reads the control message of a received one.
func (s *sctpIO) receiveInfo(p *part) {
	size := int(s.header.Controllen)
	if size < unix.CmsgSpace(receiveInfoSize) || p.notification {
		return
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[0]))
	if h.Level != unix.IPPROTO_SCTP || h.Type != controlReceive {
		return
	}
	info := s.control[unix.CmsgLen(0):]
	p.stream = binary.NativeEndian.Uint16(info)
	p.unordered = binary.NativeEndian.Uint16(info[4:])&sendUnordered != 0
	p.ppid = binary.BigEndian.Uint32(info[8:])
}
