package workload

import (
	"bufio"
	"encoding/binary"
	"io"
	"time"
)

// binaryHead is what begins a request of the kinds length and stream, in network order: the length of what follows these four bytes, 'G' or
// 'P' (unsafe), session (8), number (4), size (4), where to hold (1) and for how many milliseconds (4). Content follows.
const binaryHead = 4 + 1 + 8 + 4 + 4 + 1 + 4

func appendBinary(to []byte, r *Request) []byte {
	op := byte('G')
	if r.Unsafe {
		op = 'P'
	}
	to = binary.BigEndian.AppendUint32(to, uint32(binaryHead-4+r.Carry))
	to = append(to, op)
	to = binary.BigEndian.AppendUint64(to, r.Session)
	to = binary.BigEndian.AppendUint32(to, uint32(r.Number))
	to = binary.BigEndian.AppendUint32(to, uint32(r.Size))
	to = append(to, byte(r.Hold.Where))
	return binary.BigEndian.AppendUint32(to, uint32(r.Hold.For.Milliseconds()))
}

// readBinary reads such a head; head are its bytes.
func readBinary(in *input) (r Request, head [binaryHead]byte, err error) {
	if n, err := io.ReadFull(in, head[:]); err != nil {
		return r, head, within(err, n > 0)
	}
	length := binary.BigEndian.Uint32(head[:])
	if length < binaryHead-4 || length > binaryHead-4+MaxContent {
		return r, head, wrong("a request of %d bytes", length)
	}
	if head[4] != 'G' && head[4] != 'P' {
		return r, head, wrong("a request of kind %q", head[4])
	}
	r = Request{
		Session: binary.BigEndian.Uint64(head[5:]),
		Number:  uint64(binary.BigEndian.Uint32(head[13:])),
		Size:    int(binary.BigEndian.Uint32(head[17:])),
		Carry:   int(length) - (binaryHead - 4),
		Unsafe:  head[4] == 'P',
		Hold:    Hold{HoldPlace(head[21]), time.Duration(binary.BigEndian.Uint32(head[22:])) * time.Millisecond},
	}
	if err := r.check(); err != nil {
		return r, head, wrong("%v", err)
	}
	return r, head, nil
}

// lengthDialect: messages with their length in four bytes before them. A reply is 'K', session (8), number (4) and content, or 'E' and a text.
type lengthDialect struct{}

const lengthReply = 1 + 8 + 4

func (lengthDialect) ask(to []byte, r *Request) []byte {
	return appendContent(appendBinary(to, r), r.carried(Length), r.Carry)
}

func (lengthDialect) hear(in *input, _ waiting) (reply, error) {
	var head [4 + lengthReply]byte
	if n, err := io.ReadFull(in, head[:5]); err != nil {
		return reply{}, within(err, n > 0)
	}
	length := binary.BigEndian.Uint32(head[:])
	switch {
	case head[4] == 'E' && length <= 200:
		text := make([]byte, length-1)
		_, err := io.ReadFull(in, text)
		return reply{refused: "E" + string(text)}, within(err, true)
	case head[4] != 'K' || length < lengthReply || length > lengthReply+MaxContent:
		return reply{}, wrong("a reply of kind %q and %d bytes", head[4], length)
	}
	if _, err := io.ReadFull(in, head[5:]); err != nil {
		return reply{}, within(err, true)
	}
	return reply{named: true, session: binary.BigEndian.Uint64(head[5:]), number: uint64(binary.BigEndian.Uint32(head[13:])),
		size: int64(length - lengthReply)}, nil
}

func (lengthDialect) content(in *input, re *reply, of *Request, progress func(int64)) error {
	if re.refused != "" {
		return nil
	}
	return in.content(of.answer(Length), 0, re.size, progress)
}

func (lengthDialect) read(in *input) (Request, error) {
	r, _, err := readBinary(in)
	if err != nil {
		return r, err
	}
	return r, in.content(r.carried(Length), 0, int64(r.Carry), nil)
}

func (lengthDialect) write(out *bufio.Writer, r *Request, half func() error) error {
	var head [4 + lengthReply]byte
	binary.BigEndian.PutUint32(head[:], uint32(lengthReply+r.Size))
	head[4] = 'K'
	binary.BigEndian.PutUint64(head[5:], r.Session)
	binary.BigEndian.PutUint32(head[13:], uint32(r.Number))
	if _, err := out.Write(head[:]); err != nil {
		return err
	}
	return writeContent(out, r.answer(Length), 0, int64(r.Size), half)
}

func (lengthDialect) fail(out *bufio.Writer, reason string) {
	text := reason[:min(len(reason), 150)]
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(1+len(text)))
	out.Write(head[:])
	out.WriteByte('E')
	out.WriteString(text)
}
