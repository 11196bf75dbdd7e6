//go:build linux

package load

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/secure/securetest"
)

// trick is what a hostile peer does on a connection: it says first, and then again every pause until it is stopped or nobody listens; with
// a pause of 0 only first. Then it stays, or if it leaves comes anew after a moment.
type trick struct {
	name   string
	first  string
	again  func(i int) string // nil: nothing
	pause  time.Duration
	leaves bool
	peers  int
}

// siege is tricks under way.
type siege struct {
	over    chan struct{} // closed: they stop
	running sync.WaitGroup
}

// besiege has all peers of all tricks come to the address. They stop with lift.
func besiege(address string, tricks []trick) *siege {
	s := &siege{over: make(chan struct{})}
	for _, x := range tricks {
		for range x.peers {
			s.running.Go(func() { s.play(address, x) })
		}
	}
	return s
}

// lift returns when nobody is left.
func (s *siege) lift() {
	close(s.over)
	s.running.Wait()
}

// pauses reports false if the siege is over.
func (s *siege) pauses(d time.Duration) bool {
	select {
	case <-s.over:
		return false
	case <-time.After(d):
		return true
	}
}

// play ends with the siege.
func (s *siege) play(address string, x trick) {
	for s.pauses(50 * time.Millisecond) { // not so many that the processors are only theirs
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		s.once(conn, x)
		conn.Close()
	}
}

func (s *siege) once(conn net.Conn, x trick) {
	go io.Copy(io.Discard, conn) // until it is closed
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, x.first); err != nil || x.leaves {
		return
	}
	for i := 0; x.again != nil; i++ {
		text := x.again(i)
		if text == "" {
			break
		}
		if _, err := io.WriteString(conn, text); err != nil || !s.pauses(x.pause) {
			return
		}
	}
	s.pauses(3 * time.Second) // it stays for a while, heard or not
}

// slowly says a text byte by byte.
func slowly(text string) func(int) string {
	return func(i int) string { return text[min(i, len(text)):min(i+1, len(text))] }
}

func always(text string) func(int) string { return func(int) string { return text } }

// hello is a ClientHello, as crypto/tls makes it, with its record's header.
func hello(t *testing.T) string {
	t.Helper()
	here, there := net.Pipe()
	defer there.Close()
	go func() {
		_ = tls.Client(here, &tls.Config{InsecureSkipVerify: true}).Handshake() // it fails when there is closed
		here.Close()
	}()
	p := make([]byte, 16<<10)
	n, err := there.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(p[:n])
}

// againstTLS are tricks against who shakes hands, behind first.
func againstTLS(t *testing.T, first string) []trick {
	h, noise := hello(t), make([]byte, 16<<10)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	return []trick{
		{name: "half a hello", first: first + h[:len(h)/2], peers: 1100},
		{name: "a hello, byte by byte", first: first, again: slowly(h), pause: time.Second, peers: 200},
		{name: "a hello, and no more", first: first + h, peers: 20},
		{name: "a hello, and gone", first: first + h, leaves: true, peers: 2},
		{name: "noise", first: first + string(noise), leaves: true, peers: 4},
		{name: "noise in records", first: first + h + "\x17\x03\x03\x40\x00" + string(noise), peers: 4},
		{name: "a hello of 16 MiB", first: first + "\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03" + string(noise[:16<<10-6]), again: always("\x16\x03\x03\x40\x00" + string(noise)), pause: time.Millisecond, peers: 4},
		{name: "empty records", first: first, again: always(strings.Repeat("\x16\x03\x01\x00\x00", 3000)), pause: time.Millisecond, peers: 4},
	}
}

const proxied = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"

// againstHeader are tricks against who expects a header of the PROXY protocol.
func againstHeader() []trick {
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11"
	return []trick{
		{name: "nothing", peers: 200},
		{name: "a header, byte by byte", again: slowly(proxied), pause: time.Second, peers: 200},
		{name: "half of version 2", first: v2[:9], peers: 200},
		{name: "a header of 64 KiB", first: v2 + "\xff\xff", again: always(strings.Repeat("\x04", 4096)), pause: time.Millisecond, peers: 8},
		{name: "a line without an end", first: "PROXY TCP4 ", again: always(strings.Repeat("1", 4096)), pause: time.Millisecond, peers: 8},
		{name: "garbage", first: strings.Repeat("\xa5\x00\r\n", 4000), leaves: true, peers: 4},
		{name: "two headers", first: proxied + proxied, peers: 8},
	}
}

