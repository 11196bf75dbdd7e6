package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// quick is a failover block in which nothing takes long.
var quick = Failover{Replay: ReplayUnacked, Resume: time.Second, Deadline: 3 * time.Second, Attempts: 5}

func with(f Failover, change func(*Failover)) Failover {
	change(&f)
	return f
}

// What becomes of a request in flight when its server dies, by its kind and by what failover allows.
func TestRequestInFlight(t *testing.T) {
	none := with(quick, func(f *Failover) { f.Replay = ReplayNone })
	repeat := with(quick, func(f *Failover) { f.Unsafe = UnsafeReplay })
	for _, c := range []struct {
		name     string
		failover Failover
		request  string
		partial  string // of the first reply
		reset    bool   // the server's end; else an end of file
		want     string // what the client gets; "" with cut
		cut      bool   // the client is reset
		says     string // in the log
	}{
		{"safe", quick, "GET 1\n", "", true, "re GET 1\n", false, ""},
		{"safe, end of file", quick, "GET 1\n", "", false, "re GET 1\n", false, ""},
		{"safe, part of the reply came", quick, "GET 1\n", "re G", true, "re GET 1\n", false, ""},
		{"safe, another reply begins", quick, "GET 1\n", "no", true, "no", true, "differs"},
		{"safe, replay none", none, "GET 1\n", "", true, "ERR sorry\n", false, `replay = "unacked"`},
		{"unsafe", quick, "SET 1\n", "", true, "ERR sorry\n", false, "an unsafe request is in flight"},
		{"unsafe, part of the reply came", quick, "SET 1\n", "re S", true, "re S", true, "an unsafe request is in flight"},
		{"unsafe, to be repeated", repeat, "SET 1\n", "", true, "re SET 1\n", false, ""},
		{"unsafe, to be repeated, part came", repeat, "SET 1\n", "re S", false, "re SET 1\n", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: c.failover})
			r.stations[0].app = silent
			client := r.client()
			client.says(c.request, false)
			r.until("the request has come", func() bool { s := r.serving(); return s != nil && string(s.got) == c.request })
			r.serving().says(c.partial, false)
			r.until("the beginning has come", func() bool { return string(client.got) == c.partial })
			r.stations[0].die(c.reset)
			r.until("it is decided", func() bool { return string(client.got) == c.want && client.reset == c.cut })
			r.w.RunFor(5 * time.Second)
			if string(client.got) != c.want || client.reset != c.cut || c.says != "" && !r.logged("session ended", c.says) {
				t.Errorf("the client got %q, reset %v", client.got, client.reset)
			}
			if ended := strings.HasPrefix(c.want, "ERR"); ended && (!client.finished || !client.closed) {
				t.Error("behind the protocol's own error there is no end")
			}
			if again := r.stations[1].server(); strings.HasPrefix(c.says, "an unsafe") && again != nil {
				t.Errorf("another server got %q", again.got)
			}
			r.close()
		})
	}
}

// A request that no server can have read is sent elsewhere, unsafe or not, whatever replay allows.
func TestUnsentRequest(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.Replay = ReplayNone })})
	r.stations[0].room = 0 // it reads nothing
	c := r.client()
	c.says("SET 1\n", false)
	r.until("the leg is open", func() bool { return c.session.leg.open })
	r.w.RunFor(time.Second)
	r.stations[0].die(true)
	r.until("it is answered by another", func() bool { return string(c.got) == "re SET 1\n" })
	r.close()
}

// With nothing in flight a session moves without its client knowing, also where replay is not allowed.
func TestMovesSilently(t *testing.T) {
	for _, how := range []string{"server reset", "server's end of file", "sidecar killed"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.Replay = ReplayNone })})
			c := r.client()
			c.says("SET 1\n", false)
			r.until("it is answered", func() bool { return len(c.got) > 0 })
			switch how {
			case "server reset":
				r.stations[0].die(true)
			case "server's end of file":
				r.stations[0].die(false)
			default:
				r.stations[0].host.Kill()
			}
			r.w.RunFor(2 * time.Second)
			if c.reset || c.finished {
				t.Fatal("the client has noticed")
			}
			c.says("SET 2\n", false)
			r.until("it is answered by another", func() bool { return string(c.got) == "re SET 1\nre SET 2\n" })
			if got := string(r.stations[1].server().got); got != "SET 2\n" {
				t.Errorf("the other server got %q", got)
			}
			r.only(KindMoved)
			r.close()
		})
	}
}

