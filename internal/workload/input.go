package workload

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// errWrong is wrapped by errors about what came: it is not what the workload says. What else reading returns is the connection's.
var errWrong = errors.New("workload: wrong bytes")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errWrong, fmt.Sprintf(format, args...))
}

// foreign is an error about content that is another's.
type foreign struct {
	what string // whose content it should be
	at   int64  // where it begins to be another
	from string // whose it is, if that is known
}

func (f *foreign) Error() string {
	text := fmt.Sprintf("%s: byte %d is another", f.what, f.at)
	if f.from != "" {
		text += ", as " + f.from
	}
	return text
}

func (f *foreign) Unwrap() error { return errWrong }

// input reads what a peer says, with bounds. There is one for each connection and side; it is used by one goroutine.
type input struct {
	*bufio.Reader
}

func newInput(r io.Reader) *input { return &input{bufio.NewReaderSize(r, mostHeadLine)} }

// word reads up to the byte stop, which is taken and not returned; at most longest bytes. An end of file within it is
// io.ErrUnexpectedEOF, one before it io.EOF.
func (in *input) word(stop byte, longest int) (string, error) {
	var word [128]byte
	longest = min(longest, len(word))
	for n := 0; ; n++ {
		b, err := in.ReadByte()
		if err != nil {
			return "", within(err, n > 0)
		}
		if b == stop {
			return string(word[:n]), nil
		}
		if n == longest {
			return "", wrong("no %q within %d bytes: %q", stop, longest, word[:n])
		}
		word[n] = b
	}
}

// within makes an end of file one in the middle of something.
func within(err error, inside bool) error {
	if inside && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// number reads a number up to stop.
func (in *input) number(stop byte, base int, most uint64) (uint64, error) {
	text, err := in.word(stop, 20)
	if err != nil {
		return 0, within(err, true)
	}
	v, err := strconv.ParseUint(text, base, 64)
	if err != nil || v > most {
		return 0, wrong("%q is no number up to %d", text, most)
	}
	return v, nil
}

// expect reads what must come.
func (in *input) expect(text string) error {
	var got [16]byte
	n, err := io.ReadFull(in, got[:len(text)])
	if err != nil {
		return within(err, true)
	}
	if string(got[:n]) != text {
		return wrong("%q instead of %q", got[:n], text)
	}
	return nil
}

// content reads n bytes that must be those of p from off on. What is told of progress, after each piece, is how many have come.
func (in *input) content(p pattern, off, n int64, progress func(int64)) error {
	done := int64(0)
	return in.pieces(n, func(piece []byte) error {
		if at := p.diff(piece, off+done); at >= 0 {
			return in.foreign(p, off+done+int64(at), at)
		}
		done += int64(len(piece))
		if progress != nil {
			progress(done)
		}
		return nil
	})
}

// pieces reads n bytes: take gets them in pieces, as they come, each valid until it returns.
func (in *input) pieces(n int64, take func([]byte) error) error {
	for n > 0 {
		if _, err := in.Peek(1); err != nil {
			return within(err, true)
		}
		piece, _ := in.Peek(int(min(int64(in.Buffered()), n))) // they are there
		if err := take(piece); err != nil {
			return err
		}
		in.Discard(len(piece))
		n -= int64(len(piece))
	}
	return nil
}

// foreign makes the error for content that differs at a place of the reply or request, skip bytes from here. It looks at what has come
// behind that, but does not wait.
func (in *input) foreign(p pattern, at int64, skip int) error {
	sample, _ := in.Peek(min(in.Buffered(), skip+64)) // they are there
	return &foreign{fmt.Sprintf("content %s", p.direction), at, p.whence(sample[skip:])}
}

func (d direction) String() string {
	if d == toServer {
		return "of a request"
	}
	return "of a reply"
}
