package upgrade

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// wire is one end of the conversation. Its methods are for one goroutine.
type wire struct {
	conn *net.UnixConn

	out    []byte // frames that are not sent yet
	outFDs []int  // theirs; the caller's, until they are sent
	in     parser
	packet []byte
	oob    []byte
}

// pair makes the two ends, of which the second one is for another process.
func pair() (*wire, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("upgrade: socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "upgrade")
	w, err := newWire(fds[0])
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return w, theirs, nil
}

// newWire takes a descriptor of one end.
func newWire(fd int) (*wire, error) {
	f := os.NewFile(uintptr(fd), "upgrade")
	defer f.Close() // net has its own descriptor of it
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	c, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("upgrade: what was inherited is no unix socket")
	}
	return &wire{conn: c}, nil
}

// send queues a frame; what it says is on its way after flush. Descriptors stay the caller's, and must stay open until then.
func (w *wire) send(f frame) error {
	if len(f.body) > maxBody {
		return fmt.Errorf("upgrade: %d bytes are too many for one item", len(f.body))
	}
	w.out = f.append(w.out)
	w.outFDs = append(w.outFDs, f.fds...)
	if len(w.out) >= maxPacket || len(w.outFDs) >= maxPassed {
		return w.flush()
	}
	return nil
}

// flush sends what is queued. Descriptors go with the first packets: never behind the frame they belong to.
func (w *wire) flush() error {
	for rest := w.out; len(rest) > 0; {
		n, fds := min(len(rest), maxPacket), w.outFDs[:min(len(w.outFDs), maxPassed)]
		var rights []byte
		if len(fds) > 0 {
			rights = unix.UnixRights(fds...)
		}
		if err := w.sendPacket(rest[:n], rights); err != nil {
			return err
		}
		rest, w.outFDs = rest[n:], w.outFDs[len(fds):]
	}
	w.out, w.outFDs = w.out[:0], nil
	return nil
}

// tooMany is how long to wait when too many descriptors are on their way (ETOOMANYREFS: as many as RLIMIT_NOFILE). The other process takes
// them out.
const tooMany = time.Millisecond

func (w *wire) sendPacket(p, rights []byte) error {
	for {
		_, _, err := w.conn.WriteMsgUnix(p, rights, nil)
		if errors.Is(err, unix.ETOOMANYREFS) && !w.expired() {
			time.Sleep(tooMany)
			continue
		}
		if err != nil {
			return fmt.Errorf("upgrade: telling the other process: %w", err)
		}
		return nil
	}
}

// expired reports whether the deadline has passed, or the other end is gone: reading would say so at once.
func (w *wire) expired() bool {
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		gone = err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLRDHUP|unix.POLLERR) != 0
		return true
	})
	return err != nil || gone
}

// receive waits for a frame. io.EOF says that the other process has ended, or closed its end. The frame's descriptors are the caller's; its
// body is valid until the next receive.
func (w *wire) receive() (frame, error) {
	for {
		f, ok, err := w.in.next()
		if ok || err != nil {
			return f, err
		}
		if err := w.fill(); err != nil {
			return frame{}, err
		}
	}
}

func (w *wire) fill() error {
	if w.packet == nil {
		w.packet, w.oob = make([]byte, maxPacket), make([]byte, unix.CmsgSpace(4*(maxPassed+1)))
	}
	n, oobn, flags, _, err := w.conn.ReadMsgUnix(w.packet, w.oob)
	var fds []int
	if messages, err := unix.ParseSocketControlMessage(w.oob[:oobn]); err == nil {
		for _, m := range messages {
			if got, err := unix.ParseUnixRights(&m); err == nil {
				fds = append(fds, got...)
			}
		}
	}
	if errAdd := w.in.add(w.packet[:max(n, 0)], fds); errAdd != nil {
		return errAdd
	}
	switch {
	case err != nil && errors.Is(err, unix.ECONNRESET):
		return io.EOF // it ended with something of ours unread
	case err != nil:
		return fmt.Errorf("upgrade: hearing the other process: %w", err)
	case flags&unix.MSG_CTRUNC != 0:
		return errors.New("upgrade: the process has no descriptors left for what it is to take over (RLIMIT_NOFILE)")
	case flags&unix.MSG_TRUNC != 0:
		return fmt.Errorf("%w: a packet of more than %d bytes", ErrProtocol, maxPacket)
	case n == 0:
		return io.EOF
	}
	return nil
}

// within bounds all that follows; the zero time is for ever.
func (w *wire) within(deadline time.Time) { _ = w.conn.SetDeadline(deadline) } // it fails when closed: so will what follows

// close ends the conversation.
func (w *wire) close() {
	w.in.close(func(fd int) { unix.Close(fd) })
	w.conn.Close()
}
