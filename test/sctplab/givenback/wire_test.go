//go:build linux

package givenback

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/mapping"
)

// wire sees every packet that arrives on the loopback interface, before the kernel's SCTP does, and keeps the account of the messages
// that go to one port: which were on the wire, and which were acknowledged.
type wire struct {
	fd     int
	port   uint16 // of the peer
	packet []byte

	current int64            // the message whose fragments are passing
	seen    int64            // the last message of which a part was on the wire; -1: none
	ends    map[uint32]int64 // the last fragment's TSN: message
	acked   int64            // all messages up to this one are acknowledged; -1: none
}

const (
	protocolSCTP  = 132
	ethernetSize  = 14
	chunkData     = 0
	chunkSack     = 3
	chunkShutdown = 7
	dataHeader    = 16
	flagsFirst    = 2
	flagsLast     = 1
)

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }

func newWire(t *testing.T) *wire {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(networkOrder(unix.ETH_P_ALL)))
	if err != nil {
		t.Fatalf("a packet socket needs root: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20); err != nil {
		t.Fatal(err)
	}
	return &wire{fd: fd, packet: make([]byte, 1<<17)}
}

// follow begins the account of a new peer.
func (w *wire) follow(port uint16) {
	w.port, w.ends, w.current, w.seen, w.acked = port, make(map[uint32]int64), -1, -1, -1
}

// wait waits for packets.
func (w *wire) wait() {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, 5) // an interruption is as good as a packet
}

// take reads all that has come.
func (w *wire) take() error {
	for {
		n, from, err := unix.Recvfrom(w.fd, w.packet, unix.MSG_TRUNC)
		if err == unix.EAGAIN {
			return w.lost()
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("packet socket: %w", err)
		}
		at, ok := from.(*unix.SockaddrLinklayer)
		if ok && at.Pkttype == unix.PACKET_HOST && n > ethernetSize && n <= len(w.packet) {
			w.ip(w.packet[ethernetSize:n])
		}
	}
}

// lost tells of packets that were not seen: then there is no account.
func (w *wire) lost() error {
	s, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil && s.Drops > 0 {
		err = fmt.Errorf("packet socket: %d packets were not seen", s.Drops)
	}
	return err
}

func (w *wire) ip(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 || b[9] != protocolSCTP {
		return
	}
	b = b[int(b[0]&15)*4:]
	if len(b) < 12 {
		return
	}
	from, to := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	for b = b[12:]; len(b) >= 4; {
		size := int(binary.BigEndian.Uint16(b[2:]))
		if size < 4 || size > len(b) {
			return
		}
		if to == w.port && b[0] == chunkData && size > dataHeader {
			w.data(b[1], b[4:size])
		}
		if from == w.port && (b[0] == chunkSack || b[0] == chunkShutdown) && size >= 8 {
			w.ack(binary.BigEndian.Uint32(b[4:]))
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}

// data notes a fragment: TSN, stream, sequence number, PPID, data.
func (w *wire) data(flags byte, b []byte) {
	tsn, ppid, b := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[8:]), b[12:]
	if flags&flagsFirst != 0 {
		w.current = numberOf(ppid, b)
		w.seen = max(w.seen, w.current)
	}
	if flags&flagsLast != 0 {
		w.ends[tsn] = w.current
	}
}

// numberOf reads which message it is that begins with b; -1: one of the mapping's own.
func numberOf(ppid uint32, b []byte) int64 {
	if ppid == mapping.PPIDControl {
		if b[0] != 5 { // the first message of a side is wrapped: its PPID, then its data
			return -1
		}
		b = b[5:]
	}
	return int64(binary.BigEndian.Uint64(b))
}

// ack notes a cumulative acknowledgement.
func (w *wire) ack(tsn uint32) {
	for end, message := range w.ends {
		if int32(tsn-end) >= 0 {
			w.acked = max(w.acked, message)
			delete(w.ends, end)
		}
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(peerEnv) != "" {
		servePeer()
		return
	}
	os.Exit(m.Run())
}
