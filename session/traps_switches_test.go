package session

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// switches are the settings that decide what becomes of a session when its server fails, most of which loosen safety. For each the plug
// is pulled twice in the same situation: with the setting as it is by default, and with the setting made. A new field of Failover needs a
// row here.
var switches = []struct {
	name  string
	field string // of Failover; "" for a setting elsewhere
	try   func(t *testing.T, on bool)
}{
	{`unsafe = "replay"`, "Unsafe", switchUnsafe},
	{`replay = "session"`, "Replay", switchSession},
	{`replay = "none"`, "Replay", switchNone},
	{`ack = "delivered"`, "Ack", switchDelivered},
	{`ack = "read"`, "Ack", switchRead},
	{`on_server_close = "failover"`, "OnServerClose", switchServerClose},
	{`on_server_close = "close"`, "OnServerClose", switchServerCloses},
	{`resume = "0s"`, "Resume", switchResume},
	{`fence`, "Fence", switchFence},
	{`deadline`, "Deadline", switchDeadline},
	{`attempts`, "Attempts", switchAttempts},
	{`reply_timeout`, "ReplyTimeout", switchTimeout},
	{`safe`, "", switchSafe},
	{`lost`, "", switchLost},
	{`Idempotency-Key`, "", switchKey},
	{`callback { continue = true }`, "", switchContinue},
	{`callback { expect }`, "", switchExpect},
}

// T21. Every switch is tried both ways, and every field of Failover has one.
func trapSwitches(t *testing.T) {
	tried := map[string]bool{}
	for _, x := range switches {
		tried[x.field] = true
		t.Run(x.name, func(t *testing.T) {
			t.Run("default", func(t *testing.T) { x.try(t, false) })
			t.Run("set", func(t *testing.T) { x.try(t, true) })
		})
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Failover]()) {
		if !tried[f.Name] {
			t.Errorf("nobody pulls the plug for Failover.%s", f.Name)
		}
	}
}

// when changes quick where the switch is on.
func when(on bool, change func(*Failover)) options {
	f := quick
	if on {
		change(&f)
	}
	return options{failover: f}
}

// dies has the first server die at the stage of the request, and returns what the client got by then.
func dies(t *testing.T, o options, plug stage, request string) (*rig, *book, *end) {
	r, b := trap(t, o)
	end := "\n"
	if b.http {
		end = ""
	}
	name, _, _ := strings.Cut(request, " HTTP")
	b.serve(r.stations[0], plug, name)
	c := r.client()
	c.says(request+end, false)
	r.w.RunFor(10 * time.Second)
	return r, b, c
}

func switchUnsafe(t *testing.T, on bool) {
	r, b, c := dies(t, when(on, func(f *Failover) { f.Unsafe = UnsafeReplay }), whenDone, "PAY 1")
	if on {
		r.gets(c, "re PAY 1\n")
		b.times("PAY 1", 2)
	} else {
		r.gets(c, "ERR lost\n")
		b.times("PAY 1", 1)
	}
	r.close()
}

func switchSession(t *testing.T, on bool) {
	o := when(on, func(f *Failover) { f.Replay = ReplaySession })
	if !on {
		o.failover.Replay = ReplayNone // the default of protocol stream
	}
	o.failover.Unsafe, o.protocol = UnsafeReplay, protocol.NewStream(protocol.StreamConfig{NoJoin: true})
	r, b, c := dies(t, o, whenAnswered, "anything")
	if on {
		r.gets(c, "re anything\n")
		b.times("anything", 2)
		r.stays(c)
	} else {
		r.ends(c, "re anything\n", errStream.Error())
		b.times("anything", 1)
	}
	r.close()
}

// switchNone: this one makes safer; a safe request is not repeated either.
func switchNone(t *testing.T, on bool) {
	r, b, c := dies(t, when(on, func(f *Failover) { f.Replay = ReplayNone }), whenDone, "GET 1")
	if on {
		r.gets(c, "ERR lost\n")
		b.times("GET 1", 1)
	} else {
		r.gets(c, "re GET 1\n")
		b.times("GET 1", 2)
	}
	r.close()
}

// switchDelivered: a server that answers only when it has more than may be kept. By default the client waits for ever; what is forgotten
// in exchange is lost with the server.
func switchDelivered(t *testing.T, on bool) {
	r, _ := trap(t, when(on, func(f *Failover) { f.Ack = AckDelivered }))
	const many = 3000
	r.stations[0].app = func(e *end) {
		if strings.Count(string(e.got), "\n") == many {
			e.says(strings.Repeat("ok\n", many), false)
		}
	}
	c := r.client()
	c.says(numbered("GET", many), false)
	r.w.RunFor(10 * time.Second)
	if n := strings.Count(string(c.got), "ok\n"); on != (n == many) {
		t.Errorf("%d replies", n)
	}
	r.close()

	r, _, c = dies(t, when(on, func(f *Failover) { f.Ack = AckDelivered }), never, "GET 0")
	server := r.stations[0].server()
	server.app = silent
	c.says("GET 1\n", false)
	r.w.RunFor(time.Second) // the acknowledgement
	r.stations[0].kill()
	if on {
		r.gets(c, "re GET 0\nERR lost\n")
	} else {
		r.gets(c, "re GET 0\nre GET 1\n")
	}
	r.close()
}

