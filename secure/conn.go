package secure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// Conn is a loop.Conn whose bytes go in TLS.
type Conn struct {
	loop    loop.Loop
	raw     loop.Conn
	tls     *tls.Conn
	wire    *wire
	handler loop.Handler // nil: nobody hears anything (yet, or any more)
	refused Refused

	peer  string // who it is; see Identity
	shake *shake // the handshake under way; nil: none is
	up    bool   // it has succeeded

	opened, failed func()     // told of how the handshake ended
	limit          loop.Timer // of the handshake, if it was accepted; of what is left to be written, when it is closed

	broken  error  // why nothing more goes
	peeked  []byte // what Peek has shown, which Read returns first
	blocked bool   // a Write did not take everything: Writable is owed
	telling bool   // tell is posted
	ended   bool   // the end or an error has been read
	starved bool   // nothing is read until the peer has read what crypto/tls answers by itself
	parting bool   // refused: what the peer still says is thrown away until it has read why; see dismiss
	parted  func() // told when that is over
	wasted  int    // bytes that were thrown away
	shut    bool   // our end goes behind what waits
	bare    bool   // the peer is no sidecar: its end and its resets are told as ErrCut where they prove nothing
	spoken  bool   // crypto/tls has written by itself behind the handshake
	closed  bool
}

// lingerTime is how long what is written may take to reach the transport behind Close.
const lingerTime = 5 * time.Second

// mostAnswers is how much may wait for the transport before nothing more is read, in bytes: a peer may have crypto/tls answer it (RFC 8446
// §4.6.3, new keys), and not read that.
const mostAnswers = 2 * mostWaiting

// record is how much goes into one record of TLS, in bytes (RFC 8446 §5.1).
const record = 16 << 10

var plains = sync.Pool{New: func() any { return new([record]byte) }}

// Identity is the name by which the peer's certificate is allowed; it is not empty once Connected has been said, or the Conn was accepted.
func (c *Conn) Identity() string { return c.peer }

// Ready hears of the transport (loop.Handler).
func (c *Conn) Ready(ev loop.Event) {
	if ev&(loop.Readable|loop.Hangup) != 0 {
		c.wire.dry = false
	}
	if c.parting {
		c.part()
	} else if ev&loop.Connected != 0 && c.shake == nil && !c.up {
		c.begin()
	} else if c.shake != nil {
		c.goOn() // to flush what waits, to read, or to hear why it has failed
	} else if !c.up {
		if ev&loop.Hangup != 0 { // it never came to a handshake
			c.broken = c.raw.Err()
			c.failed()
		}
	} else {
		c.pass(ev)
	}
}

// pass tells the handler of what concerns it.
func (c *Conn) pass(ev loop.Event) {
	if ev&loop.Writable != 0 {
		ev &^= loop.Writable
		if c.push(); c.starved && len(c.wire.out) == 0 {
			c.starved = false
			c.tell()
		}
		if c.blocked && len(c.wire.out) == 0 {
			c.blocked = false
			ev |= loop.Writable
		}
	}
	if c.handler != nil && ev != 0 {
		c.handler.Ready(ev)
	}
}

// push writes what waits, and our end behind it. Errors are told by the transport's Hangup.
func (c *Conn) push() {
	done, err := c.wire.flush()
	if err != nil {
		c.wire.drop()
	}
	switch {
	case !done && err == nil:
	case c.closed:
		c.loop.Cancel(&c.limit)
		c.raw.Close()
	case c.shut && err == nil:
		_ = c.raw.CloseWrite() // if it fails the connection has, of which Hangup tells
	}
}

// Read decrypts what has come; see loop.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.decrypt(p)
	if n == 0 && len(p) > 0 {
		return 0, err
	}
	if err != nil && !errors.Is(err, loop.ErrAgain) {
		c.tell() // the end, which the reader of a short count will not come back for
	}
	return n, nil
}

// decrypt fills p as far as it goes; the error is why it does not go further.
func (c *Conn) decrypt(p []byte) (n int, err error) {
	switch {
	case c.closed:
		return 0, fmt.Errorf("connection with %v: %w", c.Remote(), loop.ErrClosed)
	case !c.up && c.broken != nil:
		return 0, c.broken
	case !c.up:
		return 0, loop.ErrAgain
	}
	n = copy(p, c.peeked)
	if c.peeked = c.peeked[n:]; len(c.peeked) == 0 {
		c.peeked = nil
	}
	for n < len(p) {
		if len(c.wire.out) > mostAnswers {
			if c.push(); len(c.wire.out) > mostAnswers {
				c.starved = true
				return n, loop.ErrAgain
			}
		}
		got, err := c.tls.Read(p[n:])
		n += got
		if err != nil {
			return n, c.readError(err)
		}
	}
	if len(c.wire.out) > 0 {
		c.spoken = true
		c.push() // what crypto/tls has answered by itself: new keys, an alert
	}
	return n, nil
}

