package freeze

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A frame says what was frozen, the version of its format, and when, since the time that passes until it is thawed counts: other
// processes' clocks do not stand still. A sum over all ends it.
const (
	frameMark = "PPF"
	frameHead = len(frameMark) + 2 + 8 // mark, kind, version, time
	frameSum  = 8

	// longestPause bounds how long what is thawed may be believed to have been frozen: behind that a clock was set.
	longestPause = 5 * time.Minute
)

// Frame appends to p what show shows, in a frame of that kind and version. After an error, which wraps Err, it returns p.
func Frame(p []byte, kind, version byte, now time.Time, show func(*Coder)) ([]byte, error) {
	begin := len(p)
	out := append(append(p, frameMark...), kind, version)
	out = binary.BigEndian.AppendUint64(out, uint64(now.UnixNano()))
	c := Freezing(out, now)
	show(c)
	if err := c.End(); err != nil {
		return p, err
	}
	out = c.Frozen()
	return binary.BigEndian.AppendUint64(out, xxhash.Sum64(out[begin:])), nil
}

// Open has show fill in what is in the frame, which must be of that kind and version. The error wraps Err.
func Open(p []byte, kind, version byte, now time.Time, show func(*Coder)) error {
	switch {
	case len(p) < frameHead+frameSum || string(p[:len(frameMark)]) != frameMark:
		return fmt.Errorf("%w: %d bytes without a frame", Err, len(p))
	case p[len(frameMark)] != kind:
		return fmt.Errorf("%w: it is of kind %q, not %q", Err, p[len(frameMark)], kind)
	case p[len(frameMark)+1] != version:
		return fmt.Errorf("%w: it is of version %d, this build takes version %d", Err, p[len(frameMark)+1], version)
	}
	body := p[:len(p)-frameSum]
	if xxhash.Sum64(body) != binary.BigEndian.Uint64(p[len(body):]) {
		return fmt.Errorf("%w: its sum is wrong", Err)
	}
	then := time.Unix(0, int64(binary.BigEndian.Uint64(p[frameHead-8:])))
	pause := min(max(now.Sub(then), 0), longestPause)
	c := Thawing(body[frameHead:], now.Add(-pause))
	show(c)
	return c.End()
}

// Sum makes the sum of a frame right again, whose bytes a test has changed.
func Sum(p []byte) {
	if body := len(p) - frameSum; body >= 0 {
		binary.BigEndian.PutUint64(p[body:], xxhash.Sum64(p[:body]))
	}
}
