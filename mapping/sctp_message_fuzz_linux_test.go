package mapping

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzReceiveInfo: the kernel's control messages of what was received, however long they say that they are.
func FuzzReceiveInfo(f *testing.F) {
	good := make([]byte, unix.CmsgSpace(receiveInfoSize))
	binary.NativeEndian.PutUint64(good, uint64(unix.CmsgLen(receiveInfoSize)))
	binary.NativeEndian.PutUint32(good[8:], unix.IPPROTO_SCTP)
	binary.NativeEndian.PutUint32(good[12:], controlReceive)
	f.Add(good, uint8(len(good)), false)
	f.Add(good[:20], uint8(200), true)
	f.Fuzz(func(t *testing.T, control []byte, size uint8, notification bool) {
		var s sctpIO
		s.header.SetControllen(min(int(size), copy(s.control[:], control)))
		p := part{notification: notification}
		s.receiveInfo(&p)
		if notification && (p.stream != 0 || p.ppid != 0) {
			t.Fatalf("a notification on stream %d", p.stream)
		}
	})
}