// switchRead: of three requests the server reads only the first before it dies.
func switchRead(t *testing.T, on bool) {
	r, b := trap(t, when(on, func(f *Failover) { f.Ack = AckRead }))
	s := r.stations[0]
	s.app = func(e *end) { // it reads a line at a time, and is slow
		e.read = min(len(e.got), len("PAY 1\n"))
		b.done = append(b.done[:0], "element1: PAY 1")
	}
	c := r.client()
	c.says("PAY 1\nPAY 2\nPAY 3\n", false)
	r.until("it is at work", func() bool { return len(b.done) == 1 })
	r.w.RunFor(10 * time.Millisecond)
	s.kill()
	if on {
		r.gets(c, "ERR lost\nre PAY 2\nre PAY 3\n")
	} else {
		r.gets(c, "ERR lost\nERR lost\nERR lost\n")
	}
	b.times("PAY 1", 1)
	b.times("PAY 2", map[bool]int{true: 1, false: 0}[on])
	r.close()
}

func switchServerClose(t *testing.T, on bool) {
	r, b := trap(t, when(on, func(f *Failover) { f.OnServerClose = CloseIsFailed }))
	c := r.client()
	c.says("PAY 1\n", false)
	r.gets(c, "re PAY 1\n")
	r.stations[0].server().says("", true) // it listens still
	r.w.RunFor(5 * time.Second)
	if on {
		c.says("PAY 2\n", false)
		r.gets(c, "re PAY 1\nre PAY 2\n")
		r.stays(c)
	} else if !c.finished || c.reset {
		t.Errorf("finished %v, reset %v, %q", c.finished, c.reset, b.done)
	}
	r.close()
}

func switchServerCloses(t *testing.T, on bool) {
	r, b := trap(t, when(on, func(f *Failover) { f.OnServerClose = CloseIsClose }))
	c := r.client()
	r.heard(c, "GET 1\n").says("", true)
	r.w.RunFor(5 * time.Second)
	if c.finished != on || on != (b.count("GET 1") == 0) || on && len(c.got) > 0 {
		t.Errorf("finished %v, %q, %q", c.finished, c.got, b.done)
	}
	r.close()
}

// switchResume: by default a broken association costs nothing; without resume what is in flight meets the rules of a failure.
func switchResume(t *testing.T, on bool) {
	r, b := trap(t, when(on, func(f *Failover) { f.Resume = 0 }))
	c := r.client()
	server := r.heard(c, "PAY 1\n")
	r.cut(r.stations[0])
	r.w.RunFor(time.Second)
	if on {
		r.gets(c, "ERR lost\n")
		b.times("PAY 1", 0)
	} else {
		server.says("re PAY 1\n", false)
		r.gets(c, "re PAY 1\n")
	}
	r.close()
}

// switchFence: the default is one and a half times resume.
func switchFence(t *testing.T, on bool) {
	r, _ := trap(t, when(on, func(f *Failover) { f.Fence = 10 * time.Second }))
	c := r.client()
	c.says("GET 1\n", false)
	r.gets(c, "re GET 1\n")
	began := r.w.Now()
	r.host.Kill()
	old := r.stations[0].server()
	r.until("the server's connection is reset", func() bool { return old.reset })
	want := 1500 * time.Millisecond
	if on {
		want = 10 * time.Second
	}
	if took := r.w.Now().Sub(began); took < want || took > want+100*time.Millisecond {
		t.Errorf("after %v, not %v", took, want)
	}
}

func switchDeadline(t *testing.T, on bool) {
	r, _ := trap(t, when(on, func(f *Failover) { f.Deadline = 20 * time.Second }))
	for _, s := range r.stations {
		s.gone = true
	}
	c := r.client()
	c.says("GET 1\n", false)
	r.w.RunFor(10 * time.Second)
	r.stations[0].gone = false
	if on {
		r.gets(c, "re GET 1\n")
	} else {
		r.gets(c, "ERR lost\n")
	}
	r.close()
}

func switchAttempts(t *testing.T, on bool) {
	o := when(on, func(f *Failover) { f.Attempts = 1 })
	r, b, c := dies(t, o, whenDone, "GET 1")
	if on {
		r.gets(c, "ERR lost\n")
		b.times("GET 1", 1)
	} else {
		r.gets(c, "re GET 1\n")
		b.times("GET 1", 2)
	}
	r.close()
}

