package session

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
)

// theatre is a rig whose sessions are recorded, and which has an element for rehearsals.
type theatre struct {
	*rig
	at    *station
	rules *User
	again *Rehearsal
	told  []Rehearsed
}

func newTheatre(t *testing.T, o options, script ScriptConfig) *theatre {
	r := newRig(t, o)
	s := &theatre{rig: r, at: r.station("rehearsals")}
	s.at.start(0x90)
	c := r.userConfig(1)
	c.Script = &script
	r.user = NewUser(c)
	s.rules = NewUser(s.config(o.callbacks))
	return s
}

// config is that of the User of rehearsals.
func (s *theatre) config(callbacks []Callback) UserConfig {
	c := s.userConfig(2)
	c.Pool = pool.New("things", pool.RoundRobin, []pool.Element{{Name: "rehearsals", Address: s.at.at()}})
	c.Dialer, c.Associations, c.Once, c.Callbacks = mapping.TCPMapping{}, 1, true, callbacks
	c.Script = &ScriptConfig{Memory: 2 << 20}
	c.Failover = Failover{Replay: ReplayNone, Ack: AckDelivered, Attempts: 1, Deadline: time.Minute}
	c.Trace.Failover = nil
	return c
}

// rehearse rehearses a session, and waits for what comes of it.
func (s *theatre) rehearse(c *end) Rehearsed {
	s.t.Helper()
	n := len(s.told)
	var err error
	if s.again, err = s.rules.Rehearse(c.session, 10*time.Second, func(x Rehearsed) { s.told = append(s.told, x) }); err != nil {
		s.t.Fatal(err)
	}
	s.until("the rehearsal ends", func() bool { return len(s.told) > n })
	return s.told[n]
}

func (s *theatre) close() {
	s.t.Helper()
	s.rules.Close()
	s.rig.close()
}

// everySession are all sessions.
var everySession = ScriptConfig{Memory: 1 << 20, Sample: math.MaxUint32}

// counting answers line n with n.
func counting(from int) func(*end) {
	return func(e *end) {
		for {
			n := strings.IndexByte(string(e.got[e.answered:]), '\n')
			if n < 0 {
				return
			}
			e.answered += n + 1
			from++
			e.says(strings.Repeat("i", from)+"\n", false)
		}
	}
}

// What was recorded is said again, and what comes back is told beside what the client was told. Nothing of it reaches the session itself.
func TestRehearse(t *testing.T) {
	s := newTheatre(t, options{}, everySession)
	c := s.client()
	c.says("GET 1\nTELL x\nGET 22\n", false)
	c.sometime("re GET 1\nre GET 22\n")
	got := s.stations[0].server().got
	x := s.rehearse(c)
	if x.Reason != "" || x.Stopped != `message 2 (line of up to 8 bytes) is not safe to repeat` {
		t.Errorf("%+v", x)
	}
	if string(x.Said) != "GET 1\n" || string(x.Heard) != "re GET 1\n" || string(x.HeardNow) != "re GET 1\n" || len(x.Again) != 1 || x.Of.Messages != 3 {
		t.Errorf("%+v", x)
	}
	if again := string(s.at.server().got); again != "GET 1\n" {
		t.Errorf("the server for rehearsals got %q", again)
	}
	s.until("its connection is reset", func() bool { return s.at.server().reset })
	if string(s.stations[0].server().got) != string(got) || len(s.records) > 0 {
		t.Error("the session was touched")
	}
	c.says("GET 3\n", true)
	c.sometime("re GET 1\nre GET 22\nre GET 3\n")
	s.close()
}

// An unsafe message is never sent, whatever unsafe says; nothing behind it is.
func TestRehearseStopsAtUnsafe(t *testing.T) {
	s := newTheatre(t, options{failover: Failover{Replay: ReplaySession, Unsafe: UnsafeReplay, Resume: 5 * time.Second, Deadline: 30 * time.Second, Attempts: 5}}, everySession)
	c := s.client()
	c.says("PUT 1\nGET 2\n", false)
	c.sometime("re PUT 1\nre GET 2\n")
	_, err := s.rules.Rehearse(c.session, time.Second, func(Rehearsed) { t.Error("it was rehearsed") })
	if !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "message 1") {
		t.Error(err)
	}
	d := s.client()
	d.says("GET 1\nPUT 1\nGET 2\n", false)
	d.sometime("re GET 1\nre PUT 1\nre GET 2\n")
	if x := s.rehearse(d); string(x.Said) != "GET 1\n" || x.Sent != 1 {
		t.Errorf("%+v", x)
	}
	for _, server := range s.at.servers {
		if strings.Contains(string(server.got), "PUT") {
			t.Errorf("the server for rehearsals got %q", server.got)
		}
	}
	s.close()
}