// readError says in the loop's words what crypto/tls says.
func (c *Conn) readError(err error) error {
	if len(c.wire.out) > 0 {
		c.spoken = true
		c.push()
	}
	var not notYet
	switch {
	case errors.As(err, &not):
		return loop.ErrAgain
	case errors.Is(err, io.EOF) && !c.wire.eof:
		c.ended = true
		return io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%v has ended it without saying so in TLS: %w", c.Remote(), c.cut())
	case c.wire.failed == nil:
		err = refusal(err) // the peer refuses our certificate when our handshake is over already
		if c.broken == nil && c.refused != nil {
			c.refused(c.Remote(), refusal(err))
		}
	}
	if c.broken == nil {
		c.broken = c.proves(err)
		c.tell()
	}
	c.ended = true
	return c.broken
}

// tell has the handler hear, in a coming turn, of what a Read has found beside what it returned.
func (c *Conn) tell() {
	if c.telling {
		return
	}
	c.telling = true
	c.loop.Post(func() {
		c.telling = false
		ev := loop.Readable
		if c.broken != nil {
			ev = loop.Hangup
		}
		if !c.closed && c.handler != nil {
			c.handler.Ready(ev)
		}
	})
}

// Write encrypts as much as there is room for; see loop.Conn.
func (c *Conn) Write(bufs ...[]byte) (written int, err error) {
	switch {
	case c.closed || c.shut:
		return 0, fmt.Errorf("connection with %v: %w", c.Remote(), loop.ErrClosed)
	case c.broken != nil:
		return 0, c.broken
	case !c.up:
		c.blocked = true
		return 0, loop.ErrAgain
	}
	plain := plains.Get().(*[record]byte)
	defer plains.Put(plain)
	held, left := 0, 0
	for _, b := range bufs {
		left += len(b)
	}
	for i, at := 0, 0; left > 0 && len(c.wire.out) < mostWaiting; {
		held, i, at = gather(plain[:], bufs, i, at)
		if _, err := c.tls.Write(plain[:held]); err != nil {
			return written, fmt.Errorf("write to %v: %w", c.Remote(), err)
		}
		written, left = written+held, left-held
		if left == 0 || len(c.wire.out) >= mostWaiting {
			if _, err := c.wire.flush(); err != nil {
				c.wire.drop()
				return written, err
			}
		}
	}
	if left > 0 {
		c.blocked = true
		return written, loop.ErrAgain
	}
	return written, nil
}

// gather copies what comes behind position at of bufs[i], as much as there is room for, and returns how much that was, and the position
// behind it.
func gather(into []byte, bufs [][]byte, i, at int) (n, nextI, nextAt int) {
	for i < len(bufs) && n < len(into) {
		k := copy(into[n:], bufs[i][at:])
		n, at = n+k, at+k
		if at == len(bufs[i]) {
			i, at = i+1, 0
		}
	}
	return n, i, at
}

// CloseWrite sends our end, in TLS (close_notify) and by the transport; see loop.Conn.
func (c *Conn) CloseWrite() error {
	switch {
	case c.closed:
		return fmt.Errorf("connection with %v: %w", c.Remote(), loop.ErrClosed)
	case c.broken != nil:
		return c.broken
	case !c.up:
		return fmt.Errorf("close writing to %v: not connected yet: %w", c.Remote(), loop.ErrAgain)
	case c.shut:
		return nil
	}
	c.shut, c.blocked = true, false
	if err := c.tls.CloseWrite(); err != nil {
		return fmt.Errorf("close writing to %v: %w", c.Remote(), err)
	}
	c.push()
	return nil
}

// Close ends the connection in order; what waits is still written, for lingerTime at most.
func (c *Conn) Close() {
	if c.closed {
		return
	}
	if c.up && !c.shut && c.broken == nil {
		_ = c.tls.CloseWrite() // it goes where the rest goes
	}
	c.end()
	if len(c.wire.out) > 0 {
		c.limit.Func = c.raw.Reset
		c.loop.Schedule(&c.limit, c.loop.Now().Add(lingerTime))
	}
	c.push()
}

// Reset ends the connection abortively.
func (c *Conn) Reset() {
	if c.closed {
		return
	}
	c.end()
	c.wire.drop()
	c.raw.Reset()
}

func (c *Conn) end() {
	c.closed, c.handler = true, nil
	c.loop.Cancel(&c.limit)
	c.giveUp()
}

// Err is why the connection failed.
func (c *Conn) Err() error {
	if c.broken != nil {
		return c.broken
	}
	return c.proves(c.raw.Err())
}

func (c *Conn) Local() netip.AddrPort          { return c.raw.Local() }
func (c *Conn) Remote() netip.AddrPort         { return c.raw.Remote() }
func (c *Conn) Info() (loop.Info, bool)        { return c.raw.Info() }
func (c *Conn) SetUserTimeout(d time.Duration) { c.raw.SetUserTimeout(d) }
