package session

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
)

// rig is a User and some Elements in virtual time, joined by the TCP mapping. Clients and servers are ends that a test plays by hand.
type rig struct {
	t        tester
	o        options
	w        *looptest.World
	host     *looptest.Host // the user's
	user     *User
	pool     *pool.Pool
	stations []*station
	records  []Record
	logs     []string // of the user and of all elements
	number   uint64
	clients  []*end
}

type options struct {
	seed      uint64
	protocol  protocol.Protocol
	failover  Failover
	memory    int // of the user's sessions
	elements  int
	legs      int           // the bytes of a leg's buffers at an element
	hold      time.Duration // at an element
	maxLegs   int
	beat      mapping.Heartbeat
	callbacks []Callback
	reads     bool // it is known what servers have read: station.unread
	fence     bool // servers can be stopped for certain: station.fence
	priority  bool // the first element is preferred
	spread    int  // associations with each element
	cookies   CookieRule
}

// lines is the protocol of most tests: requests and replies are lines; GET is safe; TELL has no reply.
func lines(t tester) protocol.Protocol {
	return lineProtocol(t, protocol.LineConfig{Abort: []byte("ERR sorry\n"), Safe: []*regexp.Regexp{regexp.MustCompile("^GET")},
		OneWay: []*regexp.Regexp{regexp.MustCompile("^TELL")}})
}

