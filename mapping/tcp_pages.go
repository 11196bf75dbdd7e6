package mapping

import (
	"encoding/binary"
	"errors"

	"github.com/poolproxy/poolproxy/loop"
)

var _ PageSender = (*tcpAssociation)(nil)

// TakesPages reports whether the connection can move pages; see PageSender.
func (a *tcpAssociation) TakesPages() bool {
	return a.pager != nil && !a.noPages && !a.ended && !a.closing
}

// SendPages queues a message that lies in a pipe; see PageSender.
func (a *tcpAssociation) SendPages(m Message, from *loop.Buffer) error {
	first, to := from.Extent()
	if to-first > maxData || !from.Piped() || a.pager == nil {
		from.Load()
		m.Data = from.Bytes[first:to]
		return a.Send(m, from)
	}
	if a.ended || a.closing {
		return ErrDown
	}
	a.machine.queueData(&m, nil, to-first, from)
	a.sendSoon()
	return nil
}

// nextPages reports whether pages follow behind the next n segments.
func (a *tcpAssociation) nextPages(n int) bool {
	if a.machine.initLeft > 0 || !a.machine.up {
		return false
	}
	s := a.machine.queue.next(n)
	return s != nil && s.pages > 0
}

// writePages gives the connection the pages that are next, and returns how many bytes it took.
func (a *tcpAssociation) writePages() (int, error) {
	s := a.machine.queue.next(0)
	if !s.take() {
		return 0, nil // they are written like others, next
	}
	n, err := a.pager.WritePages(s.from, a.machine.queue.next(1) != nil)
	if !errors.Is(err, loop.ErrNoPages) {
		return n, err
	}
	a.noPages = true // it would not be better next time
	if n == 0 {
		s.load()
	}
	return n, nil
}

// Bounds of taking pages.
const (
	pagesFrom  = 32 << 10 // user data in a chunk from which on it is worth while, bytes
	pagesAfter = 8        // such chunks in a row, more or less, after which it begins
	pagesRest  = 100      // such chunks that pass before it is tried again where it did not work
	dataHeader = chunkHeader + dataWords
)

// intake is how an association reads while large chunks come whose bytes nobody looks at: chunk by chunk, and the user data of
// those into a pipe.
type intake struct {
	row  int // large chunks, less the others; at most pagesAfter
	on   bool
	head [dataHeader]byte
	c    chunk        // the chunk whose data is being read
	data *loop.Buffer // its data, as far as it has come; nil: there is no such chunk
	left int          // bytes of it to come
	pad  int          // and of padding
}

func (i *intake) drop() {
	if i.data != nil {
		i.data.Drop()
		i.data = nil
	}
}

// noteData sees whether the data that comes would better be taken as pages.
func (a *tcpAssociation) noteData(m *Message) {
	i := &a.intake
	switch {
	case a.pager == nil || a.noPages || a.machine.peer != 0:
	case len(m.Data) >= pagesFrom && a.takesPages(m.Stream, m.PPID):
		i.row = min(i.row+1, pagesAfter)
		i.on = i.on || i.row == pagesAfter
	default:
		i.few()
	}
}

// few notes a chunk that is none of the large ones.
func (i *intake) few() {
	if i.row > 0 {
		i.row--
	}
	i.on = i.on && i.row > 0
}

func (a *tcpAssociation) takesPages(stream uint16, ppid uint32) bool {
	h, ok := a.handler.(PageHandler)
	return ok && (ppid == PPIDMore || ppid == PPIDEnd) && h.TakesPages(stream)
}

// readSome reads more behind the first have bytes of in. While pages are taken it is not more than the chunk that has begun. short says
// that fewer bytes came than were asked for: the connection was drained.
func (a *tcpAssociation) readSome(in []byte, have int) (n int, short bool, err error) {
	to := len(in)
	switch {
	case !a.intake.on:
	case have < dataHeader:
		to = dataHeader
	default:
		to = max(have+1, padded(int(binary.BigEndian.Uint16(in[2:]))))
	}
	n, err = a.conn.Read(in[have:to])
	return n, n < to-have, err
}

// beginPages begins to take a chunk as pages, if head is the header of one of the right kind and nothing else.
func (a *tcpAssociation) beginPages(head []byte) bool {
	i := &a.intake
	if !i.on || len(head) != dataHeader || head[0] != chunkData {
		return false
	}
	c := chunk{kind: chunkData, unordered: head[1]&flagUnordered != 0, pages: int(binary.BigEndian.Uint16(head[2:])) - dataHeader}
	c.parseWords(head[chunkHeader:], a.machine.peer)
	if c.pages < pagesFrom || !a.takesPages(c.stream, c.ppid) {
		return false
	}
	if i.data = a.loop.Buffers().GetPages(); i.data == nil {
		i.rest()
		return false
	}
	copy(i.head[:], head)
	i.c, i.left, i.pad = c, c.pages, len(c.pad())
	return true
}

// readPages reads on in the chunk that beginPages has begun, and hands it over when it is whole. It returns how many bytes came. If
// the rest cannot be had as pages, have bytes of the chunk are in in, to be read on as others are.
func (a *tcpAssociation) readPages(in []byte) (n, have int, err error) {
	i := &a.intake
	for i.left > 0 {
		got, err := a.pager.ReadPages(i.data, i.left)
		i.left -= got
		n += got
		if errors.Is(err, loop.ErrNoPages) {
			return n, i.unread(in), nil
		}
		if err != nil {
			return n, 0, err
		}
	}
	for i.pad > 0 {
		var pad [3]byte
		got, err := a.conn.Read(pad[:i.pad])
		i.pad -= got
		n += got
		if err != nil {
			return n, 0, err
		}
	}
	return n, 0, a.pagesCame()
}

// unread copies what has come of the chunk to in, and rests.
func (i *intake) unread(in []byte) (have int) {
	i.data.Load()
	from, to := i.data.Extent()
	have = copy(in, i.head[:])
	have += copy(in[have:], i.data.Bytes[from:to])
	i.drop()
	i.rest()
	return have
}

// rest has the next chunks read in the ordinary way, many at a time.
func (i *intake) rest() { i.row, i.on = -pagesRest, false }

// pagesCame hands over the chunk that is whole. An error is that of a peer that broke the rules.
func (a *tcpAssociation) pagesCame() error {
	i := &a.intake
	a.machine.watch.Received(a.loop.Now())
	m, err := a.machine.data(&i.c)
	if err != nil || a.closing {
		i.drop()
		return err
	}
	i.row = min(i.row+1, pagesAfter)
	data := i.data
	i.data = nil
	a.handler.(PageHandler).ReceivePages(m, data) // takesPages has seen that it is one
	return nil
}
