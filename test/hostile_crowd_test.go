//go:build linux

package test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// dialect is a protocol as honest clients and servers speak it, and what hostile ones say in its place.
type dialect struct {
	name, block string

	// ask is request i, and answer the server's reply to it; read takes one request, or one reply, off a connection and returns it whole.
	ask, answer func(i int) []byte
	read        func(in *bufio.Reader) ([]byte, error)

	// asks is what hostile clients say, and answers what hostile servers do: the first part once, and the second as often as it is taken.
	asks, answers []shout
}

// shout is something once, and something again and again, bytes until the limit.
type shout struct {
	name        string
	once, again string
}

// mostShouted is what a hostile peer says at most, and shoutFor how long it tries.
const (
	mostShouted = 24 << 20
	shoutFor    = 2 * time.Second
)

func big64() string { return strings.Repeat("x", 64<<10) }

func dialects() []dialect {
	untilLine := func(in *bufio.Reader) ([]byte, error) { return in.ReadBytes('\n') }
	httpHead := func(in *bufio.Reader) (all []byte, err error) {
		for !bytes.HasSuffix(all, []byte("\r\n\r\n")) {
			line, err := in.ReadBytes('\n')
			if all = append(all, line...); err != nil {
				return all, err
			}
		}
		if _, length, ok := bytes.Cut(all, []byte("Content-Length: ")); ok {
			digits, _, _ := bytes.Cut(length, []byte("\r\n"))
			n, err := strconv.Atoi(string(digits))
			if err != nil || n > 1<<16 {
				return all, fmt.Errorf("a body of %q bytes", digits)
			}
			body := make([]byte, n)
			_, err = io.ReadFull(in, body)
			return append(all, body...), err
		}
		return all, nil
	}
	bulk := func(in *bufio.Reader) (all []byte, err error) { // *2 GET key, or $n and n bytes
		head, err := in.ReadBytes('\n')
		if err != nil || len(head) < 4 {
			return head, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(head[1:])))
		if err != nil || n < 0 || n > 1<<16 {
			return head, fmt.Errorf("%q", head)
		}
		if head[0] == '$' {
			body := make([]byte, n+2)
			_, err = io.ReadFull(in, body)
			return append(head, body...), err
		}
		for range n {
			word, err := in.ReadBytes('\n')
			if err != nil {
				return nil, err
			}
			text, err := in.ReadBytes('\n')
			if head = append(append(head, word...), text...); err != nil {
				return nil, err
			}
		}
		return head, nil
	}
	counted := func(in *bufio.Reader) ([]byte, error) {
		head := make([]byte, 4)
		if _, err := io.ReadFull(in, head); err != nil {
			return head, err
		}
		body := make([]byte, binary.BigEndian.Uint32(head)&0xffff)
		_, err := io.ReadFull(in, body)
		return append(head, body...), err
	}
	framed := func(text string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	text := func(format string) func(int) []byte { return func(i int) []byte { return fmt.Appendf(nil, format, i) } }
	return []dialect{
		{"line", `  protocol "line" { safe = ["."] }`, text("GET %d\n"), text("did %d\n"), untilLine,
			[]shout{{"a line without an end", "", big64()}, {"empty lines", "", strings.Repeat("\n", 64<<10)}, {"requests without reading a reply", "", strings.Repeat("GET flood\n", 6000)},
				{"zeros", "", strings.Repeat("\x00", 64<<10)}},
			[]shout{{"a line without an end", "", big64()}, {"lines that nobody has asked for", "", strings.Repeat("did nothing\n", 5000)}}},
		{"http", `  protocol "http" {}`, text("GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"),
			func(i int) []byte {
				body := fmt.Sprintf("did %d", i)
				return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			}, httpHead,
			[]shout{{"a target without an end", "GET /", big64()}, {"headers without an end", "GET / HTTP/1.1\r\n", strings.Repeat("X: y\r\n", 10_000)},
				{"both lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", ""},
				{"a chunk beyond all files", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", big64()},
				{"a chunk size without an end", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("0", 64<<10)},
				{"chunk extensions", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", big64()},
				{"a body of 2^63 bytes", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n", big64()},
				{"pipelined, unread", "", strings.Repeat("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n", 2000)}},
			[]shout{{"a status line without an end", "HTTP/1.1 200 ", big64()}, {"headers without an end", "HTTP/1.1 200 OK\r\n", strings.Repeat("X: y\r\n", 10_000)},
				{"100 Continue for ever", "", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 2000)},
				{"a chunk size without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("0", 64<<10)},
				{"trailers without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", strings.Repeat("X: y\r\n", 10_000)},
				{"replies that nobody has asked for", "", strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 2000)}}},
		{"redis", `  protocol "redis" {}`, text("*2\r\n$3\r\nGET\r\n$8\r\n%08d\r\n"), text("$8\r\n%08d\r\n"), bulk,
			[]shout{{"an array of 2^30", "*1073741824\r\n", "$1\r\nx\r\n"}, {"a string of 2^40", "*2\r\n$3\r\nGET\r\n$1099511627776\r\n", big64()},
				{"an inline command without an end", "", big64()}, {"a number without an end", "*", strings.Repeat("1", 64<<10)},
				{"a transaction without an end", "*1\r\n$5\r\nMULTI\r\n", strings.Repeat("*2\r\n$3\r\nGET\r\n$1\r\nx\r\n", 3000)},
				{"subscriptions without an end", "", strings.Repeat("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx\r\n", 2000)}},
			[]shout{{"arrays in arrays", "", strings.Repeat("*1\r\n", 16<<10)}, {"an array of 2^30", "*1073741824\r\n", strings.Repeat(":1\r\n", 10_000)},
				{"a string of 2^40", "$1099511627776\r\n", big64()}, {"an error without an end", "-", big64()},
				{"pushes without an end", "", strings.Repeat(">2\r\n+message\r\n+x\r\n", 3000)}}},
		{"length", `  protocol "length" {
    width = 4
    safe  = [{ offset = 4, bytes = "474554" }]
  }`, func(i int) []byte { return framed(fmt.Sprintf("GET %08d", i)) },
			func(i int) []byte { return framed(fmt.Sprintf("did %08d", i)) }, counted,
			[]shout{{"a message of 4 GiB", "\xff\xff\xff\xff", big64()}, {"empty messages", "", strings.Repeat("\x00", 64<<10)}},
			[]shout{{"a message of 4 GiB", "\xff\xff\xff\xff", big64()}, {"messages that nobody has asked for", "", strings.Repeat("\x00\x00\x00\x01x", 10_000)}}},
	}
}

// cry says the shout until nobody listens any more, or its bounds are reached. Nothing is read.
func (s shout) cry(conn net.Conn) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(shoutFor)) != nil {
		return
	}
	if _, err := io.WriteString(conn, s.once); err != nil || s.again == "" {
		return
	}
	for said := 0; said < mostShouted; said += len(s.again) {
		if _, err := io.WriteString(conn, s.again); err != nil {
			return
		}
	}
}

