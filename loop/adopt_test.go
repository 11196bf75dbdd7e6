package loop

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// adopted runs a Goroutines with one end of a net.Pipe in it, which has neither half-close nor reset.
func adopted(t *testing.T, test func(w *world, inside *end, outside net.Conn)) {
	before := everyLoop
	defer func() { everyLoop = before }()
	everyLoop = map[string]func() (Runner, error){"Goroutines": func() (Runner, error) { return NewGoroutines(), nil }}
	onEveryLoop(t, func(w *world) {
		a, b := net.Pipe()
		defer b.Close()
		b.SetDeadline(time.Now().Add(patience))
		inside := newEnd()
		w.do(func() { inside.Conn = w.Runner.(*Goroutines).Adopt(a, inside) })
		test(w, inside, b)
	})
}

func TestAdopt(t *testing.T) {
	adopted(t, func(w *world, inside *end, outside net.Conn) {
		if _, err := outside.Write([]byte("question")); err != nil {
			w.Fatal(err)
		}
		w.do(func() {
			inside.Write([]byte("answer"))
			inside.CloseWrite() // cannot be sent before Close
			inside.Close()
		})
		got, err := io.ReadAll(outside)
		if string(got) != "answer" || err != nil {
			w.Errorf("%q, then %v", got, err)
		}
		w.do(func() {
			if string(inside.got) != "question" && string(inside.got) != "" { // it may have closed before it heard
				w.Errorf("got %q", inside.got)
			}
		})
	})
}

func TestAdoptedPeerCloses(t *testing.T) {
	adopted(t, func(w *world, inside *end, outside net.Conn) {
		outside.Write([]byte("last words"))
		outside.Close()
		w.receive(inside.done, "the end")
		w.do(func() {
			if string(inside.got) != "last words" || inside.readErr != io.EOF {
				w.Errorf("%q, then %v", inside.got, inside.readErr)
			}
			if _, ok := inside.Info(); ok {
				w.Error("Info of a pipe")
			}
		})
	})
}

func TestAdoptedReset(t *testing.T) {
	adopted(t, func(w *world, inside *end, outside net.Conn) {
		w.do(func() {
			inside.Write([]byte("never taken"))
			inside.Reset()
			if _, err := inside.Write([]byte("x")); !errors.Is(err, ErrClosed) {
				w.Errorf("write after Reset: %v", err)
			}
		})
		waitFor(w.T, "the end of the pipe", func() bool {
			_, err := outside.Read(make([]byte, 100))
			return err != nil
		})
	})
}