// TestSiege has a hostile crowd at each door that there is before anybody knows who comes: the port of a pool_element, in TLS, and that of clients,
// with headers of the PROXY protocol and with TLS behind them. Who is served goes on, who comes anew is served, memory is bounded, and when
// the crowd has gone nothing is left of it.
func TestSiege(t *testing.T) {
	needs(t)
	a := securetest.NewAuthority(t)
	element, user, front := a.Issue("element.test", nil), a.Issue("user.test", nil), a.Issue("front.test", nil)
	files := func(f securetest.Files) string { return fmt.Sprintf("cert = %q\n    key = %q\n", f.Cert, f.Key) }
	both := func(f securetest.Files, allow string) string {
		return fmt.Sprintf("tls {\n    %s    ca = %q\n    allow = [%q]\n  }", files(f), f.CA, allow)
	}
	header := "proxy_protocol { trusted = [\"127.0.0.0/8\"] }"
	inTLS := func(c net.Conn) net.Conn { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) }
	told := func(c net.Conn) (net.Conn, error) { _, err := io.WriteString(c, proxied); return c, err }
	t.Run("pool_element in TLS", func(t *testing.T) {
		w := newWorld(t, shape{mapping: "tcp", elements: 1, element: both(element, "user.test"), pool: both(user, "element.test")})
		stand(t, w, w.places[0].at, w.places[0].sidecar, againstTLS(t, ""), func(c net.Conn) (net.Conn, error) { return c, nil })
	})
	t.Run("clients with headers", func(t *testing.T) {
		w := newWorld(t, shape{mapping: "tcp", elements: 1, user: header})
		stand(t, w, w.users[0].listen, w.users[0].process, againstHeader(), told)
	})
	t.Run("clients with headers in TLS", func(t *testing.T) {
		w := newWorld(t, shape{mapping: "tcp", elements: 1, user: header + "\n  tls {\n    " + files(front) + "  }"})
		stand(t, w, w.users[0].listen, w.users[0].process, append(againstTLS(t, proxied), againstHeader()...), func(c net.Conn) (net.Conn, error) {
			c, err := told(c)
			return inTLS(c), err
		})
	})
}

// honest are n clients that come as they should.
func honest(door string, n int, enter func(net.Conn) (net.Conn, error)) (*crowd, error) {
	c := &crowd{}
	for i := range n {
		m := &member{id: i}
		c.members = append(c.members, m)
		if m.conn, m.err = net.Dial("tcp", door); m.err == nil {
			_ = m.conn.SetDeadline(time.Now().Add(patience))
			m.conn, m.err = enter(m.conn)
			m.in = bufio.NewReaderSize(m.conn, 64)
		}
		if m.err == nil {
			m.err = m.ask(time.Now())
		}
	}
	return c, c.failed()
}

// stand has honest clients work at the world while the tricks are played at the address, where the process listens.
func stand(t *testing.T, w *world, address string, besieged *process, tricks []trick, enter func(net.Conn) (net.Conn, error)) {
	fast, err := honest(w.users[0].listen, 16, enter)
	if err != nil {
		t.Fatal(err)
	}
	defer fast.leave()
	before := besieged.descriptors()
	alone, beside, most := 0.0, 0.0, 0
	for range 2 {
		alone = max(alone, fast.busy(t, time.Second/2))
	}
	s := besiege(address, tricks)
	var lift sync.Once
	defer lift.Do(s.lift)
	waitFor(t, "the crowd to be there", func() bool { return besieged.descriptors() > before+300 })
	begun := time.Now()
	door := w.users[0].listen
	if address != door { // it is the associations' port: who comes anew is another pool_user
		w.startUser()
		door = w.users[1].listen
	}
	fresh, err := honest(door, 4, enter)
	if err != nil {
		t.Fatalf("who comes while the crowd is there: %v", err)
	}
	defer fresh.leave()
	came := time.Since(begun)
	for i := 0; i < 4 || i < 20 && beside < alone/8; i++ {
		beside = max(beside, fast.busy(t, time.Second/2))
		most = max(most, besieged.descriptors())
	}
	lift.Do(s.lift)
	there := len(fresh.members)
	waitFor(t, "the crowd's descriptors to be given back", func() bool { return besieged.descriptors() <= before+2*there+8 })
	peak, _ := besieged.resident()
	tell(t, "requests of 16 sessions, alone", alone, "1/s")
	tell(t, "requests of 16 sessions, beside the crowd", beside, "1/s")
	tell(t, "of what they have alone", beside/alone, "")
	tell(t, "who comes anew, 4 clients, was served within", came.Seconds(), "s")
	tell(t, "descriptors at most", float64(most), "")
	tell(t, "memory at most", float64(peak)/mib, "MiB")
	if beside < alone/20 {
		t.Errorf("%.0f requests/s beside the crowd, %.0f without", beside, alone)
	}
	if peak > 384*mib {
		t.Errorf("%d bytes in memory", peak)
	}
	if err := errors.Join(fast.round(time.Now()), fresh.round(time.Now())); err != nil {
		t.Error(err)
	}
	if strings.Contains(besieged.output(t), "panic") {
		t.Error("it has panicked")
	}
}
