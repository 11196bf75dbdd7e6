package protocol

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startRedis starts a real redis-server and returns the path of its socket.
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("POOLPROXY_CHECK") != "" {
			t.Fatal("redis-server is not installed")
		}
		t.Skipf("%s SKIPPED: redis-server is not installed (apt-get install redis-server): nothing was compared with a real server", t.Name())
	}
	dir, err := os.MkdirTemp("", "redis") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir, "--enable-debug-command", "yes")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Ready to accept connections") || strings.Contains(lines.Text(), "ready to accept connections") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return socket
		}
	}
	t.Fatalf("redis-server ended at once: %v", lines.Err())
	return ""
}

// dialRedis connects, with a deadline for everything.
func dialRedis(t *testing.T, socket string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// script makes random commands, and a PING with a number of its own behind each: its reply shows whether replies are found
// where they are.
type script struct {
	rnd        *rand.Rand
	out        bytes.Buffer
	n          int
	multi      bool
	resp3      bool
	subscribed bool
	off        bool
	monitor    bool
}

var scriptPlain = []string{
	"GET s", "SET s v", "INCR i", "INCR s", "LPUSH l a b c", "LRANGE l 0 10", "LTRIM l 0 50", "HSET h a 1 b 2", "HGETALL h", "SADD set a b", "SMEMBERS set",
	"ZADD z 1.5 a 2 b", "ZRANGE z 0 -1 WITHSCORES", "MGET s nokey i", "GETRANGE big 0 70000", "BLPOP nokey 0.001", "XADD x * a b", "XRANGE x - + COUNT 3",
	"XREAD BLOCK 1 STREAMS nox $", "GET", "NOSUCH a b", "CONFIG GET maxmem*", "COMMAND INFO get object", "CLIENT ID", "TYPE s", "ZSCORE z a", "EXISTS a b",
	"DEBUG PROTOCOL STRING", "DEBUG PROTOCOL INTEGER", "DEBUG PROTOCOL DOUBLE", "DEBUG PROTOCOL NULL", "DEBUG PROTOCOL ARRAY", "DEBUG PROTOCOL SET",
	"DEBUG PROTOCOL MAP", "DEBUG PROTOCOL ATTRIB", "DEBUG PROTOCOL VERBATIM", "DEBUG PROTOCOL TRUE", "DEBUG PROTOCOL BIGNUM", "EXEC x", "SELECT 0", "SELECT 99",
}

// add appends one command, as an array or inline.
func (s *script) add(line string) {
	if s.rnd.IntN(4) == 0 {
		s.out.WriteString(line + "\r\n")
		return
	}
	s.out.WriteString(command(strings.Fields(line)...))
}

// mark appends a PING with a number.
func (s *script) mark() {
	s.n++
	s.add(fmt.Sprintf("PING mark-%d-", s.n))
}

// step appends one random command. What poolproxy refuses, or what changes the connection when it fails, is left out.
func (s *script) step() {
	quiet := s.subscribed && !s.resp3 // then servers refuse all but a few
	switch k := s.rnd.IntN(40); {
	case k == 0 && !s.multi && !quiet && !s.monitor:
		s.multi = true
		s.add("MULTI")
	case k <= 2 && s.multi:
		s.multi = false
		s.add([]string{"EXEC", "EXEC", "DISCARD"}[s.rnd.IntN(3)])
	case k == 3 && !s.multi && !quiet:
		s.add([]string{"WATCH s", "UNWATCH"}[s.rnd.IntN(2)])
	case k == 4 && !s.multi && !quiet:
		s.resp3 = s.rnd.IntN(2) == 0
		s.add(map[bool]string{true: "HELLO 3", false: "HELLO 2"}[s.resp3])
	case k <= 7 && !s.multi && !s.off:
		s.subscribed = true
		s.add([]string{"SUBSCRIBE c0 c1", "PSUBSCRIBE c*", "SSUBSCRIBE c1", "SUBSCRIBE c1 c1"}[s.rnd.IntN(4)])
	case k <= 10 && !s.multi && !s.off:
		s.subscribed = true // that is how poolproxy sees it
		s.add([]string{"UNSUBSCRIBE", "UNSUBSCRIBE c0 c7", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "PUNSUBSCRIBE c*"}[s.rnd.IntN(5)])
	case k == 11 && !s.multi && !quiet && !s.off:
		s.add("CLIENT REPLY SKIP")
		s.add([]string{"GET s", "NOSUCH", "CLIENT REPLY SKIP", "CLIENT REPLY ON", "SELECT 0", "GET"}[s.rnd.IntN(6)])
	case k == 12 && !s.multi && !quiet:
		s.off = s.rnd.IntN(2) == 0
		s.add(map[bool]string{true: "CLIENT REPLY OFF", false: "CLIENT REPLY ON"}[s.off])
	case k == 13 && !s.multi && s.resp3 && !s.off:
		s.add([]string{"CLIENT TRACKING on BCAST", "CLIENT TRACKING off"}[s.rnd.IntN(2)])
	case k == 14 && !quiet && !s.multi && !s.monitor && !s.off:
		s.monitor = true
		s.add("MONITOR")
	case k <= 16:
		s.multi, s.resp3, s.subscribed, s.off, s.monitor = false, false, false, false, false
		s.add("RESET")
	case k == 17:
		s.out.WriteString([]string{"*0\r\n", "\r\n", "*-1\r\n"}[s.rnd.IntN(3)])
	case k == 18:
		s.out.WriteString(command("SET", "big", strings.Repeat("y", s.rnd.IntN(200_000))))
	default:
		s.add(scriptPlain[s.rnd.IntN(len(scriptPlain))])
	}
	s.mark()
}

// finish appends what makes the server say the last word.
func (s *script) finish() {
	s.add("RESET")
	s.out.WriteString(command("ECHO", "last-word"))
}

// A real server's replies to thousands of random pipelined commands end where the parser finds their ends, pushes apart.
func TestRedisServer(t *testing.T) {
	socket := startRedis(t)
	go publish(dialRedis(t, socket))
	for seed := range uint64(20) {
		s := script{rnd: rand.New(rand.NewPCG(seed, 7))}
		for range 400 {
			s.step()
		}
		s.finish()
		c := dialRedis(t, socket)
		go func() { _, _ = c.Write(s.out.Bytes()) }()
		raw := readUntil(t, c, []byte("$9\r\nlast-word\r\n"))
		requests := requestsOf(t, testRedis(), s.out.String())
		replies, pushes := checkPairs(t, fmt.Sprintf("seed %d", seed), requests, s.out.Bytes(), raw, s.rnd)
		t.Logf("seed %d: %d commands, %d replies, %d pushes, %d bytes", seed, len(requests), replies, pushes, len(raw))
		_ = c.Close()
	}
}

// publish keeps other clients busy with messages, until its connection is closed. It waits for answers, so that messages do not
// become most of what there is.
func publish(c net.Conn) {
	p := make([]byte, 1<<10)
	for i := 0; ; i++ {
		_, err := io.WriteString(c, commands(fmt.Sprintf("PUBLISH c%d m%d", i%3, i), "SPUBLISH c1 x", "SET tracked x"))
		if err == nil {
			_, err = c.Read(p)
		}
		if err != nil {
			return
		}
	}
}

func readUntil(t *testing.T, c net.Conn, last []byte) []byte {
	t.Helper()
	var raw []byte
	p := make([]byte, 1<<16)
	for !bytes.HasSuffix(raw, last) {
		n, err := c.Read(p)
		if raw = append(raw, p[:n]...); err != nil {
			t.Fatalf("%v, behind %q", err, raw[max(0, len(raw)-300):])
		}
	}
	return raw
}

// checkPairs splits raw, and compares each reply to a PING with what the PING said.
func checkPairs(t *testing.T, what string, requests []*Request, sent, raw []byte, rnd *rand.Rand) (replies, pushes int) {
	t.Helper()
	texts := requestTexts(t, sent)
	parser := testRedis().Replies()
	var message []byte
	i := 0
	for len(raw) > 0 {
		for i < len(requests) && requests[i].Expect == ExpectNone {
			i++
		}
		if i == len(requests) {
			t.Fatalf("%s: bytes behind the last reply: %q", what, raw)
		}
		cut, err := parser.Next(requests[i], raw[:min(len(raw), 1+rnd.IntN(1<<rnd.IntN(17)))])
		if err != nil {
			t.Fatalf("%s: reply to %q: %v: %q", what, texts[i], err, raw[:min(len(raw), 200)])
		}
		message, raw = append(message, raw[:cut.N]...), raw[cut.N:]
		switch {
		case !cut.End:
			continue
		case cut.Push:
			pushes++
		default:
			checkMark(t, what, texts[i], message)
			replies++
			i++
		}
		message = message[:0]
	}
	for ; i < len(requests); i++ {
		if requests[i].Expect != ExpectNone {
			t.Fatalf("%s: no reply to %q", what, texts[i])
		}
	}
	return replies, pushes
}

// checkMark: the reply to a PING says what the PING said, or that it is queued; no other reply does, EXEC's apart.
func checkMark(t *testing.T, what string, text, message []byte) {
	t.Helper()
	queued := bytes.Equal(message, []byte("+QUEUED\r\n"))
	at := bytes.Index(text, []byte("mark-"))
	exec := bytes.Contains(bytes.ToLower(text), []byte("exec"))
	switch {
	case at < 0 && !exec && bytes.Contains(message, []byte("mark-")), at >= 0 && !queued && !bytes.Contains(message, bytes.TrimSpace(text[at:])):
		t.Fatalf("%s: %q was answered %.200q", what, text, message)
	}
}

// requestTexts is the bytes of each request.
func requestTexts(t *testing.T, sent []byte) (texts [][]byte) {
	t.Helper()
	requests := testRedis().Requests()
	for start, at := 0, 0; at < len(sent); {
		cut, _, err := requests.Next(sent[at:])
		if err != nil {
			t.Fatal(err)
		}
		if at += cut.N; cut.End {
			texts = append(texts, sent[start:at])
			start = at
		}
	}
	return texts
}

// A real server's own table is understood, in both versions of the protocol.
func TestRedisServerTable(t *testing.T) {
	socket := startRedis(t)
	for _, hello := range []string{"HELLO 2", "HELLO 3"} {
		c := dialRedis(t, socket)
		if _, err := io.WriteString(c, commands(hello)+RedisCommandQuery+commands("ECHO last-word")); err != nil {
			t.Fatal(err)
		}
		raw := readUntil(t, c, []byte("$9\r\nlast-word\r\n"))
		var v redisValue
		n, done, err := v.next(raw)
		if !done || err != nil {
			t.Fatalf("HELLO: %v, %v", done, err)
		}
		table, err := ParseRedisCommands(raw[n : len(raw)-len("$9\r\nlast-word\r\n")])
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d commands", hello, table.Len())
		for name, want := range map[string]bool{"get": true, "lrange": true, "ping": true, "echo": true, "object|encoding": true, "set": false, "incr": false,
			"publish": false, "config": false, "config|set": false, "client|kill": false, "client|id": true, "object": false, "eval": false,
			"eval_ro": true, "flushall": false, "shutdown": false, "blpop": false, "nosuch": false, "xinfo|stream": true, "script|flush": false, "wait": false, "asking": false,
			"client|caching": false} {
			if safe, known := table.Safe(name); safe != want || known != (name != "nosuch") {
				t.Errorf("%s: %s: safe %v, known %v", hello, name, safe, known)
			}
		}
		if !table.Blocks("blpop") || !table.Blocks("xread") || table.Blocks("get") {
			t.Error("blocking commands are not known")
		}
	}
}