// A request that brings down each server that it meets is not carried to more than failover.attempts of them.
func TestAttempts(t *testing.T) {
	r := newRig(t, options{elements: 5, failover: with(quick, func(f *Failover) { f.Attempts = 3 })})
	fallen := 0
	for _, s := range r.stations {
		s.app = func(server *end) {
			if strings.HasSuffix(string(server.got), "killer\n") {
				fallen++
				s.die(true)
				return
			}
			echo(server)
		}
	}
	c, other := r.client(), r.client()
	other.says("GET 1\n", false)
	c.says("GET killer\n", false)
	r.until("it is refused", func() bool { return string(c.got) == "ERR sorry\n" })
	if fallen != 3 || !r.logged("session ended", "failover.attempts") {
		t.Errorf("%d servers fell", fallen)
	}
	other.says("GET 2\n", false)
	r.until("the other session goes on", func() bool { return string(other.got) == "re GET 1\nre GET 2\n" })
	r.close()
}

// Attempts count what brings nothing new: a session that gets replies between failures may see any number of them.
func TestAttemptsStartAgain(t *testing.T) {
	r := newRig(t, options{elements: 2, failover: with(quick, func(f *Failover) { f.Attempts = 2 })})
	c := r.client()
	want := ""
	for i := range 10 {
		request := fmt.Sprintf("GET %d\n", i)
		want += "re " + request
		for _, s := range r.stations {
			s.gone = false
		}
		if server := r.serving(); server != nil && i > 0 {
			server.app = silent
			c.says(request, false)
			r.until("it has come", func() bool { return strings.HasSuffix(string(server.got), request) })
			r.stationOf(server).die(true)
		} else {
			c.says(request, false)
		}
		r.until("it is answered", func() bool { return string(c.got) == want })
	}
	r.close()
}

// When no element takes the session, the client hears of it at the deadline: by the protocol's error if a reply is due, else by
// a reset.
func TestDeadline(t *testing.T) {
	for request, told := range map[string]bool{"GET 1\n": true, "": false} {
		for _, how := range []string{"refused by servers", "no sidecars", "no host"} {
			r := newRig(t, options{elements: 2, failover: quick})
			for _, s := range r.stations {
				switch how {
				case "refused by servers":
					s.gone = true
				case "no sidecars":
					s.host.Kill()
				default:
					s.host.Vanish()
				}
			}
			c := r.client()
			c.says(request, false)
			began := r.w.Now()
			r.until("it is decided", func() bool { return c.finished || c.reset })
			if took := r.w.Now().Sub(began); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
				t.Errorf("%s, %q: after %v", how, request, took)
			}
			if got := string(c.got); told != (got == "ERR sorry\n") || c.reset == told || !r.logged("session ended", "failover.deadline") {
				t.Errorf("%s, %q: the client got %q, reset %v", how, request, got, c.reset)
			}
			r.w.RunFor(2 * lingering)
			if !c.closed && !c.reset {
				t.Errorf("%s, %q: it is not closed", how, request)
			}
			r.close()
		}
	}
}

// A server that is slow to connect is waited for, but not beyond the deadline; one that comes back in time is found.
func TestServerComesBack(t *testing.T) {
	r := newRig(t, options{failover: quick})
	s := r.stations[0]
	s.gone = true
	c := r.client()
	c.says("GET 1\n", false)
	r.w.RunFor(2 * time.Second)
	s.gone = false
	r.until("it is answered", func() bool { return string(c.got) == "re GET 1\n" })
	r.close()
}

// The protocol's own error reaches a client that still sends: what it sends is read and thrown away, so that closing is no reset.
func TestAbortReachesSender(t *testing.T) {
	for name, ends := range map[string]bool{"that ends": true, "that does not end": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{failover: quick})
			r.stations[0].app = silent
			c := r.client()
			c.says("SET 1\n"+numbered("SET", 3000), false) // much more than the session may keep
			r.until("the first has come", func() bool { s := r.serving(); return s != nil && len(s.got) > 0 })
			c.room = 4 // it reads the error in pieces
			r.stations[0].die(true)
			r.w.RunFor(100 * time.Millisecond)
			if c.reset || c.closed {
				t.Fatal("closed before the error was read")
			}
			began := r.w.Now()
			c.says(numbered("SET", 2000), ends)
			c.reads(-1)
			r.until("it is closed", func() bool { return c.closed })
			if string(c.got) != "ERR sorry\n" || !c.finished || c.reset || ends && len(c.in) > 0 {
				t.Errorf("the client got %q, %d bytes of it were not read", c.got, len(c.in))
			}
			if took := r.w.Now().Sub(began); took > lingering+100*time.Millisecond || ends && took > 100*time.Millisecond {
				t.Errorf("closed after %v", took)
			}
			r.close()
		})
	}
}

// A client that never reads the error does not stay for ever.
func TestAbortNotRead(t *testing.T) {
	r := newRig(t, options{failover: quick})
	r.stations[0].app = silent
	c := r.client()
	c.says("SET 1\n", false)
	r.until("it has come", func() bool { s := r.serving(); return s != nil && len(s.got) > 0 })
	c.room = 0
	r.stations[0].die(true)
	r.w.RunFor(lingering + time.Second)
	if !c.reset || r.user.Count() != 0 {
		t.Errorf("reset %v, %d sessions", c.reset, r.user.Count())
	}
	r.close()
}

