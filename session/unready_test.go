package session

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/protocol"
)

const loadingReply = "-LOADING Redis is loading the dataset in memory\r\n"

// loader is a redis that may be loading: then it answers everything but SELECT by an error.
type loader struct {
	loading bool
	begins  int // loading is over when it has refused so many; 0: it never is
	piece   int // its errors come in pieces of so many bytes; 0: whole
	refused int
	done    []string // what it has carried out, but for SELECT
}

// serve has the station's servers be this one.
func (l *loader) serve(s *station) {
	s.app = func(e *end) {
		for {
			words, n := commandWords(e.got[e.answered:])
			if n == 0 {
				return
			}
			e.answered += n
			l.answer(e, strings.Join(words, " "))
		}
	}
}

func (l *loader) answer(e *end, text string) {
	switch {
	case strings.HasPrefix(text, "SELECT"):
		e.says("+OK\r\n", false)
	case l.loading:
		l.refused++
		l.loading = l.refused != l.begins
		e.piecewise(loadingReply, l.piece)
	default:
		l.done = append(l.done, text)
		e.says("+did "+text+"\r\n", false)
	}
}

// piecewise says text in pieces of n bytes; 0: as a whole.
func (e *end) piecewise(text string, n int) {
	if n == 0 {
		e.says(text, false)
		return
	}
	for i := 0; i < len(text); i += n {
		piece := text[i:min(i+n, len(text))]
		e.h.Schedule(&loop.Timer{Func: func() {
			if !e.closed && !e.reset {
				e.says(piece, false)
			}
		}}, e.h.Now().Add(time.Duration(i)*time.Millisecond))
	}
}

// commandWords are those of the first command in p, and its length; 0 if it is not complete.
func commandWords(p []byte) (words []string, n int) {
	count := 0
	if _, err := fmt.Sscanf(string(p), "*%d\r\n", &count); err != nil {
		return nil, 0
	}
	lines := bytes.SplitN(p, []byte("\r\n"), 2*count+2)
	if len(lines) < 2*count+2 {
		return nil, 0
	}
	n = len(lines[0]) + 2
	for i := range count {
		words = append(words, string(lines[2*i+2]))
		n += len(lines[2*i+1]) + len(lines[2*i+2]) + 4
	}
	return words, n
}

// loaders are a rig of two redis servers, of which the first is preferred.
func loaders(t *testing.T, o options) (*rig, *loader, *loader) {
	safe := func(name string) (bool, bool) { return name == "get", true }
	o.elements, o.priority, o.protocol = 2, true, protocol.NewRedis(protocol.RedisConfig{Safe: safe})
	if o.failover == (Failover{}) {
		o.failover = quick
	}
	r := newRig(t, o)
	a, b := new(loader), new(loader)
	a.serve(r.stations[0])
	b.serve(r.stations[1])
	return r, a, b
}

// A server that is loading is none: what it refuses so goes to another one, be it safe or not, and its client does not hear of it. It does
// not matter in what pieces it says it.
func TestLoading(t *testing.T) {
	for _, name := range []string{"GET", "SET"} {
		for piece := range 12 {
			r, a, b := loaders(t, options{})
			a.loading, a.piece = true, piece
			c := r.client()
			c.says(command("SELECT", "1")+command(name, "k"), false)
			r.until("an answer", func() bool { return r.answered("+OK\r\n+did " + name + " k\r\n") })
			if len(a.done) != 0 || a.refused != 1 || len(b.done) != 1 {
				t.Errorf("%s: the one refused %d and did %q, the other did %q", name, a.refused, a.done, b.done)
			}
			r.close()
		}
	}
}