// What the server for rehearsals says is told, also if it is something else, and if there is less of it.
func TestRehearseDiffers(t *testing.T) {
	s := newTheatre(t, options{}, everySession)
	s.stations[0].app, s.at.app = counting(0), counting(5)
	c := s.client()
	c.says("GET 1\nGET 2\n", false)
	c.sometime("i\nii\n")
	if x := s.rehearse(c); x.Reason != "" || string(x.Heard) != "i\nii\n" || string(x.HeardNow) != "iiiiii\niiiiiii\n" || x.Again[1].Heard != [2]int64{7, 15} {
		t.Errorf("%+v", x)
	}
	s.at.app = func(e *end) { // it dies in the middle of the second reply
		if e.answered == 0 {
			e.answered = 1
			e.says("i\ni", true)
		}
	}
	if x := s.rehearse(c); !strings.Contains(x.Reason, "closed the connection") || string(x.HeardNow) != "i\ni" || len(x.Again) != 2 || x.Again[1].Answered {
		t.Errorf("%+v", x)
	}
	s.at.app = silent
	began := s.w.Now()
	if x := s.rehearse(c); !strings.Contains(x.Reason, "timeout") || s.w.Now().Sub(began) < 10*time.Second {
		t.Errorf("%+v after %v", x, s.w.Now().Sub(began))
	}
	s.at.gone = true
	if x := s.rehearse(c); x.Reason == "" || len(x.HeardNow) > 0 {
		t.Errorf("%+v", x)
	}
	s.close()
}

// A session is as well off when its own server dies in the middle of a rehearsal, and when it ends then.
func TestRehearseBesideFailover(t *testing.T) {
	s := newTheatre(t, options{elements: 2, priority: true}, everySession)
	s.at.app = silent
	c := s.client()
	c.says("GET 1\n", false)
	c.sometime("re GET 1\n")
	if _, err := s.rules.Rehearse(c.session, time.Minute, func(x Rehearsed) { s.told = append(s.told, x) }); err != nil {
		t.Fatal(err)
	}
	s.until("it is said again", func() bool { return s.at.server() != nil && len(s.at.server().got) > 0 })
	s.stations[0].die(true)
	c.says("GET 2\n", false)
	c.sometime("re GET 1\nre GET 2\n")
	c.breaks()
	s.until("the session ends", func() bool { return s.user.Count() == 0 })
	s.at.server().says("re GET 1\n", false)
	s.until("the rehearsal ends", func() bool { return len(s.told) == 1 })
	if x := s.told[0]; x.Reason != "" || string(x.HeardNow) != "re GET 1\n" || string(x.Heard) != "re GET 1\n" {
		t.Errorf("%+v", x)
	}
	s.close()
}

// The greeting is swallowed and callbacks are asked, as at a failover.
func TestRehearseRestores(t *testing.T) {
	var moments []Moment
	hello := callback(func(at Moment, answer func(Reaction, error)) {
		if !at.Failover {
			answer(Reaction{}, nil)
			return
		}
		moments = append(moments, at)
		answer(Reaction{Send: []byte("HELLO\n")}, nil)
	})
	s := newTheatre(t, options{callbacks: []Callback{hello}, protocol: lineProtocol(t, protocol.LineConfig{Greeting: re("^220 "), Safe: []*regexp.Regexp{re("^GET")}})}, everySession)
	for _, x := range []*station{s.stations[0], s.at} {
		x.greeting = "220 " + x.name + "\n"
	}
	c := s.client()
	c.says("GET 1\n", false)
	c.sometime("220 element1\nre GET 1\n")
	if x := s.rehearse(c); x.Reason != "" || string(x.Heard) != "re GET 1\n" || string(x.HeardNow) != "re GET 1\n" {
		t.Errorf("%+v", x)
	}
	if got := string(s.at.server().got); got != "HELLO\nGET 1\n" || len(moments) != 1 || moments[0].Session != c.session.ID {
		t.Errorf("the server for rehearsals got %q; %+v", got, moments)
	}
	s.close()
}

