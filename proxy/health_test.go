package proxy

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
)

// examined is a server in virtual time that a health check asks.
type examined struct {
	world    *looptest.World
	here     *looptest.Host // of the check
	there    *looptest.Host // of the server
	shard    *Shard
	listener loop.Listener
	health   *health
	accepted []time.Time // connections

	// answer is what the server does when got has come over a connection: it writes pieces, one after another, and then closes if end.
	answer func(got string) (pieces []string, end bool)

	told []string // what the check has said: "healthy", or the reason
	log  bytes.Buffer
}

func newExamined(t *testing.T, seed uint64, c HealthCheck) *examined {
	t.Helper()
	w := looptest.NewWorld(seed)
	x := &examined{world: w, here: w.Host("here"), there: w.Host("there"), answer: func(string) ([]string, bool) { return nil, false }}
	shard, err := NewVirtualShard(x.here, Config{}, hclog.New(&hclog.LoggerOptions{Output: &x.log}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.shard = shard
	x.listen()
	c.Address = x.there.Addr(80)
	x.health = newHealth(x.shard, "a", c, x.change)
	return x
}

func (x *examined) change(err error) {
	if err == nil {
		x.told = append(x.told, "healthy")
	} else {
		x.told = append(x.told, err.Error())
	}
}

func (x *examined) listen() {
	l, err := x.there.Listen(x.there.Addr(80), func(c loop.Conn) loop.Handler {
		x.accepted = append(x.accepted, x.world.Now())
		p := &examinedConn{Conn: c, x: x}
		p.next.Func = p.say
		p.say()
		return p
	})
	if err != nil {
		panic(err)
	}
	x.listener = l
}

// examinedConn is a connection at the server.
type examinedConn struct {
	loop.Conn
	x      *examined
	got    string
	said   int
	unsent []byte
	next   loop.Timer
}

func (c *examinedConn) Ready(loop.Event) {
	for p := make([]byte, 1000); ; {
		n, err := c.Read(p)
		c.got += string(p[:n])
		if err != nil {
			break
		}
	}
	c.say()
}

// say sends the next piece of the answer, and comes again for the one behind it.
func (c *examinedConn) say() {
	pieces, end := c.x.answer(c.got)
	if len(c.unsent) == 0 && c.said < len(pieces) {
		c.unsent = []byte(pieces[c.said])
		c.said++
	}
	n, _ := c.Write(c.unsent)
	c.unsent = c.unsent[n:]
	switch {
	case len(c.unsent) > 0:
	case c.said < len(pieces):
		c.x.there.Schedule(&c.next, c.x.world.Now().Add(time.Millisecond))
	case end && len(pieces) > 0:
		c.Close()
	}
}

// once is a check of which one failure or success decides.
func once(c HealthCheck) HealthCheck {
	c.Interval, c.Timeout, c.Rise, c.Fall = time.Second, 500*time.Millisecond, 1, 1
	return c
}

const testSeconds = 10

func expect(send, re string) HealthCheck {
	return HealthCheck{Kind: HealthExpect, Send: []byte(send), Expect: regexp.MustCompile(re)}
}

func page(status int) HealthCheck {
	return HealthCheck{Kind: HealthHTTP, Host: "x:80", Path: "/health", Status: status}
}

var healthCases = []struct {
	name  string
	check HealthCheck
	ask   string   // what the server waits for
	say   []string // and then says
	end   bool
	want  string // a part of the reason; "": healthy
}{
	{"connect", HealthCheck{}, "", nil, false, ""},
	{"connect, the server closes at once", HealthCheck{}, "", []string{""}, true, ""},

	{"expect", expect("PING\n", "^PONG"), "PING\n", []string{"PONG\n"}, false, ""},
	{"expect a greeting", expect("", "^220 "), "", []string{"220 welcome\r\n"}, false, ""},
	{"expect, in pieces", expect("PING\n", "^PONG"), "PING\n", []string{"P", "O", "N", "G"}, false, ""},
	{"expect, at the end", expect("PING\n", "^PONG$"), "PING\n", []string{"PONG"}, true, ""},
	{"expect, the question is long", expect(strings.Repeat("x", 60_000), "^y"), strings.Repeat("x", 60_000), []string{"y"}, false, ""},
	{"expect, behind much else", expect("PING\n", "PONG"), "PING\n", []string{strings.Repeat("-", 60_000), "PONG"}, false, ""},
	{"expect, silence", expect("PING\n", "^PONG"), "PING\n", nil, false, "ask 10.0.0.2:80: no answer within 500ms"},
	{"expect, another answer", expect("PING\n", "^PONG"), "PING\n", []string{"LOADING\n"}, false, `no match of "^PONG" in "LOADING\n" within 500ms`},
	{"expect, another answer and the end", expect("PING\n", "^PONG"), "PING\n", []string{"\x1b[2J"}, true,
		`no match of "^PONG" in "\x1b[2J": the server closed the connection`},
	{"expect, too much", expect("PING\n", "PONG"), "PING\n", []string{strings.Repeat("-", 70_000), "PONG"}, false, "64 KiB came"},

	{"http", page(0), "GET /health HTTP/1.1\r\nHost: x:80\r\n", []string{"HTTP/1.1 200 OK\r\n\r\n"}, false, ""},
	{"http, in pieces", page(0), "\r\n\r\n", []string{"H", "TTP/1.0 2", "04\r", "\n"}, false, ""},
	{"http, interim replies", page(0), "\r\n\r\n", []string{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n", "\r\nHTTP/1.1 302 Found\r\n"}, false, ""},
	{"http, another status", page(0), "\r\n\r\n", []string{"HTTP/1.1 503 Service Unavailable\r\n"}, true,
		"GET http://x:80/health: the status is 503, not 200 to 399"},
	{"http, the status wanted", page(404), "\r\n\r\n", []string{"HTTP/1.1 404 Not Found\r\n"}, true, ""},
	{"http, not the status wanted", page(204), "\r\n\r\n", []string{"HTTP/1.1 200 OK\r\n"}, true, "the status is 200, not 204"},
	{"http, no http", page(0), "\r\n\r\n", []string{"SSH-2.0"}, false, `no reply of HTTP/1 in "S`},
	{"http, no status", page(0), "\r\n\r\n", []string{"HTTP/1.1 OK\r\n"}, false, "no status in"},
	{"http, cut", page(0), "\r\n\r\n", []string{"HTTP/1.1 20"}, true, `no status in "HTTP/1.1 20": the server closed`},
}

func TestHealthKinds(t *testing.T) {
	for _, c := range healthCases {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(20) {
				x := newExamined(t, seed, once(c.check))
				x.answer = func(got string) ([]string, bool) {
					if !strings.Contains(got, c.ask) {
						return nil, false
					}
					return c.say, c.end
				}
				x.world.RunFor(testSeconds * time.Second)
				switch {
				case len(x.accepted) < testSeconds:
					t.Fatalf("seed %d: %d checks in %d s", seed, len(x.accepted), testSeconds)
				case c.want == "" && len(x.told) > 0:
					t.Fatalf("seed %d: %q", seed, x.told)
				case c.want != "" && (len(x.told) < testSeconds-1 || !strings.Contains(x.told[0], c.want)):
					t.Fatalf("seed %d: %q, not %q", seed, x.told, c.want)
				}
				x.ends(t)
			}
		})
	}
}

// ends closes the check and looks at what is left behind.
func (x *examined) ends(t *testing.T) {
	t.Helper()
	x.shard.Close()
	x.health.close()
	told := len(x.told)
	x.world.RunFor(testSeconds * time.Second)
	if x.here.Timers() > 0 || x.here.Conns() > 0 || x.here.Buffers().Out() > 0 {
		t.Errorf("left behind: %d timers, %d connections, %d bytes", x.here.Timers(), x.here.Conns(), x.here.Buffers().Out())
	}
	if len(x.told) > told {
		t.Errorf("told after the end: %q", x.told[told:])
	}
}

// A server counts as healthy, or not, until enough results in a row speak against it; each change is said, and so is the newest
// reason.
func TestRiseAndFall(t *testing.T) {
	for _, c := range []struct {
		results string // of checks: + or -
		states  string // after each: h or u
	}{
		{"++++", "hhhh"},
		{"--+--+--+", "hhhhhhhhh"},
		{"---", "hhu"},
		{"-----", "hhuuu"},
		{"---+-+-++", "hhuuuuuuh"},
		{"---++--+---", "hhuuhhhhhhu"},
	} {
		x := newExamined(t, 1, HealthCheck{Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3})
		states := ""
		for _, result := range c.results {
			n := x.health.number
			x.listener.Close()
			if result == '+' {
				x.listen()
			}
			x.world.RunUntil(func() bool { return x.health.number > n && x.health.attempt == nil }, 3*time.Second)
			if x.health.text() == "healthy" {
				states += "h"
			} else {
				states += "u"
			}
		}
		if states != c.states {
			t.Errorf("%s: %s, not %s", c.results, states, c.states)
		}
		changes := strings.Count(strings.ReplaceAll("h"+c.states, "hu", "x"), "x") + strings.Count(c.states, "uh")
		if n := strings.Count(x.log.String(), "server "); n != changes {
			t.Errorf("%s: %d changes, and the log says: %s", c.results, changes, &x.log)
		}
		if want := x.health.text(); len(x.told) > 0 && x.told[len(x.told)-1] != want {
			t.Errorf("%s: told %q, but it is %q", c.results, x.told, want)
		}
		x.ends(t)
	}
}

// A frozen server accepts connections and says nothing; so it is found within fall intervals and one timeout, and found again
// when it goes on.
func TestHealthOfFrozenServer(t *testing.T) {
	for seed := range uint64(50) {
		c := expect("PING\n", "^PONG")
		c.Interval, c.Timeout, c.Rise, c.Fall = 200*time.Millisecond, 100*time.Millisecond, 2, 3
		x := newExamined(t, seed, c)
		x.answer = func(got string) ([]string, bool) {
			if got == "PING\n" {
				return []string{"PONG\n"}, false
			}
			return nil, false
		}
		x.world.RunFor(time.Duration(seed) * 17 * time.Millisecond)
		x.there.Freeze()
		began := x.world.Now()
		if !x.world.RunUntil(func() bool { return len(x.told) > 0 }, time.Minute) {
			t.Fatalf("seed %d: not found", seed)
		}
		most := time.Duration(c.Fall)*c.Interval + c.Timeout
		if took := x.world.Now().Sub(began); took > most+time.Millisecond {
			t.Errorf("seed %d: found after %v, not within %v", seed, took, most)
		}
		x.there.Thaw()
		began = x.world.Now()
		if !x.world.RunUntil(func() bool { return x.health.text() == "healthy" }, time.Minute) {
			t.Fatalf("seed %d: unhealthy for ever: %q", seed, x.told)
		}
		if took, least := x.world.Now().Sub(began), c.Interval*9/10-c.Timeout; took < least {
			t.Errorf("seed %d: healthy again after %v: two checks cannot have passed", seed, took)
		}
		x.ends(t)
	}
}

// The last piece of an answer counts though it comes right behind another, with no time left to look again.
func TestHealthAnswerAtTheLimit(t *testing.T) {
	x := newExamined(t, 1, once(expect("", "cd")))
	d := &dialled{health: x.health, up: true, verdict: expecting(x.health.check.Expect), got: []byte("ab"), looked: x.world.Now()}
	d.got = append(d.got, "cd"...)
	if err := d.late(); err != nil {
		t.Error(err)
	}
	x.ends(t)
}

// A host that is gone answers nothing at all.
func TestHealthOfVanishedHost(t *testing.T) {
	x := newExamined(t, 1, once(HealthCheck{}))
	x.there.Vanish()
	x.world.RunFor(3 * time.Second)
	if len(x.told) == 0 || !strings.Contains(x.told[0], "no connection within 500ms") {
		t.Errorf("%q", x.told)
	}
	x.ends(t)
}

// The checks of many elements that began together are spread over the interval, the same way each time, and are not too few.
func TestHealthChecksAreSpread(t *testing.T) {
	const elements, parts = 200, 10
	run := func() (times []time.Duration) {
		x := newExamined(t, 1, once(HealthCheck{}))
		x.health.close()
		c := once(HealthCheck{Address: x.there.Addr(80)})
		for i := range elements {
			newHealth(x.shard, fmt.Sprintf("element%d", i), c, x.change)
		}
		x.world.Calm = true
		x.world.RunFor(testSeconds * time.Second)
		for _, at := range x.accepted {
			times = append(times, at.Sub(began))
		}
		return times
	}
	times := run()
	if !slices.Equal(times, run()) {
		t.Error("not the same again")
	}
	if n := len(times); n < elements*testSeconds || n > elements*testSeconds*12/10 {
		t.Errorf("%d checks of %d elements in %d s", n, elements, testSeconds)
	}
	var counts [testSeconds * parts]int
	for _, at := range times {
		if at < testSeconds*time.Second {
			counts[int(at/(time.Second/parts))]++
		}
	}
	for i, n := range counts {
		if even := elements / parts; n < even/3 || n > even*2 {
			t.Errorf("%d checks in tenth %d of a second, %d would be even", n, i, even)
		}
	}
}

func FuzzHTTPStatus(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 103 x\r\n\r\nHTTP/1.1 404 ", "HTTP/1.1 101\r\n", "HTTP", "HTTP/1.1 1e2\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		status, err := httpStatus(p)
		if status != 0 && (err != nil || status < 100 || status > 999) {
			t.Errorf("%q: %d, %v", p, status, err)
		}
		for n := range min(len(p), 100) { // what has come so far must not decide otherwise than all of it
			part, early := httpStatus(p[:n])
			if part != 0 && part != status || early != nil && err == nil {
				t.Errorf("%q: %d, %v; of all %d, %v", p[:n], part, early, status, err)
			}
		}
	})
}
