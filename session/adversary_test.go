package session

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Found by reading session as an adversary, one test each.

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

// answering is protocol line with an error for one lost reply, and transactions.
func answering(t testing.TB, lost string) protocol.Protocol {
	return lineProtocol(t, protocol.LineConfig{Abort: []byte("ERR sorry\n"), Lost: []byte(lost), Safe: []*regexp.Regexp{re("^GET")},
		Begin: re("^BEGIN"), End: re("^COMMIT")})
}

// A leg whose health check has failed gives its server nothing more, also while its last message waits: what the pool user is told
// would not be true.
func TestNothingBehindFailure(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.Resume = 30 * time.Second; f.Deadline = time.Minute })})
	s := r.stations[0]
	s.room, s.app = 0, silent
	c := r.client()
	c.says("SET 1\n", false)
	r.until("it has come", func() bool { return s.server() != nil && c.session.leg.open })
	r.w.RunFor(time.Second)
	r.w.Stall(r.host, s.host)
	r.until("out of touch", func() bool { _, held := s.e.Legs(); return held == 1 })
	s.e.SetHealth(errors.New("ill"))
	s.server().reads(-1)
	r.w.RunFor(time.Second)
	if got := string(s.server().got); got != "" {
		t.Errorf("the server was given %q behind the failure", got)
	}
	r.w.Heal(r.host, s.host)
	r.until("answered", func() bool { return len(c.got) > 0 })
	r.close()
}

// A request that was given up as poison is not sent any more, also if no server has seen any of it.
func TestPoisonUnseen(t *testing.T) {
	r := newRig(t, options{elements: 1, failover: with(quick, func(f *Failover) { f.Attempts = 1 }), protocol: answering(t, "ERR lost\n")})
	s := r.stations[0]
	s.room = 0
	c := r.client()
	r.until("open", func() bool { return c.session.leg.open })
	c.says("SET 1\nGET 2\n", false)
	r.w.RunFor(time.Second)
	s.server().breaks() // it lives
	s.room = -1
	r.w.RunFor(5 * time.Second)
	if got := string(c.got); got != "ERR lost\nre GET 2\n" || string(s.server().got) != "GET 2\n" {
		t.Errorf("the client got %q, the server %q", got, s.server().got)
	}
	r.close()
}

// The same in a transaction: the rest of it is not carried out without its beginning.
func TestPoisonTransaction(t *testing.T) {
	r := newRig(t, options{elements: 1, failover: with(quick, func(f *Failover) { f.Attempts = 1 }), protocol: answering(t, "ERR lost\n")})
	s := r.stations[0]
	s.room = 0
	c := r.client()
	r.until("open", func() bool { return c.session.leg.open })
	c.says("BEGIN\nSET 1\n", false)
	r.w.RunFor(time.Second)
	s.server().breaks()
	s.room = -1
	r.w.RunFor(time.Second)
	c.says("SET 2\nCOMMIT\nGET 3\n", false)
	r.w.RunFor(5 * time.Second)
	if got := string(c.got); got != "ERR lost\nERR lost\nERR lost\nERR lost\nre GET 3\n" || string(s.server().got) != "GET 3\n" {
		t.Errorf("the client got %q, the server %q", got, s.server().got)
	}
	r.close()
}

// A transaction of which a part was answered by the error at the deadline is not carried on either.
func TestDeadlineTransaction(t *testing.T) {
	r := newRig(t, options{elements: 1, failover: quick, protocol: answering(t, "ERR lost\n")})
	s := r.stations[0]
	s.gone = true
	c := r.client()
	c.says("BEGIN\nSET 1\n", false)
	r.until("the errors", func() bool { return string(c.got) == "ERR lost\nERR lost\n" })
	s.gone = false
	c.says("SET 2\nCOMMIT\nGET 3\n", false)
	r.w.RunFor(5 * time.Second)
	if got := string(c.got); got != strings.Repeat("ERR lost\n", 4)+"re GET 3\n" || string(s.server().got) != "GET 3\n" {
		t.Errorf("the client got %q, the server %q", got, s.server().got)
	}
	r.close()
}

