// Package upgrade is the conversation of two processes of poolproxy, of which one takes the other's place: the old one starts the new one,
// passes on the sockets on which it listens, waits until the new one is ready, and hands over what it serves, descriptors included. Until the
// new one has said that it has taken over, the old one can go on as if nothing had been.
//
// It knows nothing of what is handed over: to it that is bytes with descriptors (Item). The order of things is in Successor and
// Predecessor, which are the two ends; how it looks on the wire is here.
package upgrade

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is that of the conversation. A process that speaks another one cannot take over.
const Version = 1

// A frame: length of the body (4 bytes, big-endian), kind (1), number of descriptors (1), body. Frames are a stream, cut into packets
// anywhere; a frame's descriptors come with the packet that has its first byte, or earlier.
const (
	headSize   = 6
	maxBody    = 64 << 20 // bytes
	maxPacket  = 64 << 10 // bytes
	maxPassed  = 128      // descriptors in one packet; the kernel takes 253
	maxPending = 1024     // descriptors that no frame has claimed
)

// kind says what a frame is.
type kind byte

// Kinds of frames; old and new say who sends them.
const (
	kindHello  kind = 1 + iota // old: JSON, who it is
	kindSocket                 // old: JSON, a socket that listens; one descriptor
	kindBegin                  // old: bytes of the owner, by which the new one begins
	kindReady                  // new: it could serve
	kindItem                   // old: bytes of the owner; at most one descriptor
	kindEnd                    // old: that was all; number of items (8 bytes)
	kindThawed                 // new: it has them all
	kindGo                     // old: it will not touch anything any more
	kindTaken                  // new: it has taken over. It says so before it touches anything
	kindFailed                 // new: why it gives up, for people
)

// frame is one word of the conversation.
type frame struct {
	kind kind
	body []byte
	fds  []int // the receiver's own
}

// ErrProtocol is wrapped by errors about what the other process says.
var ErrProtocol = errors.New("upgrade: the other process does not speak as this one does")

// append writes a frame.
func (f frame) append(to []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(f.body)))
	to = append(to, byte(f.kind), byte(len(f.fds)))
	return append(to, f.body...)
}

// parser finds frames in packets.
type parser struct {
	buf []byte
	fds []int // that no frame has claimed
}

// add takes a packet. The parser owns the descriptors.
func (p *parser) add(data []byte, fds []int) error {
	p.fds = append(p.fds, fds...)
	if len(p.fds) > maxPending {
		return fmt.Errorf("%w: more than %d descriptors that belong to nothing", ErrProtocol, maxPending)
	}
	p.buf = append(p.buf, data...)
	return nil
}

// next returns the first frame that is whole; ok is false if there is none yet. Its body is valid until add.
func (p *parser) next() (f frame, ok bool, err error) {
	if len(p.buf) < headSize {
		return frame{}, false, nil
	}
	size, count := binary.BigEndian.Uint32(p.buf), int(p.buf[5])
	f.kind = kind(p.buf[4])
	switch {
	case f.kind == 0 || f.kind > kindFailed:
		return frame{}, false, fmt.Errorf("%w: frame of kind %d", ErrProtocol, f.kind)
	case size > maxBody:
		return frame{}, false, fmt.Errorf("%w: a frame of %d bytes", ErrProtocol, size)
	case count > 1 || count == 1 && f.kind != kindSocket && f.kind != kindItem:
		return frame{}, false, fmt.Errorf("%w: a frame of kind %d with %d descriptors", ErrProtocol, f.kind, count)
	case len(p.buf) < headSize+int(size):
		return frame{}, false, nil
	case len(p.fds) < count:
		return frame{}, false, fmt.Errorf("%w: the descriptor of a frame has not come", ErrProtocol)
	}
	f.body, p.buf = p.buf[headSize:headSize+int(size):headSize+int(size)], p.buf[headSize+int(size):]
	f.fds, p.fds = p.fds[:count:count], p.fds[count:]
	return f, true, nil
}

// close gives up the descriptors that nobody has claimed.
func (p *parser) close(closeFD func(int)) {
	for _, fd := range p.fds {
		closeFD(fd)
	}
	p.fds = nil
}
