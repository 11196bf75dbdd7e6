package session

import (
	"errors"
	"fmt"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/retrieval"
)

// outlet passes bytes on to a local socket and keeps what the socket does not take. How much that may become is bounded by the
// credit that its owner grants.
type outlet struct {
	socket   Socket
	pool     *loop.Pool
	open     bool          // the socket takes bytes
	spill    retrieval.Log // accepted, not yet taken by the socket
	accepted int64         // bytes given to put
	held     bool          // nothing is written beyond the offset until
	until    int64
	paused   bool      // nothing is written for now
	end      bool      // nothing follows
	ended    bool      // and the socket was told
	one      [1][]byte // for write

	gathering bool   // what lies side by side in memory is written at once, by flush
	run       []byte // of that, what was not offered yet; the giver's, until flush
}

// write calls the socket with one buffer; a list of its own would be allocated each time.
func (o *outlet) write(p []byte) (int, error) {
	o.one[0] = p
	n, err := o.socket.Write(o.one[:]...)
	o.one[0] = nil
	return n, err
}

// put offers p to the socket at once and keeps the rest. The error wraps ErrLocal.
func (o *outlet) put(p []byte) error {
	if o.gathering {
		return o.gather(p)
	}
	allowed := o.allowed(len(p))
	o.accepted += int64(len(p))
	return o.offer(p, allowed)
}

// gather is put while many small pieces of one buffer come, the replies of a pipeline: a system call each would cost more than all
// else. p must stay as it is until flush.
func (o *outlet) gather(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n := len(o.run)
	if n > 0 && cap(o.run)-n >= len(p) && &o.run[:n+1][n] == &p[0] {
		o.run = o.run[:n+len(p)]
		o.accepted += int64(len(p))
		return nil
	}
	err := o.flush()
	o.run = p
	o.accepted += int64(len(p))
	return err
}

// flush offers what was gathered. The error wraps ErrLocal.
func (o *outlet) flush() error {
	p := o.run
	if len(p) == 0 {
		return nil
	}
	allowed := o.allowed(len(p))
	o.run = nil
	if err := o.offer(p, allowed); err != nil {
		return err
	}
	return o.finish(o.end)
}

// offer offers the first allowed bytes of p, which are accepted already, to the socket, and keeps the rest.
func (o *outlet) offer(p []byte, allowed int) error {
	if o.open && !o.paused && o.spill.Len() == 0 && allowed > 0 {
		n, err := o.write(p[:allowed])
		p = p[n:]
		if err != nil && !errors.Is(err, loop.ErrAgain) {
			o.open = false
			o.spill.Append(o.pool, p) // so that written stays exact
			return fmt.Errorf("%w: %w", ErrLocal, err)
		}
	}
	o.spill.Append(o.pool, p)
	return nil
}

// allowed is how many of the next n bytes may be written now.
func (o *outlet) allowed(n int) int {
	if !o.held {
		return n
	}
	return int(max(0, min(int64(n), o.until-o.written())))
}

// writable tries again what the socket had not taken. The error wraps ErrLocal.
func (o *outlet) writable() error {
	if !o.open || o.paused {
		return nil
	}
	for o.spill.Len() > 0 {
		limit := o.allowed(loop.LargeBuffer)
		if limit == 0 {
			return nil
		}
		n, done, err := o.writePages(limit)
		if !done {
			p, _ := o.spill.At(o.spill.Start(), limit)
			n, err = o.write(p)
		}
		o.spill.Release(o.spill.Start() + int64(n))
		if errors.Is(err, loop.ErrAgain) {
			return nil
		}
		if err != nil {
			o.open = false
			return fmt.Errorf("%w: %w", ErrLocal, err)
		}
	}
	return o.finish(o.end)
}

// finish says that nothing follows (if end is set), and passes that on when all bytes are written.
func (o *outlet) finish(end bool) error {
	o.end = end
	if !o.end || o.ended || !o.open || o.paused || o.spill.Len() > 0 || len(o.run) > 0 {
		return nil
	}
	o.ended = true
	if err := o.socket.CloseWrite(); err != nil {
		return fmt.Errorf("%w: %w", ErrLocal, err)
	}
	return nil
}

// written is how many of the accepted bytes the socket has taken.
func (o *outlet) written() int64 { return o.accepted - int64(o.spill.Len()) - int64(len(o.run)) }

// drained reports whether everything, the end included, has been passed on.
func (o *outlet) drained() bool { return o.spill.Len() == 0 && len(o.run) == 0 && o.end == o.ended }

// close ends the socket in order and lets go of what it did not take.
func (o *outlet) close() {
	_ = o.flush() // it is the end anyway
	o.open = false
	o.spill.Clear()
	if o.socket != nil {
		o.socket.Close()
	}
}

// reset ends the socket abortively.
func (o *outlet) reset() {
	o.open, o.run = false, nil
	o.spill.Clear()
	if o.socket != nil {
		o.socket.Reset()
	}
}