func switchTimeout(t *testing.T, on bool) {
	r, b := trap(t, when(on, func(f *Failover) { f.ReplyTimeout = 200 * time.Millisecond }))
	r.stations[0].app = silent
	c := r.client()
	c.says("GET 1\n", false)
	r.w.RunFor(time.Minute)
	if on {
		r.gets(c, "re GET 1\n")
	} else if len(c.got) > 0 || len(b.done) > 0 {
		t.Errorf("the client got %q", c.got)
	}
	r.close()
}

func switchSafe(t *testing.T, on bool) {
	o := options{failover: quick, protocol: shop(t, func(l *protocol.LineConfig) {
		if l.Safe = nil; on {
			l.Safe = words(t, "^GET")
		}
	})}
	r, b, c := dies(t, o, whenDone, "GET 1")
	if on {
		r.gets(c, "re GET 1\n")
		b.times("GET 1", 2)
	} else {
		r.gets(c, "ERR lost\n")
		b.times("GET 1", 1)
	}
	r.close()
}

// switchLost: without words for one lost reply the connection ends with the error.
func switchLost(t *testing.T, on bool) {
	o := options{failover: quick, protocol: shop(t, func(l *protocol.LineConfig) {
		if !on {
			l.Lost = nil
		}
	})}
	r, b, c := dies(t, o, whenDone, "PAY 1")
	if on {
		r.gets(c, "ERR lost\n")
		r.stays(c)
	} else if string(c.got) != "ERR sorry\n" || !c.closed {
		t.Errorf("the client got %q, closed %v", c.got, c.closed)
	}
	b.times("PAY 1", 1)
	r.close()
}

func switchKey(t *testing.T, on bool) {
	fields := ""
	if on {
		fields = "Idempotency-Key: \"8e03978e\"\r\n"
	}
	r, b, c := dies(t, options{failover: quick, protocol: protocol.NewHTTP(protocol.HTTPConfig{})}, whenDone, post("POST", "/1", fields))
	want, times := "HTTP/1.1 502", 1
	if on {
		want, times = "HTTP/1.1 200", 2
	}
	if !strings.HasPrefix(string(c.got), want) {
		t.Errorf("the client got %q", c.got)
	}
	b.times("POST /1", times)
	r.stays(c)
	r.close()
}

// onward asks for the rest of a reply, and checked greets a new server; each as callbacks of the configuration do.
type onward struct{}

func (onward) Continues([]byte) bool { return true }

func (onward) Call(at Moment, answer func(Reaction, error)) {
	if at.Request == nil || !at.Failover {
		answer(Reaction{}, nil)
		return
	}
	answer(Reaction{Send: fmt.Appendf(nil, "GET rest %d\n", at.ReplyBytes), Continue: true}, nil)
}

type checked struct{}

func (checked) Call(_ Moment, answer func(Reaction, error)) {
	answer(Reaction{Send: []byte("GET ready\n"), Expect: func(reply []byte) error {
		if string(reply) == "yes\n" {
			return nil
		}
		return errors.New("it is not ready")
	}}, nil)
}

// switchContinue: servers that tell the time cannot be joined; asked for the rest, they can.
func switchContinue(t *testing.T, on bool) {
	r, _ := trap(t, options{})
	if on {
		r.user.c.Callbacks = []Callback{onward{}}
	}
	r.stations[0].app = silent
	r.stations[1].app = func(e *end) {
		if string(e.got) == "GET rest 3\n" {
			e.says("def\n", false)
		} else {
			e.says("other\n", false)
		}
	}
	c := r.client()
	c.says("GET 1\n", false)
	r.until("it has come", func() bool { s := r.stations[0].server(); return s != nil && len(s.got) > 0 })
	r.stations[0].server().says("abc", false)
	r.until("the client has it", func() bool { return string(c.got) == "abc" })
	r.stations[0].kill()
	if on {
		r.gets(c, "abcdef\n")
		r.stays(c)
	} else {
		r.ends(c, "abc", "differs")
	}
	r.close()
}

// switchExpect: a server that is not ready gets nothing of the session.
func switchExpect(t *testing.T, on bool) {
	r, b := trap(t, options{elements: 3})
	b.reply = func(s *station, request string) string {
		switch {
		case request != "GET ready":
			return "re " + request + "\n"
		case s == r.stations[1]:
			return "no\n"
		}
		return "yes\n"
	}
	if on {
		r.user.c.Callbacks = []Callback{checked{}}
	}
	c := r.client()
	c.says("PAY 1\n", false)
	r.gets(c, "re PAY 1\n")
	r.stations[0].kill()
	r.w.RunFor(100 * time.Millisecond)
	c.says("PAY 2\n", false)
	r.gets(c, "re PAY 1\nre PAY 2\n")
	if second := b.at(r.stations[1], "PAY 2"); on != (second == 0) {
		t.Errorf("%q", b.done)
	}
	r.close()
}