// A stream is repeated as a whole; what is compared is all that was heard.
func TestRehearseStream(t *testing.T) {
	stream := protocol.NewStream(protocol.StreamConfig{NoJoin: true})
	s := newTheatre(t, options{protocol: stream, failover: Failover{Replay: ReplaySession, Ack: AckDelivered, Resume: time.Second, Deadline: 30 * time.Second, Attempts: 5}}, everySession)
	c := s.client()
	for i := range 20 {
		c.says(strings.Repeat("x", 2000*i)+"\n", false)
	}
	s.until("it is answered", func() bool { return len(c.got) == 20*4+2000*190 })
	if x := s.rehearse(c); x.Reason != "" || !x.Opaque || string(x.Heard) != string(c.got) || string(x.HeardNow) != string(c.got) || len(x.Said) != 2000*190+20 {
		t.Errorf("%s %s %d %d", x.Reason, x.Stopped, len(x.Heard), len(x.HeardNow))
	}
	s.close()
}

// Recording ends where its memory does, and what was recorded until then can be rehearsed. It is given back with the session.
func TestScriptIsBounded(t *testing.T) {
	s := newTheatre(t, options{}, ScriptConfig{Memory: 2000, Sample: math.MaxUint32})
	c := s.client()
	for i := range 20 {
		c.says("GET "+strings.Repeat("x", 100)+"\n", false)
		s.until("it is answered", func() bool { return strings.Count(string(c.got), "\n") == i+1 })
	}
	r := c.session.Script().Recorded()
	if r.Stopped != "it passed rehearsal.memory at 2000 bytes" || r.Said+r.Heard+int64(r.Messages*messageBytes) > 2000 || r.Messages < 3 {
		t.Errorf("%+v", r)
	}
	if x := s.rehearse(c); x.Reason != "" || x.Stopped != r.Stopped || x.Sent < 3 || string(x.Heard) != string(x.HeardNow) {
		t.Errorf("%+v", x)
	}
	c.breaks()
	s.close()
}

// When memory is short nothing more is recorded, and what was is given back.
func TestScriptWhenMemoryIsShort(t *testing.T) {
	short := false
	s := newTheatre(t, options{}, ScriptConfig{Memory: 1 << 20, Sample: math.MaxUint32, Scarce: func() bool { return short }})
	c := s.client()
	c.says("GET 1\n", false)
	c.sometime("re GET 1\n")
	before := stored(s.host)
	short = true
	c.says("GET 2\n", false)
	c.sometime("re GET 1\nre GET 2\n")
	if r := c.session.Script().Recorded(); r.Messages != 1 || r.Stopped != "limits.memory was short" {
		t.Errorf("%+v", r)
	}
	s.user.DropScripts()
	if after := stored(s.host); after > before-loop.SmallBuffer { // the session itself may hold a block
		t.Errorf("%d bytes are held, before there were %d", after, before)
	}
	_, err := s.rules.Rehearse(c.session, time.Second, nil)
	if !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "given back") {
		t.Error(err)
	}
	c.says("GET 3\n", false)
	c.sometime("re GET 1\nre GET 2\nre GET 3\n")
	s.close()
}

// Which sessions are recorded is a matter of chance, in proportion; by default none is.
func TestScriptSample(t *testing.T) {
	for _, c := range []struct {
		sample      uint32
		least, most int
	}{{0, 0, 0}, {math.MaxUint32 / 4, 60, 190}, {math.MaxUint32, 500, 500}} {
		s := newTheatre(t, options{}, ScriptConfig{Memory: 1 << 20, Sample: c.sample})
		n := 0
		for range 500 {
			if s.client().session.Script() != nil {
				n++
			}
		}
		if n < c.least || n > c.most {
			t.Errorf("sample %d: %d of 500", c.sample, n)
		}
		s.close()
	}
	r := newRig(t, options{})
	if r.client().session.Script() != nil {
		t.Error("a session is recorded, and nobody asked for that")
	}
	r.close()
}