// Where one reply cannot be told to be lost, a transaction that has lost its server ends the session.
func TestTransactionWithoutWords(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: answering(t, "")})
	c := r.client()
	c.says("BEGIN\nSET 1\n", false)
	r.until("answered", func() bool { return string(c.got) == "re BEGIN\nre SET 1\n" })
	r.stations[0].die(true)
	r.w.RunFor(time.Second)
	c.says("SET 2\nCOMMIT\n", false)
	r.w.RunFor(5 * time.Second)
	if s := r.stations[1].server(); s != nil && len(s.got) > 0 || !c.closed && !c.reset {
		t.Errorf("the client got %q, closed %v, reset %v", c.got, c.closed, c.reset)
	}
	r.close()
}

// A client that ends within a request of a transaction that was lost: the beginning of the request reaches no other server.
func TestUnfinishedInLostTransaction(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: answering(t, "ERR lost\n")})
	c := r.client()
	c.says("BEGIN\nSET 1\n", false)
	r.until("answered", func() bool { return string(c.got) == "re BEGIN\nre SET 1\n" })
	r.stations[0].die(true)
	r.w.RunFor(time.Second)
	c.says("SET 2", true)
	r.w.RunFor(5 * time.Second)
	s := r.stations[1].server()
	if len(s.got) > 0 || !s.finished {
		t.Fatalf("another server got %q, its end %v", s.got, s.finished)
	}
	s.says("", true)
	r.until("it is closed", func() bool { return c.closed })
	r.close()
}

// on_server_close = "failover" where the session cannot be moved: a close of the server's stays a close.
func TestCloseOfUnmovable(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, protocol: protocol.NewStream(protocol.StreamConfig{NoJoin: true}),
		failover: with(quick, func(f *Failover) { f.Replay, f.OnServerClose = ReplayNone, CloseIsFailed })})
	r.stations[0].app = silent
	c := r.client()
	c.says("hello", false)
	r.until("it has come", func() bool { return r.serving() != nil && len(r.serving().got) > 0 })
	c.room = 3
	r.serving().says("goodbye", true)
	r.w.RunFor(time.Second)
	c.reads(-1)
	r.w.RunFor(time.Second)
	if string(c.got) != "goodbye" || !c.finished || c.reset {
		t.Errorf("the client got %q, finished %v, reset %v", c.got, c.finished, c.reset)
	}
	r.close()
}

// What a failover has given up is not told of the session for ever.
func TestProtectionBehindLoss(t *testing.T) {
	r := newRig(t, options{elements: 3, priority: true, failover: quick, protocol: answering(t, "ERR lost\n")})
	r.stations[0].app = silent
	c := r.client()
	c.says("BEGIN\nSET 1\nCOMMIT\n", false)
	r.until("it has come", func() bool { return r.serving() != nil && len(r.serving().got) > 18 })
	r.stations[0].die(true)
	r.until("the errors", func() bool { return len(c.got) == 27 })
	r.w.RunFor(5 * time.Second)
	if i := c.session.Info(); i.Protection != Protected {
		t.Errorf("%s: %s", i.Protection, i.Reason)
	}
	r.stations[1].die(true)
	r.w.RunFor(5 * time.Second)
	if n := len(r.records); n != 2 || r.records[0].Lost != 3 || r.records[1].Lost != 0 {
		t.Errorf("%d records: %+v", n, r.records)
	}
	c.says("GET 2\n", false)
	r.until("served", func() bool { return string(c.got[27:]) == "re GET 2\n" })
	r.close()
}

// Another sidecar at the element's address does not mean that the one before is dead: it may be draining, or its address may have
// moved to another host. Its leg is fenced as ever.
func TestFenceBehindAnotherSidecar(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: with(quick, func(f *Failover) {
		f.Unsafe, f.Fence, f.Deadline = UnsafeReplay, 2*time.Second, time.Minute
	})})
	s := r.stations[0]
	s.room = 0
	c := r.client()
	r.until("open", func() bool { return c.session.leg.open })
	c.says("PAY 1\n", false)
	r.w.RunFor(100 * time.Millisecond)
	old, server := s.e, s.server()
	s.listener.Close()
	s.room = -1
	s.start(0x99)
	r.cut(s)
	r.until("answered", func() bool { return len(c.got) > 0 })
	server.reads(-1)
	r.w.RunFor(time.Second)
	if got := string(server.got); got != "" {
		t.Errorf("the old server got %q when another one had carried it out", got)
	}
	old.Close()
	r.close()
}
