package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/protocol"
)

// moody is a redis that is loading at times, dies and comes back, and says what it says in pieces.
type moody struct {
	s       *station
	world   *moodyWorld
	loading bool
	conns   map[*end]*moodyConn
}

// moodyWorld is what all servers of a conversation share.
type moodyWorld struct {
	r       *rig
	rand    *rand.Rand
	safe    bool           // nothing unsafe may be repeated
	done    map[string]int // how often what is unsafe was carried out
	pieces  bool
	servers []*moody
	keys    int
	tally   map[string]int
}

// moodyConn is one of its connections.
type moodyConn struct {
	m      *moody
	e      *end
	out    string
	dead   bool
	resp3  bool
	multi  bool
	dirty  bool
	queued [][]string
	timer  loop.Timer
}

func (m *moody) serve(e *end) {
	c := m.conns[e]
	if c == nil {
		c = &moodyConn{m: m, e: e}
		c.timer.Func = c.flush
		m.conns[e] = c
	}
	for !c.dead {
		words, n := commandWords(e.got[e.answered:])
		if n == 0 {
			return
		}
		e.answered += n
		c.say(c.answer(words))
	}
}

func (c *moodyConn) run(words []string) string {
	if words[0] == "SET" {
		c.m.world.done[words[1]]++
		return "+did " + words[1] + "\r\n"
	}
	v := strings.Repeat("v"+words[1], 1+len(words[1])*3)
	return fmt.Sprintf("$%d\r\n%s\r\n", len(v), v)
}

func (c *moodyConn) answer(words []string) string {
	switch name := words[0]; {
	case name == "HELLO":
		c.resp3 = true
		return "%1\r\n+proto\r\n:3\r\n"
	case name == "SELECT":
		return "+OK\r\n"
	case name == "MULTI":
		c.multi, c.dirty, c.queued = true, false, nil
		return "+OK\r\n"
	case name == "EXEC":
		queued, dirty := c.queued, c.dirty
		c.multi, c.queued, c.dirty = false, nil, false
		if dirty {
			return "-EXECABORT Transaction discarded because of previous errors.\r\n"
		}
		out := fmt.Sprintf("*%d\r\n", len(queued))
		for _, w := range queued {
			out += c.run(w)
		}
		return out
	case c.m.loading:
		c.dirty = true
		return loadingReply
	case c.multi:
		c.queued = append(c.queued, words)
		return "+QUEUED\r\n"
	default:
		return c.run(words)
	}
}

func (c *moodyConn) say(text string) {
	if c.resp3 && c.m.world.rand.IntN(4) == 0 {
		text = ">2\r\n+note\r\n+x\r\n" + text
	}
	c.out += text
	if !c.timer.Armed() {
		c.flush()
	}
}

func (c *moodyConn) flush() {
	if c.dead || c.e.closed || c.e.reset || len(c.out) == 0 {
		return
	}
	n := len(c.out)
	if c.m.world.pieces {
		n = min(n, 1+c.m.world.rand.IntN(25))
	}
	c.e.says(c.out[:n], false)
	if c.out = c.out[n:]; len(c.out) > 0 {
		c.e.h.Schedule(&c.timer, c.e.h.Now().Add(time.Duration(c.m.world.rand.IntN(3000))*time.Microsecond))
	}
}

func (m *moody) die(reset bool) {
	for _, c := range m.conns {
		if c.dead = true; c.timer.Armed() {
			c.e.h.Cancel(&c.timer)
		}
	}
	m.s.die(reset)
}

func (m *moody) live() { m.s.gone, m.loading = false, m.world.rand.IntN(2) == 0 }

