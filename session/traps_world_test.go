package session

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// stage is a moment in the life of a request at its server: when the plug is pulled.
type stage int

const (
	never        stage = iota
	whenUnread         // it lies in the server's receive queue
	whenRead           // the process has read it, and not begun
	whenDone           // it is carried out, and not answered
	whenHalf           // the client has a part of the reply
	whenAnswered       // the client has all of it
)

func (s stage) String() string {
	return [...]string{"never", "unread", "read", "done", "half", "answered"}[s]
}

// book is what the servers of a rig have carried out, which no failover can undo: the world outside the pool.
type book struct {
	r     *rig
	end   string // what ends a request
	reply func(s *station, request string) string
	done  []string // "element1: PAY 1", in order
	http  bool
}

// ledger is a book for lines: each is answered by "re " and itself.
func ledger(r *rig) *book {
	return &book{r: r, end: "\n", reply: func(_ *station, request string) string { return "re " + request + "\n" }}
}

// webLedger is a book for http: requests without a body.
func webLedger(r *rig) *book {
	return &book{r: r, end: "\r\n\r\n", http: true, reply: func(*station, string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" }}
}

// count is how often the request was carried out, by all servers together.
func (b *book) count(request string) (n int) {
	for _, s := range b.r.stations {
		n += b.at(s, request)
	}
	return n
}

// at is how often the station's servers have carried the request out.
func (b *book) at(s *station, request string) (n int) {
	for _, done := range b.done {
		if done == s.name+": "+request {
			n++
		}
	}
	return n
}

// open has all servers of the rig write down in b what they do.
func (b *book) open() *book {
	for _, s := range b.r.stations {
		b.serve(s, never, "")
	}
	return b
}

// serve has the station's servers carry out and answer; at the stage of the request the process is killed.
func (b *book) serve(s *station, plug stage, request string) {
	s.app = func(e *end) {
		for !s.gone {
			n := bytes.Index(e.got[e.answered:e.read], []byte(b.end))
			if n < 0 {
				return
			}
			text := string(e.got[e.answered : e.answered+n])
			if b.http {
				text, _, _ = strings.Cut(text, " HTTP")
			}
			pull := never
			if text == request {
				pull = plug
			}
			b.one(s, e, text, n+len(b.end), pull)
		}
	}
}

// one takes one request of n bytes.
func (b *book) one(s *station, e *end, text string, n int, pull stage) {
	if pull == whenUnread {
		e.read = e.answered
		s.kill()
		return
	}
	e.answered += n
	if pull == whenRead {
		s.kill()
		return
	}
	b.done = append(b.done, s.name+": "+text)
	reply := b.reply(s, text)
	switch pull {
	case whenDone:
		s.kill()
	case whenHalf:
		e.says(reply[:len(reply)/2], false)
		b.r.w.After(time.Millisecond, s.kill)
	case whenAnswered:
		e.says(reply, false)
		b.r.w.After(time.Millisecond, s.kill)
	default:
		e.says(reply, false)
	}
}

// kill is kill -9 of the station's server. A process that has read everything leaves an end of file behind, one that has not a
// reset (design.md §3; proxy.TestDeathTells shows it).
func (s *station) kill() {
	s.gone = true
	for _, server := range s.servers {
		switch {
		case server.closed || server.reset:
		case server.read < len(server.got):
			server.breaks()
		default:
			server.says("", true)
		}
	}
}

// thaw is SIGCONT: the process reads what is in its receive queue, be its connection reset or not.
func (e *end) thaw() {
	e.frozen = false
	e.run()
}

// knowsReading lets the sidecars ask how far servers have read.
func (r *rig) knowsReading() {
	for _, s := range r.stations {
		s.e.c.Unread = func(socket Socket) (int, bool) {
			e := socket.(*end)
			return len(e.got) - e.read, !e.broken && !e.reset && !e.closed
		}
	}
}

func words(t testing.TB, texts ...string) []*regexp.Regexp {
	t.Helper()
	var out []*regexp.Regexp
	for _, text := range texts {
		out = append(out, regexp.MustCompile(text))
	}
	return out
}

// shop is the protocol of most traps: GET is safe; a lost reply has words of its own; USER and MODE set a state; BEGIN to COMMIT is
// a transaction; QUIT says goodbye.
func shop(t testing.TB, change ...func(*protocol.LineConfig)) protocol.Protocol {
	c := protocol.LineConfig{Abort: []byte("ERR sorry\n"), Lost: []byte("ERR lost\n"), Safe: words(t, "^GET"), Quit: words(t, "^QUIT"),
		States: []protocol.StateRule{{Name: "user", Match: regexp.MustCompile("^USER"), Expect: regexp.MustCompile("^re ")},
			{Name: "mode", Match: regexp.MustCompile("^MODE")}},
		Begin: regexp.MustCompile("^BEGIN"), End: regexp.MustCompile("^COMMIT")}
	for _, f := range change {
		f(&c)
	}
	return lineProtocol(t, c)
}

// trap is a rig of two elements, the first of which is preferred, and whose servers write down what they do.
func trap(t *testing.T, o options) (*rig, *book) {
	if o.protocol == nil {
		o.protocol = shop(t)
	}
	if o.failover == (Failover{}) {
		o.failover = quick
	}
	o.elements, o.priority = max(o.elements, 2), true
	r := newRig(t, o)
	r.knowsReading()
	if o.protocol.Name() == "http" {
		return r, webLedger(r).open()
	}
	return r, ledger(r).open()
}

// heard has the first station's server read what the client says, and say nothing, and returns it when its leg is open. Later servers
// are as they were.
func (r *rig) heard(c *end, text string) *end {
	r.t.Helper()
	s := r.stations[0]
	app := s.app
	s.app = silent
	c.says(text, false)
	r.until("the server has heard it", func() bool {
		return s.server() != nil && c.session.leg.open && string(s.server().got) == text
	})
	s.app = app
	return s.server()
}

// gets waits until the client has exactly that, and sees to it that nothing follows.
func (r *rig) gets(c *end, want string) {
	r.t.Helper()
	r.w.RunUntil(func() bool { return string(c.got) == want }, time.Minute)
	r.w.RunFor(time.Second)
	if string(c.got) != want {
		r.t.Errorf("%s got %q, want %q; reset %v", c.name, c.got, want, c.reset)
	}
}

// stays complains if the client has noticed anything but bytes.
func (r *rig) stays(c *end) {
	r.t.Helper()
	if c.reset || c.closed || c.finished {
		r.t.Errorf("%s: reset %v, closed %v, finished %v", c.name, c.reset, c.closed, c.finished)
	}
}

// ends waits until the client is reset, with exactly that.
func (r *rig) ends(c *end, want, reason string) {
	r.t.Helper()
	r.w.RunUntil(func() bool { return c.reset }, time.Minute)
	if !c.reset || string(c.got) != want || !r.logged("session ended", reason) {
		r.t.Errorf("%s got %q, want %q and a reset (%v) because of %q", c.name, c.got, want, c.reset, reason)
	}
}

// times complains unless the request was carried out so often.
func (b *book) times(request string, want int) {
	b.r.t.Helper()
	if n := b.count(request); n != want {
		b.r.t.Errorf("%q was carried out %d times, not %d: %q", request, n, want, b.done)
	}
}

// post is a request of http without a body; fields are whole lines.
func post(method, path, fields string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: 0\r\n\r\n", method, path, fields)
}