// A stream of which nothing is known ends with a reset and the setting that would change it; with replay = "session" it
// survives a server that answers the same, and gets nothing of one that does not.
func TestStream(t *testing.T) {
	whole := with(quick, func(f *Failover) { f.Replay = ReplaySession; f.Unsafe = UnsafeReplay })
	for _, c := range []struct {
		name     string
		failover Failover
		second   string // the second server's answer
		want     string
		reset    bool
		says     string
	}{
		{"default", with(quick, func(f *Failover) { f.Replay = ReplayNone }), "", "0123456789", true, `replay = "session" } would allow it`},
		{"unacked", quick, "", "0123456789", true, `replay = "unacked" cannot join`},
		{"session, the same", whole, "0123456789abcdef", "0123456789abcdef", false, ""},
		{"session, another", whole, "01234x6789abcdef", "0123456789", true, "differs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: c.failover, protocol: protocol.NewStream(protocol.StreamConfig{})})
			r.stations[0].app = silent
			r.stations[1].app = func(server *end) { server.says(c.second, false); server.app = nil }
			client := r.client()
			client.says("request", false)
			r.until("the request has come", func() bool { return r.serving() != nil && len(r.serving().got) == 7 })
			r.serving().says("0123456789", false)
			r.until("ten bytes have come", func() bool { return len(client.got) == 10 })
			r.stations[0].die(true)
			r.w.RunFor(2 * time.Second)
			if string(client.got) != c.want || client.reset != c.reset || client.finished || c.says != "" && !r.logged("session ended", c.says) {
				t.Errorf("the client got %q, reset %v", client.got, client.reset)
			}
			r.close()
		})
	}
}

// Every reply once and in order, though servers die under many requests in a pipeline; the record says what was done.
func TestPipelineMoves(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick})
	r.stations[0].app = func(server *end) {
		if echo(server); len(server.got) > 3000 {
			server.app = silent
			r.stations[0].die(true)
		}
	}
	c := r.client()
	text := numbered("GET", 200)
	c.says(text, true)
	r.until("all is answered", func() bool { return strings.Count(string(c.got), "\n") == 200 })
	if want := "re " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\nre ") + "\n"; string(c.got) != want {
		t.Errorf("other replies: %d bytes", len(c.got))
	}
	r.only(KindMoved)
	if len(r.records) == 1 && (r.records[0].From != "element1" || r.records[0].To != "element2" || r.records[0].Messages == 0) {
		t.Errorf("record %+v", r.records[0])
	}
	r.close()
}

// The error in place of a lost reply reaches the client before another server is found. The record waits for that server.
func TestRecordOfALostReply(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{Lost: []byte("ERR lost\n")})
	r := newRig(t, options{elements: 2, failover: quick, protocol: p})
	r.stations[0].app = silent
	c := r.client()
	c.says("PAY 1\n", false)
	r.until("a server has the request", func() bool { return r.serving() != nil && len(r.serving().got) > 0 })
	r.stations[0].die(false)
	r.until("the error", func() bool { return string(c.got) == "ERR lost\n" })
	r.until("the record", func() bool { return len(r.records) > 0 })
	if x := r.records[0]; x.Kind != KindMoved || x.To != "element2" || x.Lost != 1 || x.Tried != 1 || x.Connect == 0 || x.First != 0 {
		t.Errorf("%+v", x)
	}
	c.says("PAY 2\n", false)
	r.until("the answer of the other", func() bool { return string(c.got) == "ERR lost\nre PAY 2\n" })
	r.only(KindMoved)
	r.close()
}

// The only server comes back. The one session that finds that out tells the others, which wait for the same: none sits out a pause of
// its own behind it.
func TestWaitingTogether(t *testing.T) {
	r := newRig(t, options{failover: quick})
	only := r.stations[0]
	var clients []*end
	for range 20 {
		clients = append(clients, r.client())
	}
	ask := func(text string) (first, last time.Time) {
		for _, c := range clients {
			c.says(text+"\n", false)
		}
		answered := func(c *end) bool { return strings.HasSuffix(string(c.got), "re "+text+"\n") }
		r.until("an answer to "+text, func() bool { return slices.ContainsFunc(clients, answered) })
		first = r.w.Now()
		r.until("all answers to "+text, func() bool {
			return !slices.ContainsFunc(clients, func(c *end) bool { return !answered(c) })
		})
		return first, r.w.Now()
	}
	ask("GET 1")
	only.die(false)
	r.w.RunFor(2 * time.Second)
	only.gone = false
	if first, last := ask("GET 2"); last.Sub(first) > 10*time.Millisecond {
		t.Errorf("the last client was answered %v after the first", last.Sub(first))
	}
	r.only(KindMoved)
	r.close()
}
