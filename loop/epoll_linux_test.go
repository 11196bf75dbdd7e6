package loop

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pinger sends a small message back and forth without allocating.
type pinger struct {
	Conn
	rounds int
	in     [64]byte
	out    [1][]byte
}

func (p *pinger) Ready(ev Event) {
	if ev&Readable == 0 {
		return
	}
	n, err := p.Read(p.in[:])
	if err != nil {
		return
	}
	p.rounds++
	p.out[0] = p.in[:n]
	p.Write(p.out[:]...)
}

// pingPong makes an Epoll that is not running, and two connected pingers in it with one message between them.
func pingPong(t testing.TB) (*Epoll, *pinger) {
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	var near, far pinger
	l, err := e.Listen(loopback, func(c Conn) Handler { far.Conn = c; return &far })
	if err != nil {
		t.Fatal(err)
	}
	near.Conn = e.Dial(l.Addr(), &near)
	for far.Conn == nil {
		e.turn()
	}
	if _, err := far.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	return e, &near
}

func TestTurnDoesNotAllocate(t *testing.T) {
	e, p := pingPong(t)
	posted := func() {}
	round := func() {
		e.Post(posted)
		e.Later(posted)
		for want := p.rounds + 1; p.rounds < want; {
			e.turn()
		}
	}
	for range 10 {
		round() // slices grow to their size
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

func BenchmarkPingPong(b *testing.B) {
	e, p := pingPong(b)
	b.ReportAllocs()
	for b.Loop() {
		for want := p.rounds + 1; p.rounds < want; {
			e.turn()
		}
	}
}

// A process without descriptors pauses accepting, and accepts when there are some again.
func TestAcceptWithoutDescriptors(t *testing.T) {
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	accepted := false
	li, err := e.Listen(loopback, func(c Conn) Handler { accepted = true; return &pinger{Conn: c} })
	if err != nil {
		t.Fatal(err)
	}
	l := li.(*epollListener)
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	restore := exhaustDescriptors(t)
	for !accepted && !l.resume.Armed() {
		e.turn()
	}
	if accepted || !l.resume.Armed() {
		t.Errorf("accepted %v, pause armed %v", accepted, l.resume.Armed())
	}
	restore()
	for deadline := time.Now().Add(patience); !accepted && time.Now().Before(deadline); {
		e.turn()
	}
	if !accepted {
		t.Error("did not accept after the pause")
	}
}

// exhaustDescriptors lowers the limit of descriptors to those in use, and returns what undoes it.
func exhaustDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	free, err := unix.Dup(0) // the lowest that is free
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free), Max: old.Max}); err != nil {
		t.Skip("may not lower the limit of descriptors: ", err)
	}
	undone := false
	restore = func() {
		if !undone {
			undone = true
			unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
		}
	}
	t.Cleanup(restore)
	return restore
}

// keptAlive is what a socket has whose peer may vanish without a word.
var keptAlive = map[string][3]int{
	"SO_KEEPALIVE":  {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	"TCP_KEEPIDLE":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle},
	"TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval},
	"TCP_KEEPCNT":   {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveProbes},
}

func expectOptions(t *testing.T, what string, fd int, options map[string][3]int) {
	t.Helper()
	for name, option := range options {
		if got, err := unix.GetsockoptInt(fd, option[0], option[1]); got != option[2] || err != nil {
			t.Errorf("%s: %s is %d (%v), want %d", what, name, got, err, option[2])
		}
	}
}

// What is set on the listener's socket, the accepted ones have. A connection to our own host is not asked whether it lives.
func TestSocketOptions(t *testing.T) {
	e, near := pingPong(t)
	for i := range e.slots {
		c, ok := e.slots[i].source.(*epollConn)
		if !ok {
			continue
		}
		expectOptions(t, "any", c.fd, map[string][3]int{"TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}})
		if c == near.Conn {
			expectOptions(t, "dialled, loopback", c.fd, map[string][3]int{"SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0}})
		} else {
			expectOptions(t, "accepted", c.fd, keptAlive)
		}
	}
	away := e.Dial(netip.MustParseAddrPort("192.0.2.1:9"), near).(*epollConn) // TEST-NET-1: it may fail at once
	if away.fd >= 0 {
		expectOptions(t, "dialled", away.fd, keptAlive)
	}
	away.Close()
	near.SetUserTimeout(1500 * time.Microsecond)
	got, err := unix.GetsockoptInt(near.Conn.(*epollConn).fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	if got != 2 || err != nil {
		t.Errorf("TCP_USER_TIMEOUT is %d ms (%v), want 2", got, err)
	}
	if info, ok := near.Info(); !ok || info.RTO <= 0 || info.PMTU <= 0 {
		t.Errorf("Info %+v, %v", info, ok)
	}
}

// An event of a closed conn, still in the batch, must not reach the conn that was opened in its place meanwhile.
func TestOldEventsDoNotReachNewConns(t *testing.T) {
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	var conns []Conn
	var l Listener
	turn, dialedIn, connectedIn := 0, 0, 0
	l, err = e.Listen(loopback, func(c Conn) Handler {
		me := len(conns)
		conns = append(conns, c)
		return handler(func(Event) {
			if dialedIn == 0 {
				conns[1-me].Close() // its slot and its descriptor are free now
				dialedIn = turn
				e.Dial(l.Addr(), handler(func(Event) { connectedIn = turn }))
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	var clients [2]net.Conn
	for i := range clients {
		if clients[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer clients[i].Close()
	}
	for len(conns) < 2 {
		e.turn()
	}
	for _, c := range clients {
		c.Write([]byte("x")) // both are ready before the loop looks
	}
	for connectedIn == 0 {
		turn++
		e.turn()
	}
	if connectedIn == dialedIn {
		t.Error("a conn was told, in the turn that opened it, what was meant for another")
	}
}

// What the peer's system has not acknowledged is counted.
func TestUnacknowledged(t *testing.T) {
	e, near := pingPong(t)
	if _, ok := near.Conn.(Unread); ok {
		t.Error("a socket does not know what its peer has read")
	}
	conn := near.Conn.(*epollConn)
	var _ Acknowledged = conn
	full := 0
	for b := make([]byte, 1<<20); ; {
		n, err := conn.Write(b) // far does not read while no turn is taken
		full += n
		if errors.Is(err, ErrAgain) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, err := conn.Unacknowledged(); n <= 0 || n >= full || err != nil {
		t.Errorf("%d of %d unacknowledged, the peer's buffer being full: %v", n, full, err)
	}
	conn.Reset()
	if n, err := conn.Unacknowledged(); n != 0 || !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %d, %v", n, err)
	}
	dialling := e.Dial(netip.MustParseAddrPort("192.0.2.1:9"), near).(*epollConn)
	defer dialling.Reset()
	if n, err := dialling.Unacknowledged(); n != 0 || err == nil {
		t.Errorf("before it is connected: %d, %v", n, err)
	}
}