// twoFaced is a server that answers requests as it should, but says the n-th of its shouts on the connection on which it is asked number
// hostileFrom + n. It is closed when the test ends.
func (d dialect) twoFaced(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			running.Go(func() { d.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

const hostileFrom = 90_000_000

// serve ends with its connection, which the proxy ends at the latest with the test.
func (d dialect) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(io.LimitReader(conn, mostShouted))
	for {
		request, err := d.read(in)
		if err != nil || len(request) > 1<<20 {
			return
		}
		i := numberIn(request)
		if n := i - hostileFrom; n >= 0 && n < len(d.answers) {
			d.answers[n].cry(conn)
			return
		}
		if _, err := conn.Write(d.answer(i)); err != nil {
			return
		}
	}
}

// numberIn is the last number in a request, without that of its own protocol.
func numberIn(request []byte) int {
	text := strings.NewReplacer("HTTP/1.1", "", "\r\nHost: x", "").Replace(string(request))
	text = strings.TrimRight(text, "\r\n ")
	digits := text[strings.LastIndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })+1:]
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// TestHostileCrowd: beside hostile clients, and clients of a hostile server, an honest one is answered to the byte over the connection that it
// has, and the process stays small, whatever is shouted at it in each protocol.
func TestHostileCrowd(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			server := d.twoFaced(t)
			f := launch(t, plan{mapping: "none", protocol: d.block, servers: []string{"line"}, between: func(string) string { return server }})
			client := f.dial()
			in, n := bufio.NewReader(client), 0
			ask := func() {
				t.Helper()
				n++
				if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				if _, err := client.Write(d.ask(n)); err != nil {
					t.Fatal(err)
				}
				if reply, err := d.read(in); err != nil || !bytes.Equal(reply, d.answer(n)) {
					t.Fatalf("the reply to %q is %q, %v", d.ask(n), reply, err)
				}
			}
			ask()
			before := peak(t, f.user)
			var crowd sync.WaitGroup
			for _, s := range d.asks {
				for range 3 {
					conn := f.dial()
					crowd.Go(func() { s.cry(conn) })
				}
			}
			for i := range d.answers {
				for range 2 {
					conn := f.dial()
					crowd.Go(func() { d.listens(conn, hostileFrom+i) })
				}
			}
			over := make(chan struct{})
			go func() { crowd.Wait(); close(over) }() // ends with the crowd, which has deadlines; it is awaited below
			for going := true; going; {
				ask()
				select {
				case <-over:
					going = false
				case <-time.After(5 * time.Millisecond):
				}
			}
			ask()
			if out := f.user.output(t); strings.Contains(out, "panic") {
				t.Error("the proxy panicked")
			}
			grown := peak(t, f.user) - before
			t.Logf("%d requests beside %d hostile connections; the peak has grown by %d KiB", n, 3*len(d.asks)+2*len(d.answers), grown)
			// Each of at most 40 connections may hold its retrieval.memory (1 MiB) both ways, twice where blocks are half empty.
			if most := 160 << 10; grown > most && !raceDetector {
				t.Errorf("the process has grown by %d KiB, more than %d", grown, most)
			}
		})
	}
}

// listens asks a hostile server for its n-th shout, and reads what becomes of it.
func (d dialect) listens(conn net.Conn, n int) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(shoutFor)) != nil {
		return
	}
	if _, err := conn.Write(d.ask(n)); err == nil {
		io.Copy(io.Discard, conn) // until the end, or the deadline
	}
}

// peak is the most memory that a process ever had, in KiB.
func peak(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