// value is the length of the first value in p; 0 if it is not complete.
func value(p []byte) int {
	line := bytes.IndexByte(p, '\n') + 1
	if line == 0 {
		return 0
	}
	count, _ := strconv.Atoi(strings.TrimSpace(string(p[1:line])))
	switch p[0] {
	case '+', '-', ':', '_':
		return line
	case '$':
		if len(p) < line+count+2 {
			return 0
		}
		return line + count + 2
	case '%':
		count *= 2
	case '*', '>':
	default:
		panic(fmt.Sprintf("%q", p))
	}
	for range count {
		n := value(p[line:])
		if n == 0 {
			return 0
		}
		line += n
	}
	return line
}

// moodyAsk is a request.
type moodyAsk struct {
	text string
	key  string // of what it carries out that is not safe; "": nothing is
	want string // its reply; "": a map
}

// moodyClient asks.
type moodyClient struct {
	*end
	w    *moodyWorld
	asks []moodyAsk
}

func (c *moodyClient) ask(key, want string, words ...string) {
	c.asks = append(c.asks, moodyAsk{command(words...), key, want})
}

// plan decides what it asks.
func (c *moodyClient) plan() {
	w := c.w
	if w.rand.IntN(2) == 0 {
		c.ask("", "", "HELLO", "3")
	}
	if w.rand.IntN(2) == 0 {
		c.ask("", "+OK\r\n", "SELECT", "1")
	}
	for range 12 {
		w.keys++
		k := "k" + strconv.Itoa(w.keys)
		switch w.rand.IntN(5) {
		case 0, 1:
			c.ask(k, "+did "+k+"\r\n", "SET", k)
		case 2, 3:
			v := strings.Repeat("v"+k, 1+len(k)*3)
			c.ask("", fmt.Sprintf("$%d\r\n%s\r\n", len(v), v), "GET", k)
		default:
			c.ask("", "+OK\r\n", "MULTI")
			c.ask("", "+QUEUED\r\n", "SET", k)
			c.ask(k, "*1\r\n+did "+k+"\r\n", "EXEC")
		}
	}
}

// talks says it, some at once, some in two pieces.
func (c *moodyClient) talks() {
	rnd, at := c.w.rand, time.Duration(0)
	say := func(text string, last bool) { c.w.r.w.After(at, func() { c.says(text, last) }) }
	for _, a := range c.asks {
		if rnd.IntN(3) > 0 {
			at += time.Duration(rnd.IntN(40000)) * time.Microsecond
		}
		n := 0
		if rnd.IntN(4) == 0 {
			n = 1 + rnd.IntN(len(a.text)-1)
			say(a.text[:n], false)
			at += time.Duration(rnd.IntN(5000)) * time.Microsecond
		}
		say(a.text[n:], false)
	}
	if at += time.Duration(rnd.IntN(50)) * time.Millisecond; rnd.IntN(4) == 0 {
		say("", true)
	}
}

// happens has something happen to servers, or to sidecars.
func (w *moodyWorld) happens() {
	m := w.servers[w.rand.IntN(len(w.servers))]
	switch w.rand.IntN(9) {
	case 0, 1:
		m.loading = true
	case 2, 3:
		m.loading = false
	case 4:
		m.die(w.rand.IntN(2) == 0 && w.r.o.failover.Ack != AckRead) // who has read all ends by FIN
	case 5, 6:
		m.live()
	case 7:
		w.r.cut(m.s)
	default:
		if w.rand.IntN(2) == 0 {
			w.r.upgrade()
		} else {
			m.s.upgrade()
		}
	}
}

// judge looks at what the client was told. Nothing is told that is not so, in another order, or twice.
func (c *moodyClient) judge(fail func(string, ...any)) {
	got, asks := c.got, c.asks
	for len(got) > 0 {
		n := value(got)
		if n == 0 {
			if !c.reset {
				fail("a torn reply %q, and no reset", got)
			}
			break
		}
		v := string(got[:n])
		if got = got[n:]; v[0] == '>' {
			continue
		}
		if len(asks) == 0 {
			fail("one reply more: %q", v)
			return
		}
		c.judgeReply(asks[0], v, fail)
		asks = asks[1:]
	}
	switch {
	case len(asks) == 0:
		c.w.tally["complete"]++
	case c.reset || c.closed || c.finished:
		c.w.tally["ended"]++
	default:
		fail("%d replies of %d have not come", len(asks), len(c.asks))
	}
}

