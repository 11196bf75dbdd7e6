package loop

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// echo writes back what it reads, pausing its reading while the other side does not take it.
type echo struct {
	Conn
	held []byte // read and not written
	buf  [3000]byte
}

func (e *echo) Ready(Event) {
	for {
		if len(e.held) > 0 {
			n, err := e.Write(e.held)
			e.held = e.held[n:]
			if err != nil {
				return
			}
		}
		n, err := e.Read(e.buf[:])
		switch {
		case err == io.EOF:
			e.CloseWrite()
			return
		case err != nil:
			return
		}
		e.held = e.buf[:n]
	}
}

// sender writes data as the transport takes it, in pieces of many buffers, and then its end.
type sender struct {
	*end
	left     []byte
	partials int
}

func (s *sender) Ready(ev Event) {
	s.end.Ready(ev)
	for len(s.left) > 0 && ev&(Connected|Writable) != 0 {
		var bufs [][]byte
		rest := s.left[:min(len(s.left), 100_000)]
		for piece := range slices.Chunk(rest, 1000) {
			bufs = append(bufs, piece, nil)
		}
		n, err := s.Write(bufs...)
		s.left = s.left[n:]
		if err != nil {
			s.partials++
			return
		}
	}
	if len(s.left) == 0 {
		s.CloseWrite()
	}
}

func TestEchoOfMuch(t *testing.T) {
	data := make([]byte, 16<<20)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	onEveryLoop(t, func(w *world) {
		addr := w.listen(func(c Conn) Handler { return &echo{Conn: c} })
		s := &sender{end: newEnd(), left: data}
		w.do(func() { s.Conn = w.Dial(addr, s) })
		w.receive(s.done, "the echo")
		w.do(func() {
			if s.readErr != io.EOF || !bytes.Equal(s.got, data) {
				w.Errorf("%d of %d bytes came back right, then %v", commonPrefix(s.got, data), len(data), s.readErr)
			}
			if s.partials == 0 {
				w.Error("the transport took everything at once: this tests nothing")
			}
		})
	})
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// A reader that pauses hears nothing until it comes back, and misses nothing.
func TestPausedReader(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		heard := make(chan struct{}, 100)
		paused := handler(func(Event) { heard <- struct{}{} })
		var c Conn
		addr := w.listen(func(conn Conn) Handler { c = conn; return paused })
		client, err := net.Dial("tcp", addr.String())
		if err != nil {
			w.Fatal(err)
		}
		client.Write([]byte("abc"))
		w.receive(heard, "Readable")
		client.Write([]byte("def"))
		client.Close()
		var got []byte
		waitFor(w.T, "the rest", func() bool {
			over := false
			w.do(func() {
				p := make([]byte, 2)
				n, err := c.Read(p)
				got = append(got, p[:n]...)
				over = err == io.EOF
			})
			return over
		})
		if string(got) != "abcdef" {
			w.Errorf("got %q", got)
		}
	})
}

func TestManyConns(t *testing.T) {
	const conns = 200
	onEveryLoop(t, func(w *world) {
		addr := w.listen(func(c Conn) Handler { return &echo{Conn: c} })
		ends := make([]*sender, conns)
		w.do(func() {
			for i := range ends {
				ends[i] = &sender{end: newEnd(), left: []byte(strings.Repeat(string(rune('a'+i%26)), i))}
				ends[i].Conn = w.Dial(addr, ends[i])
			}
		})
		for i, e := range ends {
			w.receive(e.done, "an echo")
			w.do(func() {
				if len(e.got) != i || e.readErr != io.EOF {
					w.Errorf("conn %d: %d bytes, then %v", i, len(e.got), e.readErr)
				}
			})
		}
	})
}

// Two conns become ready at once; whoever is told first closes the other, which must hear nothing, and reuses its descriptor.