// What the client was told by us, and not by a server, ends the recording.
func TestScriptEndsAtLostReply(t *testing.T) {
	s := newTheatre(t, options{elements: 2, priority: true, protocol: lineProtocol(t, protocol.LineConfig{Lost: []byte("LOST\n"), Safe: []*regexp.Regexp{re("^GET")}})}, everySession)
	c := s.client()
	c.says("GET 1\n", false)
	c.sometime("re GET 1\n")
	s.stations[0].server().app = silent
	c.says("PUT 1\n", false)
	s.until("it is there", func() bool { return strings.Contains(string(s.stations[0].server().got), "PUT") })
	s.stations[0].die(true)
	c.says("GET 2\n", false)
	c.sometime("re GET 1\nLOST\nre GET 2\n")
	if r := c.session.Script().Recorded(); !strings.Contains(r.Stopped, "answered by an error") {
		t.Errorf("%+v", r)
	}
	if x := s.rehearse(c); x.Reason != "" || x.Sent != 1 {
		t.Errorf("%+v", x)
	}
	s.close()
}

// What is recorded is what the client got, also of a reply that two servers have given.
func TestScriptAcrossFailover(t *testing.T) {
	for name, replay := range map[string]Replay{"unacked": ReplayUnacked, "session": ReplaySession} {
		t.Run(name, func(t *testing.T) {
			s := newTheatre(t, options{elements: 2, priority: true, failover: Failover{Replay: replay, Resume: time.Second, Deadline: 30 * time.Second, Attempts: 5}}, everySession)
			c := s.client()
			c.says("GET 1\n", false)
			c.sometime("re GET 1\n")
			s.stations[0].server().app = silent
			c.says("GET 2\n", false)
			s.until("it is there", func() bool { return strings.Contains(string(s.stations[0].server().got), "GET 2") })
			s.stations[0].server().says("re GE", false)
			c.sometime("re GET 1\nre GE")
			s.stations[0].die(true)
			c.sometime("re GET 1\nre GET 2\n")
			c.says("GET 3\n", false)
			c.sometime("re GET 1\nre GET 2\nre GET 3\n")
			if x := s.rehearse(c); x.Reason != "" || string(x.Heard) != string(c.got) || string(x.HeardNow) != string(c.got) || len(x.Exchanges) != 3 ||
				x.Exchanges[1].Heard != [2]int64{9, 18} {
				t.Errorf("%+v", x)
			}
			s.close()
		})
	}
}

// A part of a transaction is not safe, also where its text would be.
func TestRehearseStopsAtTransaction(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{Safe: []*regexp.Regexp{re("^GET")}, Begin: re("^BEGIN"), End: re("^COMMIT")})
	s := newTheatre(t, options{protocol: p}, everySession)
	c := s.client()
	c.says("GET 1\nBEGIN\nGET 2\nCOMMIT\nGET 3\n", false)
	c.sometime("re GET 1\nre BEGIN\nre GET 2\nre COMMIT\nre GET 3\n")
	if x := s.rehearse(c); string(x.Said) != "GET 1\n" || !strings.HasPrefix(x.Stopped, "message 2 ") {
		t.Errorf("%+v", x)
	}
	s.close()
}

// A rehearsal that is ended early tells what there is, and lets go of all.
func TestRehearsalIsEnded(t *testing.T) {
	s := newTheatre(t, options{}, everySession)
	s.at.app = silent
	c := s.client()
	c.says("GET 1\nGET 2\n", false)
	c.sometime("re GET 1\nre GET 2\n")
	again, err := s.rules.Rehearse(c.session, time.Minute, func(x Rehearsed) { s.told = append(s.told, x) })
	if err != nil {
		t.Fatal(err)
	}
	s.until("it is said again", func() bool { return s.at.server() != nil && len(s.at.server().got) > 0 })
	s.at.server().says("re GET 1\n", false)
	s.until("the first is answered", func() bool { return again.session.script.heard.End() > 0 })
	again.End("nobody waits")
	again.End("twice")
	if len(s.told) != 1 || s.told[0].Reason != "nobody waits" || string(s.told[0].HeardNow) != "re GET 1\n" || !s.told[0].Again[0].Answered {
		t.Errorf("%+v", s.told)
	}
	s.until("the server's connection is reset", func() bool { return s.at.server().reset })
	s.close()
}
