//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// crawl has n connections of which each writes text, a byte a second, and reads a byte a second. They are closed when the test ends.
func crawl(t *testing.T, address string, n int, text string) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue // it refuses: so be it
		}
		t.Cleanup(func() { conn.Close() })
		go dawdle(conn, text)
	}
}

// dawdle ends when the connection does.
func dawdle(conn net.Conn, text string) {
	var one [1]byte
	for i := 0; ; i++ {
		if i < len(text) {
			if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
				return
			}
		}
		begun := time.Now()
		_ = conn.SetReadDeadline(begun.Add(time.Second))
		if _, err := conn.Read(one[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		time.Sleep(time.Second - time.Since(begun)) // a byte a second
	}
}

// TestSlowPeers has clients that read and write a byte a second beside fast ones, which do not notice.
func TestSlowPeers(t *testing.T) {
	needs(t)
	w := newWorld(t, shape{mapping: "tcp", elements: 1, limits: "sessions = 2000\n  memory = \"64MiB\""})
	fast, err := gather(w.doors(), 16)
	if err != nil {
		t.Fatal(err)
	}
	defer fast.leave()
	alone := 0.0
	for range 3 {
		alone = max(alone, fast.busy(t, time.Second))
	}
	crawl(t, w.users[0].listen, 300, "GET "+strings.Repeat("x", 1000)+"\n")
	for range 300 { // they ask for 16 MB each, and take a byte a second of it
		conn, err := net.Dial("tcp", w.users[0].listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET 1 16000000\n")
	}
	// At first the slow ones' answers fill the kernel's buffers, a gigabyte of them, and everybody has his share of the time. What is asked is how it
	// is when these are full.
	beside, most := 0.0, 0.0
	for i := 0; i < 6 || i < 40 && beside < alone/4; i++ {
		beside = max(beside, fast.busy(t, time.Second))
		most = max(most, w.users[0].metric(t, "poolproxy_buffer_bytes"))
	}
	peak, _ := w.users[0].resident()
	element, _ := w.places[0].sidecar.resident()
	tell(t, "requests of 16 sessions, alone", alone, "1/s")
	tell(t, "requests of 16 sessions, beside 600 slow ones", beside, "1/s")
	tell(t, "in buffers at most (limits.memory is 64 MiB)", most/mib, "MiB")
	tell(t, "memory of the pool_user at most", float64(peak)/mib, "MiB")
	tell(t, "memory of the pool_element at most", float64(element)/mib, "MiB")
	if beside < alone/4 {
		t.Errorf("%.0f requests/s beside slow peers, %.0f without", beside, alone)
	}
	if most > 64*mib || peak > 256*mib || element > 256*mib {
		t.Errorf("%.0f bytes in buffers, %d and %d in memory", most, peak, element)
	}
}

// TestFloods has peers that come and say nothing, or a byte a second, at each port that there is, more of them than it takes: who is served goes
// on, who comes anew is served, and memory is bounded.
func TestFloods(t *testing.T) {
	needs(t)
	w := newWorld(t, shape{mapping: "tcp", elements: 2})
	fast, err := gather(w.doors(), 16)
	if err != nil {
		t.Fatal(err)
	}
	defer fast.leave()
	alone := max(fast.busy(t, time.Second), fast.busy(t, time.Second))
	crawl(t, w.places[0].at, 3000, "")
	crawl(t, w.places[0].at, 3000, "\x01\x00\x00\x04\x00\x00\x00\x15")
	crawl(t, w.users[0].admin, 1000, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: "+strings.Repeat("x", 1000))
	beside := max(fast.busy(t, time.Second), fast.busy(t, time.Second))
	tell(t, "requests of 16 sessions, alone", alone, "1/s")
	tell(t, "requests of 16 sessions, beside 6,000 at the association port and 1,000 at the admin port", beside, "1/s")
	if beside < alone/8 {
		t.Errorf("%.0f requests/s beside the floods, %.0f without", beside, alone)
	}
	begun := time.Now()
	w.startUser() // another sidecar comes to the port that is flooded
	fresh, err := gather(w.doors()[1:], 8)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.leave()
	tell(t, "a new pool_user and its 8 clients were served within", time.Since(begun).Seconds(), "s")
	if by := fresh.by(); by["e1"] != 4 {
		t.Errorf("they were served by %v: the flooded element took no new pool_user", by)
	}
	client := http.Client{Timeout: 30 * time.Second}
	begun = time.Now()
	answer, err := client.Get("http://" + w.users[0].admin + "/v1/health")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	tell(t, "the admin port has answered within", time.Since(begun).Seconds(), "s")
	peak, _ := w.users[0].resident()
	element, _ := w.places[0].sidecar.resident()
	tell(t, "memory of the pool_user at most", float64(peak)/mib, "MiB")
	tell(t, "memory of the pool_element at most", float64(element)/mib, "MiB")
	if peak > 256*mib || element > 256*mib {
		t.Errorf("%d and %d bytes in memory", peak, element)
	}
}

// TestFullDoor has more clients that say nothing than limits.sessions: they are refused, with a word now and then, those that are served go on, and
// there is room again when they have gone.
func TestFullDoor(t *testing.T) {
	needs(t)
	w := newWorld(t, shape{mapping: "tcp", elements: 1, limits: "sessions = 500"})
	fast, err := gather(w.doors(), 16)
	if err != nil {
		t.Fatal(err)
	}
	defer fast.leave()
	crawl(t, w.users[0].listen, 2000, "GET ")
	waitFor(t, "those that are too many to be refused", func() bool {
		return w.users[0].metric(t, `poolproxy_sessions_refused_total{pool="p",pool_user="u",reason="limit"}`) >= 1400
	})
	if rate := fast.busy(t, time.Second); rate < 100 {
		t.Errorf("%.0f requests/s", rate)
	}
	if n := bytes.Count([]byte(w.users[0].output(t)), []byte("limits.sessions is reached")); n < 1 || n > 20 {
		t.Errorf("it was said %d times that limits.sessions is reached", n)
	}
}

// TestDescriptors has a pool_user run out of descriptors: who comes waits, who is there goes on, and fails over; and when others have gone who
// has waited is served.
func TestDescriptors(t *testing.T) {
	needs(t)
	for _, mapping := range []string{"tcp", "none"} {
		t.Run(mapping, func(t *testing.T) { descriptors(t, mapping) })
	}
}

func descriptors(t *testing.T, mapping string) {
	const files, least = 400, 150
	w := newWorld(t, shape{mapping: mapping, elements: 2, policy: "priority", files: files, user: "failover { deadline = \"60s\" }"})
	there, err := gather(w.doors(), least)
	if err != nil {
		t.Fatal(err)
	}
	defer there.leave()
	late := make(chan error)
	var more *crowd
	go func() {
		var err error
		more, err = gatherSlowly(w.doors(), 400)
		late <- err
	}()
	waitFor(t, "the pool_user to say that it has too few descriptors", func() bool { return strings.Contains(w.users[0].output(t), "too few descriptors") })
	if err := there.round(time.Now()); err != nil {
		t.Errorf("who was there: %v", err)
	}
	killed := time.Now()
	w.places[0].die()
	if err := there.round(killed); err != nil {
		t.Errorf("who was there, behind the death of the element: %v", err)
	}
	times := there.times()
	tell(t, "without descriptors: served again, the last", times[len(times)-1].Seconds(), "s")
	tell(t, "descriptors in use, of 400", float64(w.users[0].descriptors()), "")
	there.leave()
	if err := <-late; err != nil {
		t.Errorf("who has waited: %v", err)
	}
	if more != nil {
		more.leave()
	}
	if n := strings.Count(w.users[0].output(t), "too few descriptors"); n > 1+int(time.Since(killed)/(5*time.Second)) {
		t.Errorf("it was said %d times", n)
	}
}

// gatherSlowly has n clients come, of which each leaves when it has been answered: so those that wait get their turn.
func gatherSlowly(doors []string, n int) (*crowd, error) {
	c := &crowd{}
	var wait sync.WaitGroup
	for i := range n {
		m := &member{id: i}
		c.members = append(c.members, m)
		wait.Go(func() {
			if m.err = m.open(doors[0]); m.err == nil {
				time.Sleep(3 * time.Second) // it stays a while
				m.conn.Close()
			}
		})
	}
	wait.Wait()
	return c, c.failed()
}
