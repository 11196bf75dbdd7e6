package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/whence"
)

const (
	// mostAnswer bounds what is read of the answer to a check, in bytes.
	mostAnswer = 64 << 10

	// shownAnswer is how much of an answer that was not expected is quoted, in bytes.
	shownAnswer = 80

	// lookEvery is how often an expression is tried on an answer that comes in pieces: each time costs its whole length.
	lookEvery = 10 * time.Millisecond
)

// dialled is a check over a connection: connect, send, read until what has come can be judged.
type dialled struct {
	health *health
	conn   loop.Conn
	up     bool
	unsent []byte
	got    []byte
	look   loop.Timer
	looked time.Time

	// verdict judges what has come so far; a nil error is a success. While it is not decided, missing says what is not there. nil: the
	// connection alone is a success.
	verdict func(got []byte) (decided bool, err error)
	missing string
}

// dialCheck begins a check over a new connection.
func dialCheck(h *health) attempt {
	d := &dialled{health: h}
	d.look.Func = d.judge
	switch h.check.Kind {
	case HealthExpect:
		d.unsent, d.verdict, d.missing = h.check.Send, expecting(h.check.Expect), fmt.Sprintf("no match of %q", h.check.Expect)
	case HealthHTTP:
		d.unsent, d.verdict, d.missing = httpRequest(&h.check), wantStatus(h.check.Status), "no status"
	}
	first := h.check.SendProxy.Append(nil, whence.Ends{}) // nobody's connection is passed on
	if h.origin == nil && d.verdict != nil {
		d.unsent = append(first, d.unsent...)
	}
	d.conn = h.shard.dial(h.origin, h.check.Address, first, d)
	return d
}

// Ready hears of the connection (loop.Handler).
func (d *dialled) Ready(ev loop.Event) {
	if ev&loop.Connected != 0 {
		d.up = true
		if d.verdict == nil {
			d.done(nil)
			return
		}
	}
	if !d.up {
		if ev&loop.Hangup != 0 {
			err := d.conn.Err()
			if why := errors.Unwrap(err); why != nil { // the check's name has the address already
				err = why
			}
			d.done(err)
		}
		return
	}
	if len(d.unsent) > 0 {
		n, _ := d.conn.Write(d.unsent) // when it fails, reading will say what has happened
		d.unsent = d.unsent[n:]
	}
	if ev&(loop.Readable|loop.Hangup) != 0 {
		d.read()
	}
}

// read takes what there is. Its end decides, whatever it is.
func (d *dialled) read() {
	for {
		p := d.health.shard.buffer().Bytes
		p = p[:min(len(p), mostAnswer-len(d.got))]
		n, err := d.conn.Read(p)
		d.got = append(d.got, p[:n]...)
		switch {
		case errors.Is(err, loop.ErrAgain):
			d.pace()
			return
		case err != nil:
			d.last(err)
			return
		case len(d.got) == mostAnswer:
			d.last(fmt.Errorf("%d KiB came", mostAnswer>>10))
			return
		}
	}
}

// pace judges now, or soon if that was just done.
func (d *dialled) pace() {
	now := d.health.shard.loop.Now()
	if at := d.looked.Add(lookEvery); at.After(now) {
		d.health.shard.loop.Schedule(&d.look, at)
		return
	}
	d.looked = now
	d.judge()
}

func (d *dialled) judge() {
	d.looked = d.health.shard.loop.Now()
	if decided, err := d.verdict(d.got); decided {
		d.done(err)
	}
}

// last judges when nothing more will be read, because of why.
func (d *dialled) last(why error) {
	decided, err := d.verdict(d.got)
	if !decided {
		if errors.Is(why, io.EOF) {
			why = errors.New("the server closed the connection")
		}
		err = fmt.Errorf("%s%s: %w", d.missing, quoted(d.got), why)
	}
	d.done(err)
}

// late judges what has come, or says what is missing (attempt).
func (d *dialled) late() error {
	missing := "no connection"
	if d.up {
		if decided, err := d.verdict(d.got); decided {
			return err
		}
		missing = "no answer"
		if len(d.got) > 0 {
			missing = d.missing + quoted(d.got)
		}
	}
	return fmt.Errorf("%s within %v", missing, d.health.check.Timeout)
}

// stop lets go of the connection (attempt). A reset leaves nothing behind in the queues of a server that hangs.
func (d *dialled) stop() {
	d.health.shard.loop.Cancel(&d.look)
	d.conn.Reset()
}

func (d *dialled) done(err error) {
	if err == nil {
		d.health.shard.loop.Cancel(&d.look)
		d.conn.Close()
	} else {
		d.stop()
	}
	d.health.ended(err)
}

// quoted is the beginning of an answer for a message: it may hold anything.
func quoted(got []byte) string {
	if len(got) == 0 {
		return ""
	}
	return fmt.Sprintf(" in %q", got[:min(len(got), shownAnswer)])
}

// expecting is the verdict by a regular expression: what does not match yet may still.
func expecting(re *regexp.Regexp) func([]byte) (bool, error) {
	return func(got []byte) (bool, error) { return re.Match(got), nil }
}

// httpRequest asks for a page over a connection of its own (RFC 9112).
func httpRequest(c *HealthCheck) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: poolproxy\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		c.Path, c.Host)
}

// wantStatus is the verdict by the status of a reply; 0 wants 200 to 399. The body does not count.
func wantStatus(want int) func([]byte) (bool, error) {
	return func(got []byte) (bool, error) {
		status, err := httpStatus(got)
		switch {
		case status == 0:
			return err != nil, err
		case want == 0 && (status < 200 || status >= 400):
			return true, fmt.Errorf("the status is %d, not 200 to 399", status)
		case want != 0 && status != want:
			return true, fmt.Errorf("the status is %d, not %d", status, want)
		}
		return true, nil
	}
}

// httpStatus finds the status of the final reply that p begins with; interim replies (RFC 9110 §15.2) stand before it. It is 0
// while that has not come, or with an error where none can come.
func httpStatus(p []byte) (int, error) {
	for {
		line, _, whole := bytes.Cut(p, []byte("\n"))
		start := []byte("HTTP/1.")
		if n := min(len(line), len(start)); !bytes.Equal(line[:n], start[:n]) || whole && n < len(start) {
			return 0, errors.New("no reply of HTTP/1" + quoted(p))
		}
		if !whole {
			return 0, nil
		}
		status := 0
		if words := bytes.Fields(line); len(words) > 1 && len(words[1]) == 3 {
			status, _ = strconv.Atoi(string(words[1])) // what is no number is refused as 0
		}
		if status < 100 {
			return 0, errors.New("no status" + quoted(p))
		}
		if status >= 200 || status == 101 {
			return status, nil
		}
		_, rest, ended := bytes.Cut(p, []byte("\r\n\r\n"))
		if !ended {
			return 0, nil
		}
		p = rest
	}
}
