// Package freeze turns the state of one process into bytes, from which another one goes on.
//
// A Coder walks over a state: when it freezes, it writes what it is shown; when it thaws, it fills it in. So one function describes a
// state both ways, and what is written cannot differ from what is read. Freezing changes nothing that it is shown.
//
// What is thawed was written by another process, perhaps of another build: it is input. Every length is bounded by what has come, before
// memory is taken for it; numbers must fit; the first mistake ends it, and the Coder says what and where (Err). Who shows a state checks
// its own rules with Check.
package freeze

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Err is wrapped by all errors of a Coder.
var Err = errors.New("frozen state")

// Coder freezes or thaws. It belongs to one goroutine.
type Coder struct {
	thaws bool
	now   time.Time
	data  []byte // what was frozen so far, or what is left to be thawed
	size  int    // of all that is thawed
	err   error  // the first; stays

	numbers map[any]uint64 // freezing: of what several refer to
	objects []any          // thawing: the same by their numbers, from 1 on
}

// Freezing returns a Coder that appends to p. now is the time against which times are kept: another process has another clock.
func Freezing(p []byte, now time.Time) *Coder { return &Coder{data: p, now: now} }

// Thawing returns a Coder that reads p, which must not change meanwhile; what is thawed does not refer to it. now is the time here.
func Thawing(p []byte, now time.Time) *Coder {
	return &Coder{thaws: true, data: p, size: len(p), now: now}
}

// Thaws reports whether the Coder fills in what it is shown.
func (c *Coder) Thaws() bool { return c.thaws }

// Now is the time against which times are kept.
func (c *Coder) Now() time.Time { return c.now }

// Frozen is what was frozen, behind what it was appended to.
func (c *Coder) Frozen() []byte { return c.data }

// Err is the first mistake, nil if there was none.
func (c *Coder) Err() error { return c.err }

// End is Err, and it is a mistake if something is left.
func (c *Coder) End() error {
	c.Check(!c.thaws || len(c.data) == 0, "%d bytes too many", len(c.data))
	return c.err
}

// Fail notes a mistake, if it is the first: freezing, that something cannot be frozen; thawing, that what was read cannot be.
func (c *Coder) Fail(format string, args ...any) {
	if c.err != nil {
		return
	}
	if c.thaws {
		c.err = fmt.Errorf("%w: at byte %d of %d: %s", Err, c.size-len(c.data), c.size, fmt.Sprintf(format, args...))
	} else {
		c.err = fmt.Errorf("%w: %s", Err, fmt.Sprintf(format, args...))
	}
	if c.thaws {
		c.data = nil
	}
}

// Check is Fail if ok is false and something is thawed. It reports whether there was no mistake so far.
func (c *Coder) Check(ok bool, format string, args ...any) bool {
	if !ok && c.thaws {
		c.Fail(format, args...)
	}
	return c.err == nil
}

// uint is a number without a sign.
func (c *Coder) uint(v uint64) uint64 {
	if !c.thaws {
		c.data = binary.AppendUvarint(c.data, v)
		return v
	}
	v, n := binary.Uvarint(c.data)
	if n <= 0 {
		c.Fail("a number is cut short or too long")
		return 0
	}
	c.data = c.data[n:]
	return v
}

// int is a number with a sign.
func (c *Coder) int(v int64) int64 {
	u := c.uint(uint64(v)<<1 ^ uint64(v>>63))
	return int64(u>>1) ^ -int64(u&1)
}

// take returns the next n bytes of what is thawed; they are not a copy. nil: there are fewer.
func (c *Coder) take(n uint64) []byte {
	if n > uint64(len(c.data)) {
		c.Fail("%d bytes are announced, %d are left", n, len(c.data))
		return nil
	}
	p := c.data[:n:n]
	c.data = c.data[n:]
	return p
}

// Bool shows truth values.
func (c *Coder) Bool(all ...*bool) {
	for _, b := range all {
		v := uint64(0)
		if *b {
			v = 1
		}
		v = c.uint(v)
		c.Check(v <= 1, "%d is no truth value", v)
		if c.thaws {
			*b = v == 1
		}
	}
}

// integer is any type of numbers.
type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Number shows a number that is from least to most, or else is a mistake.
func Number[T integer](c *Coder, p *T, least, most T) {
	v := c.int(int64(*p))
	if !c.thaws {
		return
	}
	x := T(v)
	if c.Check(int64(x) == v && (x < 0) == (v < 0) && x >= least && x <= most, "%d is out of range (%d to %d)", v, least, most) {
		*p = x
	}
}

// maxOffset bounds offsets, so that sums of two do not overflow.
const maxOffset = 1 << 62

// Offset shows positions in streams, and lengths of their parts: from 0 to below 2^62.
func (c *Coder) Offset(all ...*int64) {
	for _, p := range all {
		Number(c, p, 0, maxOffset-1)
	}
}

// Count shows numbers of things, from 0 to below 2^31.
func (c *Coder) Count(all ...*int) {
	for _, p := range all {
		Number(c, p, 0, 1<<31-1)
	}
}

// Word shows numbers of which every value is right.
func (c *Coder) Word(all ...*uint64) {
	for _, p := range all {
		if v := c.uint(*p); c.thaws {
			*p = v
		}
	}
}

// Bytes shows bytes; nil is told apart from none. Thawed ones are a copy of their own.
func (c *Coder) Bytes(p *[]byte) {
	if !c.thaws {
		if *p == nil {
			c.uint(0)
			return
		}
		c.uint(uint64(len(*p)) + 1)
		c.data = append(c.data, *p...)
		return
	}
	*p = nil
	if n := c.uint(0); n > 0 {
		*p = append([]byte{}, c.take(n-1)...)
	}
}

// Buffer is Bytes for which nil and none are the same.
func (c *Coder) Buffer(all ...*[]byte) {
	for _, p := range all {
		if n := c.uint(uint64(len(*p))); c.thaws {
			*p = append([]byte(nil), c.take(n)...)
		} else {
			c.data = append(c.data, *p...)
		}
	}
}

// Array shows bytes of which there are always so many.
func (c *Coder) Array(p []byte) {
	if !c.thaws {
		c.data = append(c.data, p...)
		return
	}
	copy(p, c.take(uint64(len(p))))
}

// Pieces reads what Array has written, n bytes, and gives it to f, which must copy what it needs.
func (c *Coder) Pieces(n int64, f func(p []byte)) {
	if p := c.take(uint64(n)); len(p) > 0 {
		f(p)
	}
}

// Text shows texts.
func (c *Coder) Text(all ...*string) {
	for _, s := range all {
		if n := c.uint(uint64(len(*s))); c.thaws {
			*s = string(c.take(n))
		} else {
			c.data = append(c.data, *s...)
		}
	}
}

// Duration shows lengths of time, at most a hundred years each way.
func (c *Coder) Duration(all ...*time.Duration) {
	const century = 100 * 365 * 24 * time.Hour
	for _, d := range all {
		Number(c, d, -century, century)
	}
}

// Time shows times, which are kept as how long ago they were or how soon they will be. The zero time stays it.
func (c *Coder) Time(all ...*time.Time) {
	for _, t := range all {
		set := !t.IsZero()
		if c.Bool(&set); !set {
			if c.thaws {
				*t = time.Time{}
			}
			continue
		}
		var d time.Duration
		if !c.thaws {
			d = t.Sub(c.now)
		}
		if c.Duration(&d); c.thaws {
			*t = c.now.Add(d)
		}
	}
}
