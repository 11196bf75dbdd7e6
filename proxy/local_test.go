package proxy

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
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
