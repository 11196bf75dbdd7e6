package mapping

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// pageTaker takes every message as pages, if it comes so.
type pageTaker struct {
	pages, copied int
	all           []byte
}

func (h *pageTaker) Up()                           {}
func (h *pageTaker) Drained()                      {}
func (h *pageTaker) Down(error)                    {}
func (h *pageTaker) TakesPages(stream uint16) bool { return stream == 1 }

func (h *pageTaker) Receive(m Message) {
	h.copied++
	h.all = append(h.all, m.Data...)
}

func (h *pageTaker) ReceivePages(_ Message, data *loop.Buffer) {
	h.pages++
	data.Load()
	from, to := data.Extent()
	h.all = append(h.all, data.Bytes[from:to]...)
	data.Drop()
}

// dataChunk is the chunk with a number on stream 1, n bytes of user data in it.
func dataChunk(number, n int) (chunk, data []byte) {
	data = bytes.Repeat([]byte{byte(number), 1, 2}, n/3+1)[:n]
	chunk = binary.BigEndian.AppendUint16([]byte{chunkData, 0}, uint16(dataHeader+n))
	chunk = binary.BigEndian.AppendUint32(chunk, uint32(number))
	chunk = binary.BigEndian.AppendUint16(chunk, 1)
	chunk = binary.BigEndian.AppendUint16(chunk, uint16(number))
	chunk = binary.BigEndian.AppendUint32(chunk, PPIDMore)
	chunk = append(chunk, data...)
	return append(chunk, padding[:padded(n)-n]...), data
}

// TestPagesIntake has a peer send large chunks, small ones among them, of every rest by four, and one in so many fragments that they
// do not fit a pipe: all come right, the large ones as pages once there have been some.
func TestPagesIntake(t *testing.T) {
	l, err := loop.NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	t.Cleanup(l.Stop)
	do := func(f func()) {
		done := make(chan struct{})
		l.Post(func() { f(); close(done) })
		<-done
	}
	h := &pageTaker{}
	var at netip.AddrPort
	var a *tcpAssociation
	do(func() {
		l.Buffers().LimitPages(4, nil)
		listener, err := TCPMapping{}.Listen(l, netip.MustParseAddrPort("127.0.0.1:0"), Config{}, func(one Association) Handler {
			a = one.(*tcpAssociation)
			return h
		})
		if err != nil {
			t.Error(err)
			return
		}
		at = listener.Addr()
	})
	peer, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	go io.Copy(io.Discard, peer) // ends with the connection
	var want []byte
	number := 0
	taken := func(left int) { // waits until so much of the chunk is left to come, or it is not taken as pages
		for come := false; !come; {
			do(func() { come = a.intake.data == nil || a.intake.left+a.intake.pad <= left })
		}
	}
	send := func(n, fragment int) {
		chunk, data := dataChunk(number, n)
		number++
		want = append(want, data...)
		for len(chunk) > 0 {
			k := min(fragment, len(chunk))
			if _, err := peer.Write(chunk[:k]); err != nil {
				t.Fatal(err)
			}
			chunk = chunk[k:]
			if fragment < 2000 { // one at a time, each in its own place of the pipe
				taken(len(chunk))
			}
		}
	}
	arrived := func() {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			n := 0
			if do(func() { n = len(h.all) }); n == len(want) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d bytes of %d came", n, len(want))
			}
		}
	}
	if _, err := peer.Write(initChunk); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		send(pagesFrom+i, 1<<20)
		if i%5 == 4 {
			send(i, 1<<20)
		}
		arrived()
	}
	do(func() {
		if h.pages < 40 || !bytes.Equal(h.all, want) {
			t.Errorf("%d messages came as pages, %d otherwise; right: %v", h.pages, h.copied, bytes.Equal(h.all, want))
		}
	})
	before := h.pages
	send(60000, 1500)
	arrived()
	do(func() {
		if !bytes.Equal(h.all, want) || a.intake.data != nil {
			t.Error("not what was sent")
		}
		if h.pages != before || a.intake.row >= 0 {
			t.Errorf("a chunk in 40 fragments came as pages; row %d", a.intake.row)
		}
	})
}

// TestPagesNone begins where no pipe is to be had: chunks are not read one by one for nothing.
func TestPagesNone(t *testing.T) {
	l, err := loop.NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	a := &tcpAssociation{loop: l, handler: &pageTaker{}, intake: intake{on: true, row: pagesAfter}}
	chunk, _ := dataChunk(0, pagesFrom)
	if a.beginPages(chunk[:dataHeader]) || a.intake.on || a.intake.row != -pagesRest {
		t.Errorf("on: %v, row %d", a.intake.on, a.intake.row)
	}
}
