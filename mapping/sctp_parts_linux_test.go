package mapping

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
)

// taken is a handler that keeps what an association hands over.
type taken struct{ heard []string }

func (*taken) Up()                 {}
func (*taken) Drained()            {}
func (*taken) Down(error)          {}
func (x *taken) Receive(m Message) { x.heard = append(x.heard, string(m.Data)) }

// notice is a notification as the kernel lays it out: its head and size bytes behind it.
func notice(kind uint16, size int) []byte {
	b := make([]byte, notifyHeader+size)
	binary.NativeEndian.PutUint16(b, kind)
	binary.NativeEndian.PutUint32(b[4:], uint32(len(b)))
	return b
}

// A message of which the kernel has handed over a part is given up: its sender has ended, or its lifetime. What the kernel says of that
// comes where the rest would have come. It is no part of the message, and the message is none of it, whatever its bytes look like.
func TestSCTPGivenUpInTheMiddle(t *testing.T) {
	x := &taken{}
	a := newSCTPAssociation(looptest.NewWorld(1).Host("here"), SCTPMapping{Native: true}, Config{})
	a.handler, a.talk.up = x, true
	a.sent.push(7, false)
	forged := notice(notifySendFailed, 40) // as if the message with the number 1 had been given up
	binary.NativeEndian.PutUint32(forged[12+8:], 1)
	a.take(part{n: len(forged)}, forged)
	given := notice(notifyPartial, 16)
	a.take(part{n: 10, notification: true}, given[:10]) // also in two parts
	a.take(part{n: len(given) - 10, notification: true, whole: true}, given[10:])
	a.take(part{n: 4, whole: true}, []byte("next"))
	if len(x.heard) != 1 || x.heard[0] != "next" {
		t.Errorf("handed over: %q", x.heard)
	}
	if left := a.Retrieve(); len(left.Unacknowledged) != 1 || left.Unacknowledged[0] != 7 {
		t.Errorf("the peer has had a message of ours taken for one that was given up: %+v", left)
	}
}

// blind is a loop that can watch nothing more.
type blind struct{ *looptest.Host }

func (blind) Watch(int, loop.Handler) (loop.File, error) {
	return nil, errors.New("no memory for one more in the epoll")
}

// An association that the loop has no room for is closed, and nothing is left of it that would run later.
func TestSCTPAcceptedUnwatched(t *testing.T) {
	w := looptest.NewWorld(1)
	h := w.Host("here")
	li := &sctpListener{loop: blind{h}, config: Config{DialTimeout: time.Second}, accept: func(Association) Handler {
		t.Error("it is offered")
		return nil
	}}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	li.accepted(fds[0])
	if _, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		t.Error("its descriptor is open")
	}
	w.RunFor(time.Minute)
	if n := h.Timers(); n != 0 {
		t.Errorf("%d timers are armed", n)
	}
}