func (c *moodyClient) judgeReply(a moodyAsk, v string, fail func(string, ...any)) {
	times := func(least, most int) {
		if n := c.w.done[a.key]; a.key != "" && (n < least || n > most) {
			fail("%q was answered by %q, and carried out %d times", a.text, v, n)
		}
	}
	switch most := map[bool]int{true: 1, false: 100}[c.w.safe]; {
	case a.want == "" && v[0] == '%' || v == a.want:
		c.w.tally["answered"]++
		times(1, most)
	case v == loadingReply, strings.HasPrefix(v, "-EXECABORT"):
		c.w.tally["refused"]++
		times(0, most-1)
	case strings.HasPrefix(v, "-ERR poolproxy"):
		c.w.tally["lost"]++
		times(0, most)
	default:
		fail("%q was answered by %q", a.text, v)
	}
}

// moodyTalk is one conversation.
func moodyTalk(t *testing.T, seed uint64, tally map[string]int) {
	rnd := rand.New(rand.NewPCG(seed, 99))
	safe := func(name string) (bool, bool) { return name == "get" || name == "select" || name == "hello", true }
	f := with(quick, func(f *Failover) {
		f.Deadline = time.Duration(1+rnd.IntN(20)) * time.Second
		f.Ack = []Ack{AckReply, AckDelivered, AckRead}[rnd.IntN(3)]
		f.Unsafe = []Unsafe{UnsafeRefuse, UnsafeRefuse, UnsafeReplay}[rnd.IntN(3)]
		f.Replay = []Replay{ReplayUnacked, ReplayUnacked, ReplayUnacked, ReplaySession}[rnd.IntN(4)]
	})
	r := newRig(t, options{seed: seed, elements: 2 + rnd.IntN(2), priority: rnd.IntN(2) == 0, failover: f, reads: true,
		protocol: protocol.NewRedis(protocol.RedisConfig{Safe: safe})})
	w := &moodyWorld{r: r, rand: rnd, safe: f.Unsafe == UnsafeRefuse, done: make(map[string]int), pieces: rnd.IntN(2) == 0, tally: tally}
	for _, s := range r.stations {
		s.unread = func() int { return 0 }
		m := &moody{s: s, world: w, conns: make(map[*end]*moodyConn), loading: rnd.IntN(2) == 0}
		s.app = m.serve
		w.servers = append(w.servers, m)
	}
	clients := []*moodyClient{{end: r.client(), w: w}, {end: r.client(), w: w}}
	for _, c := range clients {
		c.plan()
		c.talks()
	}
	for range 18 {
		r.w.After(time.Duration(rnd.IntN(400))*time.Millisecond, w.happens)
	}
	r.w.After(time.Duration(500+rnd.IntN(4000))*time.Millisecond, func() {
		for _, m := range w.servers {
			m.live()
			m.loading = false
		}
	})
	r.w.RunFor(120 * time.Second)
	fail := func(format string, args ...any) {
		t.Errorf("seed %d, %+v: "+format, append([]any{seed, f}, args...)...)
	}
	for _, c := range clients {
		c.judge(fail)
	}
	for _, x := range r.records {
		tally[x.Detector]++
	}
	r.close()
}

// Servers are loading, die and come back at any time, and sidecars are cut off and replaced: nothing unsafe is carried out twice, and
// clients are told what is so, in order.
func TestLoadingRandom(t *testing.T) {
	tally := make(map[string]int)
	for seed := range uint64(300) {
		if moodyTalk(t, seed+1, tally); t.Failed() {
			break
		}
	}
	if t.Log(tally); tally["unready"] < 100 || tally["answered"] < 1000 || tally["complete"] < 400 {
		t.Error("it was too quiet, or too loud")
	}
}