// Behind a failover, too. If it is the only one left it is asked again and again, with pauses, and what waits is carried out when it serves:
// once, though more servers were asked than failover.attempts.
func TestLoadingAfterFailover(t *testing.T) {
	r, a, b := loaders(t, options{})
	c := r.client()
	c.says(command("SELECT", "1")+command("SET", "k"), false)
	want := "+OK\r\n+did SET k\r\n"
	r.until("an answer", func() bool { return r.answered(want) })
	b.loading, b.begins = true, 6
	r.stations[0].die(true)
	c.says(command("SET", "l"), false)
	want += "+did SET l\r\n"
	before := r.w.Now()
	r.until("an answer", func() bool { return r.answered(want) })
	if took := r.w.Now().Sub(before); b.refused != 6 || len(a.done) != 1 || len(b.done) != 1 || took < time.Second || took > 20*time.Second {
		t.Errorf("refused %d times, done %q and %q, in %v", b.refused, a.done, b.done, took)
	}
	if len(r.records) != 1 || r.records[0].Kind != KindMoved {
		t.Errorf("records %+v", r.records)
	}
	r.close()
}

// It may load for longer than the deadline. Then the request is answered by an error that says so: it was carried out by nobody.
func TestLoadingTooLong(t *testing.T) {
	r, a, b := loaders(t, options{failover: with(quick, func(f *Failover) { f.Deadline = 5 * time.Second })})
	a.loading, b.loading = true, true
	c := r.client()
	c.says(command("SET", "k"), false)
	before := r.w.Now()
	r.until("an error", func() bool { return len(c.got) > 0 })
	if took := r.w.Now().Sub(before); took < 4*time.Second || took > 7*time.Second || !strings.HasPrefix(string(c.got), "-ERR poolproxy: no pool element") {
		t.Errorf("after %v: %q", took, c.got)
	}
	if n := a.refused + b.refused; n > 40 || n < 6 {
		t.Errorf("%d tries in 5 s", n)
	}
	c.got = nil
	a.loading = false
	c.says(command("SET", "l"), false)
	r.until("an answer", func() bool { return r.answered("+did SET l\r\n") })
	if len(a.done)+len(b.done) != 1 {
		t.Errorf("done %q and %q", a.done, b.done)
	}
	r.close()
}

// What comes behind the refused request may have been carried out by then. Where that must not be repeated the client gets what the server
// says, as it says it; reads move all together.
func TestLoadingPipelined(t *testing.T) {
	for _, test := range []struct {
		says, want string
		moved      bool
	}{
		{command("SET", "a") + command("GET", "a") + command("GET", "b"), "+did SET a\r\n+did GET a\r\n+did GET b\r\n", true},
		{command("GET", "a") + command("SET", "a"), loadingReply + "+did SET a\r\n", false},
		{command("GET", "a") + command("GET", "b") + command("SET", "a"), loadingReply + "+did GET b\r\n+did SET a\r\n", false},
		{command("MULTI"), loadingReply, false},
	} {
		r, a, b := loaders(t, options{})
		a.loading, a.begins = true, 1 // it serves what comes behind
		c := r.client()
		c.says(test.says, false)
		r.until("the answers", func() bool { return r.answered(test.want) })
		if moved := len(b.done) > 0; moved != test.moved || moved && c.session.from != r.stations[1].name {
			t.Errorf("%q: done %q and %q", test.says, a.done, b.done)
		}
		n := 0
		for _, done := range append(a.done, b.done...) {
			if strings.HasPrefix(done, "SET") {
				n++
			}
		}
		if n > 1 {
			t.Errorf("%q: done %q and %q", test.says, a.done, b.done)
		}
		r.close()
	}
}

// A reply that was cut in the middle is not joined to the refusal of the next server, which is asked again.
func TestLoadingMidReply(t *testing.T) {
	r, _, b := loaders(t, options{})
	serve := r.stations[0].app
	r.stations[0].app = func(e *end) { e.says("+did G", false) }
	b.loading, b.begins = true, 2
	c := r.client()
	c.says(command("GET", "k"), false)
	r.until("half", func() bool { return r.answered("+did G") })
	r.stations[0].app = serve
	r.stations[0].die(true)
	r.until("the rest", func() bool { return r.answered("+did GET k\r\n") })
	if b.refused != 2 {
		t.Errorf("refused %d times", b.refused)
	}
	r.close()
}
