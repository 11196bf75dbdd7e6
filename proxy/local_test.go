package proxy

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
)

// endlessConn always has something to read.
type endlessConn struct {
	loop.Conn
	loop loop.Loop
	read map[time.Time]int // bytes, by turn
}

func (c *endlessConn) Read(p []byte) (int, error) {
	c.read[c.loop.Now()] += len(p)
	return len(p), nil
}

// roomy are rules that take so many bytes.
type roomy struct {
	left int
	full func()
}

func (r *roomy) Room() int {
	if r.left <= 0 {
		r.full()
	}
	return max(r.left, 0)
}

func (r *roomy) Held() int                       { return 0 }
func (r *roomy) Take(_ *loop.Buffer, n int) bool { r.left -= n; return false }
func (r *roomy) End()                            {}
func (r *roomy) Broken(error)                    {}
func (r *roomy) Writable()                       {}

// One connection that never runs dry leaves its neighbours their turns.
func TestTurnIsShared(t *testing.T) {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	defer l.Stop()
	most := make(chan int, 1)
	l.Post(func() {
		conn := &endlessConn{loop: l, read: map[time.Time]int{}}
		end := func() {
			n := 0
			for _, read := range conn.read {
				n = max(n, read)
			}
			most <- n
		}
		c := &local{Conn: conn, shard: &Shard{loop: l}, rules: &roomy{left: 16 << 20, full: end}, readable: true}
		c.again.Func = c.read
		c.read()
	})
	if n := <-most; n > turnBytes {
		t.Errorf("%d KiB were read in one turn", n>>10)
	}
}

// endedConn is at its end of file, and has failed since.
type endedConn struct {
	loop.Conn
	err error
}

func (c *endedConn) Read([]byte) (int, error) { return 0, io.EOF }
func (c *endedConn) Err() error               { return c.err }

// noting are rules that note what they are told.
type noting struct {
	room  int
	heard []string
}

func (e *noting) Room() int                   { return e.room }
func (e *noting) Held() int                   { return 0 }
func (e *noting) Take(*loop.Buffer, int) bool { return false }
func (e *noting) End()                        { e.heard = append(e.heard, "end") }
func (e *noting) Broken(error)                { e.heard = append(e.heard, "broken") }
func (e *noting) Writable()                   {}

// A server's connection that fails behind its end of file, before that could be read, is known to have failed once it is read:
// Hangup is said once.
func TestFailureBehindEnd(t *testing.T) {
	h := looptest.NewWorld(1).Host("h")
	e := &noting{}
	c := &local{Conn: &endedConn{err: loop.ErrReset}, shard: &Shard{loop: h}, rules: e}
	c.Ready(loop.Readable | loop.Hangup)
	if len(e.heard) > 0 {
		t.Fatalf("%v without room", e.heard)
	}
	e.room = 1
	c.read()
	if !slices.Equal(e.heard, []string{"end", "broken"}) {
		t.Errorf("%v", e.heard)
	}
}
