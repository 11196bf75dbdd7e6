package workload

import (
	"bufio"
	"encoding/binary"
	"io"
)

// streamDialect: requests as those of length; a reply is session (8), number (4), size (4), the sum (8) of all requests from the session's
// beginning to this one, and content. So what a server says depends on all that it was told: one that has not had the whole history, in
// its order, once, answers with another sum. There is no error.
type streamDialect struct {
	asked uint64 // the client's sum
	heard uint64 // the server's
}

const streamReply = 8 + 4 + 4 + 8

// chain adds a request's head to a sum. What it carries is known from its head.
func chain(sum uint64, head []byte) uint64 {
	for len(head) >= 8 {
		sum = mix(sum^binary.BigEndian.Uint64(head)) + 0x9e3779b97f4a7c15
		head = head[8:]
	}
	for _, b := range head {
		sum = mix(sum ^ uint64(b)<<56 ^ uint64(len(head)))
	}
	return sum
}

func (d *streamDialect) ask(to []byte, r *Request) []byte {
	at := len(to)
	to = appendBinary(to, r)
	d.asked = chain(d.asked, to[at:])
	r.chain = d.asked
	return appendContent(to, r.carried(Stream), r.Carry)
}

func (d *streamDialect) hear(in *input, _ waiting) (reply, error) {
	var head [streamReply]byte
	if n, err := io.ReadFull(in, head[:]); err != nil {
		return reply{}, within(err, n > 0)
	}
	size := binary.BigEndian.Uint32(head[12:])
	if size > MaxContent {
		return reply{}, wrong("a reply of %d bytes", size)
	}
	return reply{named: true, session: binary.BigEndian.Uint64(head[:]), number: uint64(binary.BigEndian.Uint32(head[8:])),
		size: int64(size), chain: binary.BigEndian.Uint64(head[16:])}, nil
}

func (d *streamDialect) content(in *input, re *reply, of *Request, progress func(int64)) error {
	if re.chain != of.chain {
		return wrong("the reply to request %d is of a server that was told something else before: its sum is %x, not %x", of.Number, re.chain, of.chain)
	}
	return in.content(of.answer(Stream), 0, re.size, progress)
}

func (d *streamDialect) read(in *input) (Request, error) {
	r, head, err := readBinary(in)
	if err != nil {
		return r, err
	}
	if r.Unsafe {
		return r, wrong("an unsafe request")
	}
	d.heard = chain(d.heard, head[:])
	r.chain = d.heard
	return r, in.content(r.carried(Stream), 0, int64(r.Carry), nil)
}

func (d *streamDialect) write(out *bufio.Writer, r *Request, half func() error) error {
	var head [streamReply]byte
	binary.BigEndian.PutUint64(head[:], r.Session)
	binary.BigEndian.PutUint32(head[8:], uint32(r.Number))
	binary.BigEndian.PutUint32(head[12:], uint32(r.Size))
	binary.BigEndian.PutUint64(head[16:], r.chain)
	if _, err := out.Write(head[:]); err != nil {
		return err
	}
	return writeContent(out, r.answer(Stream), 0, int64(r.Size), half)
}

// fail says nothing: there is no error. The connection's end must do.
func (d *streamDialect) fail(*bufio.Writer, string) {}
