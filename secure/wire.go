package secure

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// mostWaiting is how much of what is encrypted may wait for the transport before nothing more is encrypted, in bytes.
const mostWaiting = 64 << 10

// wire is the net.Conn on which crypto/tls works. It reads from the loop's connection, and keeps what is to be written. It never waits,
// but in a handshake, where the loop goes on while it does.
type wire struct {
	raw    loop.Conn
	out    []byte      // encrypted, for the transport; the memory is of outs
	box    *[]byte     // that memory; nil: there is none
	wait   func() bool // has the loop go on, and returns when there may be more to read; false: give up. nil: do not wait
	dry    bool        // a Read has drained raw: there is an event when more comes
	eof    bool        // raw has ended
	failed error       // what raw has failed with
}

// outs are buffers for what waits: none is held by a connection for which nothing does.
var outs = sync.Pool{New: func() any { b := make([]byte, 0, mostWaiting+20<<10); return &b }}

var errGivenUp = errors.New("given up")

// notYet is the temporary error of a Read that would have to wait. crypto/tls keeps other errors for good, and not those.
type notYet struct{}

func (notYet) Error() string   { return "secure: nothing more has come" }
func (notYet) Timeout() bool   { return true }
func (notYet) Temporary() bool { return true }

var _ net.Error = notYet{}

func (w *wire) Read(p []byte) (int, error) {
	for {
		n, err := 0, error(loop.ErrAgain)
		if !w.dry {
			n, err = w.raw.Read(p)
			w.dry = n < len(p) && (err == nil || errors.Is(err, loop.ErrAgain))
		}
		switch {
		case err == nil || !errors.Is(err, loop.ErrAgain):
			w.eof = w.eof || errors.Is(err, io.EOF)
			if err != nil && !errors.Is(err, io.EOF) {
				w.failed = err
			}
			return n, err
		case w.wait == nil:
			return 0, notYet{}
		case !w.wait():
			return 0, errGivenUp
		}
	}
}

// Write keeps p until flush.
func (w *wire) Write(p []byte) (int, error) {
	if w.box == nil {
		w.box = outs.Get().(*[]byte)
		w.out = (*w.box)[:0]
	}
	w.out = append(w.out, p...)
	return len(p), nil
}

// flush gives the transport what it takes; done says that this was all.
func (w *wire) flush() (done bool, err error) {
	for len(w.out) > 0 {
		n, err := w.raw.Write(w.out)
		w.out = w.out[n:]
		if errors.Is(err, loop.ErrAgain) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	w.drop()
	return true, nil
}

// drop forgets what waits.
func (w *wire) drop() {
	if w.box != nil {
		outs.Put(w.box)
	}
	w.out, w.box = nil, nil
}

// What crypto/tls asks of a net.Conn beyond. Its Close would only end the transport, which is the Conn's to do.
func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return net.TCPAddrFromAddrPort(w.raw.Local()) }
func (w *wire) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(w.raw.Remote()) }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