func lineProtocol(t tester, c protocol.LineConfig) protocol.Protocol {
	p, err := protocol.NewLine(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// defaults fills in what a test leaves out.
func (o options) defaults(t tester) options {
	if o.protocol == nil {
		o.protocol = lines(t)
	}
	if o.failover == (Failover{}) {
		o.failover = Failover{Replay: ReplayUnacked, Resume: 5 * time.Second, Deadline: 30 * time.Second, Attempts: 5}
	}
	if o.seed == 0 {
		o.seed = 1
	}
	o.memory, o.legs = max(o.memory, 16<<10), max(o.legs, 16<<10)
	o.elements = max(o.elements, 1)
	if o.hold == 0 {
		o.hold = time.Minute
	}
	if o.maxLegs == 0 {
		o.maxLegs = 1000
	}
	if o.beat == (mapping.Heartbeat{}) {
		o.beat = mapping.Heartbeat{Interval: time.Second, Misses: 3}
	}
	return o
}

// tester is what a rig needs of a *testing.T, or of a *rapid.T.
type tester interface {
	Helper()
	Log(...any)
	Logf(string, ...any)
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
	FailNow()
	Failed() bool
}

func newRig(t tester, o options) *rig {
	o = o.defaults(t)
	r := &rig{t: t, o: o, w: looptest.NewWorld(o.seed)}
	r.host = r.w.Host("user")
	var members []pool.Element
	for i := range o.elements {
		s := r.station(fmt.Sprintf("element%d", i+1))
		s.start(byte(0x80 + i))
		members = append(members, pool.Element{Name: s.name, Address: s.at(), Priority: uint32(o.elements - i)})
	}
	policy := pool.RoundRobin
	if o.priority {
		policy = pool.Priority
	}
	r.pool = pool.New("things", policy, members)
	r.user = NewUser(r.userConfig(1))
	r.upgrades()
	return r
}

// userConfig is that of a User whose instance begins with first.
func (r *rig) userConfig(first byte) UserConfig {
	o := r.o
	return UserConfig{Loop: r.host, Name: "user", Instance: token16(first), Pool: r.pool, Dialer: mapping.TCPMapping{},
		Association: r.association(), Protocol: o.protocol, Memory: o.memory, Failover: o.failover, Callbacks: o.callbacks, Associations: o.spread,
		Random: func(p []byte) {
			for i := range p {
				p[i] = byte(r.w.Rand().Uint32())
			}
		},
		Number: func() uint64 { r.number++; return r.number },
		Trace:  Trace{Log: r.log("user"), Failover: func(x Record) { r.records = append(r.records, x) }}}
}

func (r *rig) association() mapping.Config {
	return mapping.Config{Heartbeat: r.o.beat, DialTimeout: 3 * time.Second}
}

func (r *rig) log(who string) func(byte, string, ...any) {
	return func(level byte, message string, args ...any) {
		r.logs = append(r.logs, fmt.Sprintf("%v %s %c %s %v", r.w.Now().Format("05.000"), who, level, message, args))
	}
}

// logged reports whether a line of the log holds all the words.
func (r *rig) logged(words ...string) bool {
	for _, line := range r.logs {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

// dump shows the log when a test has failed.
func (r *rig) dump() {
	if r.t.Failed() {
		for _, line := range r.logs[:min(len(r.logs), 60)] {
			r.t.Log(line)
		}
		for _, x := range r.records {
			r.t.Logf("record %+v", x)
		}
	}
}

// client begins a session.
func (r *rig) client() *end {
	c := &end{r: r, h: r.host, room: -1, name: fmt.Sprintf("client %d", r.number+1)}
	c.session = r.user.accept(c, c.name, ends4)
	c.rules = c.session
	r.clients = append(r.clients, c)
	return c
}

// until runs the world until done.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	if !r.w.RunUntil(done, 2*time.Minute) {
		r.t.Errorf("never: %s", what)
		r.dump()
		r.t.FailNow()
	}
}

// close ends everything and looks for what is left.
func (r *rig) close() {
	r.t.Helper()
	r.user.Close()
	for _, s := range r.stations {
		s.e.Close()
	}
	r.w.RunFor(time.Minute)
	if n := r.w.Leaks(); n != 0 {
		r.t.Errorf("%d bytes of memory leaked", n)
	}
	if n := r.host.Timers(); n != 0 {
		r.t.Errorf("%d timers are armed at the user", n)
	}
	r.dump()
}

// station is one Element with its servers.
type station struct {
	r        *rig
	name     string
	host     *looptest.Host
	e        *Element
	listener loop.Listener
	servers  []*end        // one a leg, oldest first
	app      func(*end)    // is told of bytes that a server has got
	room     int           // of new servers: what they read at once; -1: all
	gone     bool          // the server refuses, and does not listen
	slow     time.Duration // of connecting
	greeting string        // what new servers say at once
	refuses  func() bool   // a new association; nil: none
	court    *court        // judges what is said on its associations; nil: nobody does
	unread   func() int    // what their processes have not read; less than 0: it cannot be known

	fence func(*Leg, func(error)) // with options.fence

	cookies CookieRule // options.cookies, if a test does not want another before start
	legs    []*Leg     // one a server
	told    []byte     // to ElementConfig.Cookie, last
	card    *asap.BusinessCard
}

func (r *rig) station(name string) *station {
	s := &station{r: r, name: name, host: r.w.Host(name), room: -1, app: echo, cookies: r.o.cookies}
	r.stations = append(r.stations, s)
	return s
}

func (s *station) at() netip.AddrPort { return s.host.Addr(7001) }

// start runs the sidecar; first is the first byte of its instance.
func (s *station) start(first byte) {
	s.e = NewElement(s.config(first))
	var err error
	s.listener, err = mapping.TCPMapping{}.Listen(s.host, s.at(), s.r.association(), func(a mapping.Association) mapping.Handler {
		if s.refuses != nil && s.refuses() {
			return nil
		}
		if s.court != nil {
			return s.court.accept(s.e, a)
		}
		if h := s.e.Accept(a); h != nil {
			return h
		}
		return nil
	})
	if err != nil {
		s.r.t.Fatal(err)
	}
}

// config is that of an Element whose instance begins with first.
func (s *station) config(first byte) ElementConfig {
	var unread func(Socket) (int, bool)
	if s.r.o.reads {
		unread = func(Socket) (int, bool) { n := s.unread(); return n, n >= 0 }
	}
	c := ElementConfig{Loop: s.host, Name: s.name, Instance: token16(first), Memory: s.r.o.legs, Hold: s.r.o.hold,
		MaxLegs: s.r.o.maxLegs, Connect: s.connect, Listening: func(_ Socket, answer func(bool)) { answer(!s.gone) }, Unread: unread,
		Cookies: s.cookies, Card: s.card, Cookie: func(_ *Leg, cookie []byte) { s.told = append([]byte{}, cookie...) },
		Silence: s.r.o.beat.Interval * time.Duration(s.r.o.beat.Misses+1), Trace: Trace{Log: s.r.log(s.name)}}
	if s.r.o.fence {
		c.Fence = func(leg *Leg, answer func(error)) { s.fence(leg, answer) }
	}
	return c
}

func (s *station) connect(leg *Leg) Socket {
	for _, c := range s.r.clients {
		if c.session != nil && c.session.token == leg.token && leg.Ends != ends4 {
			s.r.t.Errorf("%s is told to serve %v", s.name, leg.Ends)
		}
	}
	server := &end{r: s.r, h: s.host, rules: leg, room: s.room, app: s.app, name: fmt.Sprintf("%s's server %d", s.name, len(s.servers)+1)}
	s.servers, s.legs = append(s.servers, server), append(s.legs, leg)
	s.connecting(leg, server)
	return server
}

// connecting tells the leg how its connecting has ended.
func (s *station) connecting(leg *Leg, server *end) {
	timer := &loop.Timer{Func: func() {
		switch {
		case server.closed || server.reset || server.rules != local(leg): // another process is told
		case s.gone:
			leg.ConnectFailed(loop.ErrRefused)
		default:
			leg.Connected()
			server.says(s.greeting, false)
		}
	}}
	s.host.Schedule(timer, s.host.Now().Add(s.slow))
}

// server is the newest one.
func (s *station) server() *end {
	if len(s.servers) == 0 {
		return nil
	}
	return s.servers[len(s.servers)-1]
}

// die is kill -9 of the server: nothing listens, and its connections end.
func (s *station) die(reset bool) {
	s.gone = true
	for _, server := range s.servers {
		if server.closed || server.reset {
			continue
		}
		if reset {
			server.breaks()
		} else {
			server.says("", true)
		}
	}
}

// end is a local connection, the client's or a server's, played by the test: it is the Socket of its rules.
type end struct {
	r       *rig
	h       *looptest.Host
	name    string
	session *Session // of a client
	rules   local
	app     func(*end)

	// From the test to the rules.
	in           []byte
	inEnd, ended bool
	broken       bool
	taken        int

	// From the rules to the test.
	got                     []byte
	answered                int  // bytes of got that echo has answered
	busy                    bool // it has a reply to finish first
	read                    int  // bytes of got that the process has read; the rest is in its receive queue
	frozen                  bool
	room                    int // bytes that are taken now; -1: all
	finished, closed, reset bool
}

// local is a Session or a Leg.
type local interface {
	Room() int
	Take(*loop.Buffer, int) bool
	End()
	Broken(error)
	Writable()
}

// says has the application write, and finish if last is set.
func (e *end) says(text string, last bool) {
	e.in = append(e.in, text...)
	e.inEnd = e.inEnd || last
	e.h.Later(e.feed)
}

// breaks resets the connection from the application's side.
func (e *end) breaks() {
	e.broken = true
	e.in = nil
	e.h.Later(func() {
		if !e.closed && !e.reset {
			e.rules.Broken(loop.ErrReset)
		}
	})
}

// reads has the application read n bytes more; -1: all that ever comes.
func (e *end) reads(n int) {
	if n < 0 {
		e.room = -1
	} else {
		e.room += n
	}
	e.h.Later(func() {
		if !e.closed && !e.reset {
			e.rules.Writable()
		}
	})
}

// feed hands over what there is room for, as package proxy does.
func (e *end) feed() {
	for !e.closed && !e.reset && !e.ended && !e.broken && (len(e.in) > 0 || e.inEnd) {
		room := e.rules.Room()
		if room == 0 {
			return
		}
		if len(e.in) == 0 {
			e.ended = true
			e.rules.End()
			return
		}
		b := e.h.Buffers().Get(loop.LargeBuffer)
		n := copy(b.Bytes[:min(room, len(b.Bytes))], e.in)
		e.in = e.in[n:]
		e.taken += n
		if !e.rules.Take(b, n) {
			b.Drop()
		}
	}
}

func (e *end) Write(bufs ...[]byte) (n int, err error) {
	if e.closed || e.reset || e.finished {
		e.r.t.Errorf("%s: Write after the end", e.name)
	}
	if e.broken {
		return 0, loop.ErrReset
	}
	for _, b := range bufs {
		take := len(b)
		if e.room >= 0 {
			take = min(take, e.room)
			e.room -= take
		}
		e.got = append(e.got, b[:take]...)
		n += take
		if take < len(b) {
			err = loop.ErrAgain
			break
		}
	}
	if n > 0 && !e.frozen {
		e.run()
	}
	return n, err
}

// run has the process read what is in its receive queue.
func (e *end) run() {
	e.read = len(e.got)
	if e.app != nil {
		e.app(e)
	}
}

func (e *end) CloseWrite() error {
	if e.finished {
		e.r.t.Errorf("%s: CloseWrite twice", e.name)
	}
	e.finished = true
	return nil
}

func (e *end) Close()  { e.closed = true }
func (e *end) Reset()  { e.reset = true }
func (e *end) ReadOn() { e.h.Later(e.feed) }

// echo answers every line but those that TELL.
func echo(e *end) {
	for {
		n := bytes.IndexByte(e.got[e.answered:], '\n')
		if n < 0 {
			return
		}
		line := string(e.got[e.answered : e.answered+n])
		e.answered += n + 1
		if !strings.HasPrefix(line, "TELL") {
			e.says("re "+line+"\n", false)
		}
	}
}

// silent is a server that only reads.
func silent(*end) {}

// stored is what the sidecar's process on the host holds, in bytes.
func stored(h *looptest.Host) int { return h.Buffers().Out() }
