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

// redisLike is protocol redis; commands that begin with GET are safe.
func redisLike() protocol.Protocol {
	return protocol.NewRedis(protocol.RedisConfig{
		Safe:   func(name string) (bool, bool) { return name == "get" || name == "ping", true },
		Blocks: func(name string) bool { return name == "blpop" }})
}

// lossy is lines with a word for one lost reply.
func lossy(t testing.TB) protocol.Protocol {
	return lineProtocol(t, protocol.LineConfig{Abort: []byte("ERR sorry\n"), Lost: []byte("ERR lost\n"), Safe: []*regexp.Regexp{regexp.MustCompile("^GET")},
		OneWay: []*regexp.Regexp{regexp.MustCompile("^TELL")}, Begin: regexp.MustCompile("^BEGIN"), End: regexp.MustCompile("^COMMIT")})
}

// redisServer answers inline commands, and arrays of words, as redis does. It notes in did what it carries out.
func redisServer(did *[]string) func(*end) {
	multi := map[*end][]string{}
	return func(e *end) {
		for {
			line, n := redisWords(e.got[e.answered:])
			if n == 0 {
				return
			}
			e.answered += n
			queued, within := multi[e]
			name, _, _ := strings.Cut(line, " ")
			switch {
			case name == "MULTI":
				multi[e] = []string{}
				e.says("+OK\r\n", false)
			case name == "EXEC" && within:
				delete(multi, e)
				*did = append(*did, "["+strings.Join(queued, ",")+"]")
				e.says(fmt.Sprintf("*%d\r\n%s", len(queued), strings.Repeat("+OK\r\n", len(queued))), false)
			case name == "EXEC":
				e.says("-ERR EXEC without MULTI\r\n", false)
			case within:
				multi[e] = append(queued, line)
				e.says("+QUEUED\r\n", false)
			case name == "SUBSCRIBE":
				*did = append(*did, line)
				e.says(fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(line)-10, line[10:]), false)
			default:
				*did = append(*did, line)
				e.says("+"+line+"\r\n", false)
			}
		}
	}
}

// redisWords is the first command in p with a space between its words, and how long it is; 0: it is not complete.
func redisWords(p []byte) (string, int) {
	next := func(from int) (string, int) {
		n := bytes.Index(p[from:], []byte("\r\n"))
		if n < 0 {
			return "", 0
		}
		return string(p[from : from+n]), from + n + 2
	}
	line, at := next(0)
	if at == 0 || line[0] != '*' {
		return line, at
	}
	var words []string
	for range int(line[1] - '0') {
		var size int
		head, body := next(at)
		if fmt.Sscanf(head, "$%d", &size); body == 0 || body+size+2 > len(p) {
			return "", 0
		}
		words, at = append(words, string(p[body:body+size])), body+size+2
	}
	return strings.Join(words, " "), at
}

// sometime fails the test unless the client has got exactly that after a while.
func (e *end) sometime(want string) {
	e.r.t.Helper()
	e.r.w.RunUntil(func() bool { return len(e.got) >= len(want) }, 20*time.Second)
	e.r.w.RunFor(100 * time.Millisecond)
	if string(e.got) != want || e.reset {
		e.r.t.Errorf("%s got %q, reset %v; want %q", e.name, e.got, e.reset, want)
	}
}

// has waits until the newest server of the station has read the text.
func (s *station) has(text string) *end {
	s.r.t.Helper()
	s.r.until(s.name+" has "+text, func() bool { return s.server() != nil && strings.HasSuffix(string(s.server().got), text) })
	return s.server()
}

// Of a pipeline each request that must not be repeated is answered by its own error, in its turn; the others are repeated.
func TestLostInTheirTurn(t *testing.T) {
	for name, c := range map[string]struct {
		protocol protocol.Protocol
		request  string
		want     string
		again    string
	}{
		"line": {lossy(t), "GET 1\nSET 2\nSET 3\nGET 4\n", "re GET 1\nERR lost\nERR lost\nre GET 4\n", "GET 1\nGET 4\n"},
		"redis": {redisLike(), "GET 1\r\nSET 2\r\nGET 4\r\n",
			"+GET 1\r\n-ERR poolproxy: an unsafe request is in flight (SET 2) and may have been executed: it is not repeated\r\n+GET 4\r\n", "GET 1\r\nGET 4\r\n"},
		"first": {lossy(t), "SET 1\nGET 2\n", "ERR lost\nre GET 2\n", "GET 2\n"},
		"all":   {lossy(t), "SET 1\nSET 2\n", "ERR lost\nERR lost\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: c.protocol})
			r.stations[0].app = silent
			if name == "redis" {
				r.stations[1].app = redisServer(new([]string))
			}
			client := r.client()
			client.says(c.request, false)
			r.stations[0].has(c.request)
			r.stations[0].die(false)
			client.sometime(c.want)
			r.until("a server", func() bool { return r.stations[1].server() != nil })
			r.w.RunFor(time.Second)
			if got := string(r.stations[1].server().got); got != c.again {
				t.Errorf("the other server got %q, want %q", got, c.again)
			}
			r.only(KindMoved)
			if x := r.records[0]; x.Lost != strings.Count(c.want, "ERR") || x.To != "element2" || x.Leg != 2 || len(r.records) != 1 {
				t.Errorf("record %+v", x)
			}
			// What follows goes on as if nothing had been.
			client.says(strings.ReplaceAll("SET 9\n", "\n", c.request[len(c.request)-1:]), false)
			if name != "redis" {
				client.sometime(c.want + "re SET 9\n")
			}
			r.close()
		})
	}
}

// A lost request behind one that is being repeated keeps its own words, also when the deadline passes first.
func TestLostKeepsItsWords(t *testing.T) {
	r := newRig(t, options{failover: quick, protocol: web()})
	r.stations[0].app = silent
	c := r.client()
	put := "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	post := "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	c.says(getRequest+post+put, false)
	r.stations[0].has(put)
	r.stations[0].die(false)
	r.until("all are answered", func() bool { return strings.Count(string(c.got), "HTTP/1.1 ") == 3 })
	if n := strings.Count(string(c.got), "may have been carried out"); n != 3 {
		t.Errorf("the client got %q", c.got)
	}
	r.close()
}

// A transaction whose connection is lost is lost as a whole: what the client still sends of it reaches no server, and what comes
// behind it does.
func TestTransactionLost(t *testing.T) {
	for _, parts := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(parts), func(t *testing.T) {
			var did []string
			r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: redisLike()})
			for _, s := range r.stations {
				s.app = redisServer(&did)
			}
			c := r.client()
			requests := []string{"MULTI\r\n", "SET a 1\r\n", "SET b 2\r\n", "SET c 3\r\n", "EXEC\r\n", "SET d 4\r\n"}
			c.says(strings.Join(requests[:parts], ""), false)
			want := "+OK\r\n" + strings.Repeat("+QUEUED\r\n", parts-1)
			c.sometime(want)
			r.stations[0].die(true)
			r.w.RunFor(500 * time.Millisecond)
			if i := c.session.Info(); i.State != "open" {
				t.Errorf("the session is %s", i.State)
			}
			for _, request := range requests[parts:] {
				c.says(request[:3], false)
				r.w.RunFor(10 * time.Millisecond)
				c.says(request[3:], false)
				r.w.RunFor(10 * time.Millisecond)
			}
			const lost = "-ERR poolproxy: the transaction has lost its server\r\n"
			want += strings.Repeat(lost, 4-parts) + "-EXECABORT Transaction discarded: poolproxy: the transaction has lost its server\r\n+SET d 4\r\n"
			c.sometime(want)
			if got := fmt.Sprint(did); got != "[SET d 4]" || string(r.stations[1].server().got) != "SET d 4\r\n" {
				t.Errorf("the servers did %s; the second got %q", got, r.stations[1].server().got)
			}
			r.close()
		})
	}
}

// A transaction that may be repeated is repeated whole, and given up whole when it has brought down too many elements.
func TestTransactionPoison(t *testing.T) {
	r := newRig(t, options{elements: 4, priority: true, protocol: redisLike(), failover: with(quick, func(f *Failover) { f.Attempts = 3 })})
	for _, s := range r.stations[:3] {
		s.app = func(e *end) {
			if strings.Contains(string(e.got), "EXEC\r\n") {
				s.die(false)
			}
		}
	}
	var did []string
	r.stations[3].app = redisServer(&did)
	c := r.client()
	c.says("MULTI\r\nGET a\r\nEXEC\r\nGET b\r\n", false)
	r.w.RunFor(2 * time.Second)
	if got := string(c.got); strings.Count(got, "-ERR") != 3 || !strings.HasSuffix(got, "\r\n+GET b\r\n") || fmt.Sprint(did) != "[GET b]" {
		t.Errorf("the client got %q, the server did %q", got, did)
	}
	if !r.logged("poison", "elements 3") {
		t.Error("not logged")
	}
	r.close()
}

// A request that was given up because of the elements that it brought down reaches no other one, though none of them had read it.
func TestPoisonUnread(t *testing.T) {
	r := newRig(t, options{elements: 4, priority: true, protocol: lossy(t), failover: with(quick, func(f *Failover) { f.Attempts = 3 })})
	for _, s := range r.stations[:3] {
		s.room = 0
	}
	c := r.client()
	c.says("SET 1\nGET 2\n", false)
	for i, s := range r.stations[:3] {
		r.until(fmt.Sprint("at element ", i+1), func() bool {
			return s.server() != nil && c.session.leg != nil && c.session.leg.open && c.session.leg.sent == 12 && c.session.from == s.name
		})
		r.w.RunFor(10 * time.Millisecond)
		s.server().breaks()
		s.gone = true
	}
	c.sometime("ERR lost\nre GET 2\n")
	if got := string(r.stations[3].server().got); got != "GET 2\n" {
		t.Errorf("the last server got %q", got)
	}
	r.close()
}

// When no element is found in time, what waits is answered, and what the client has not finished of a transaction is lost with it.
func TestExpiredTransaction(t *testing.T) {
	var did []string
	r := newRig(t, options{failover: quick, protocol: redisLike()})
	s := r.stations[0]
	s.gone, s.app = true, redisServer(&did)
	c := r.client()
	c.says("MULTI\r\nSET a 1\r\n", false)
	r.until("it is answered", func() bool { return strings.Count(string(c.got), "\n") == 2 })
	s.gone = false
	r.w.RunFor(5 * time.Second)
	c.says("SET b 2\r\nEXEC\r\nSET c 3\r\n", false)
	r.until("all is answered", func() bool { return strings.Count(string(c.got), "\n") == 5 })
	if fmt.Sprint(did) != "[SET c 3]" || string(s.server().got) != "SET c 3\r\n" || !strings.HasSuffix(string(c.got), "\r\n+SET c 3\r\n") {
		t.Errorf("the server did %q and got %q, the client got %q", did, s.server().got, c.got)
	}
	r.close()
}

// A session that had nothing but lost requests in its memory reads on.
func TestReadsOnBehindLosses(t *testing.T) {
	for _, how := range []string{"died", "no element"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: lossy(t)})
			r.stations[0].app = silent
			if how == "no element" {
				r.stations[0].gone, r.stations[1].gone = true, true
			}
			c := r.client()
			n := 0
			for ; c.session.Room() > 0; n++ { // whole requests, until there is no room for another
				line := "SET 123456789\n"
				if room := c.session.Room(); room < 2*(len(line)+messageBytes) {
					line = "SET " + strings.Repeat("x", room-5-0) + "\n"
				}
				c.says(line, false)
				r.w.RunFor(time.Millisecond)
			}
			c.says("SET last\n", false)
			r.w.RunFor(time.Millisecond)
			if how == "died" {
				r.stations[0].die(false)
			} else {
				r.w.RunFor(4 * time.Second)
				r.stations[1].gone = false
			}
			r.until("all is answered", func() bool { return strings.HasSuffix(string(c.got), "re SET last\n") })
			if lost := strings.Count(string(c.got), "ERR lost\n"); lost != n || len(c.got) != 9*n+12 {
				t.Errorf("%d of %d are lost", lost, n)
			}
			r.close()
		})
	}
}

// The rest of a lost transaction may be longer than the memory of the session.
func TestLongRestOfLostTransaction(t *testing.T) {
	for name, big := range map[string]int{"many requests": 200, "one that is too large": 40_000} {
		t.Run(name, func(t *testing.T) {
			var did []string
			r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: redisLike()})
			for _, s := range r.stations {
				s.app = redisServer(&did)
			}
			c := r.client()
			c.says("MULTI\r\n", false)
			c.sometime("+OK\r\n")
			r.stations[0].die(true)
			r.w.RunFor(500 * time.Millisecond)
			for range 200 {
				if c.reset || c.finished {
					break
				}
				c.says(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n%s\r\n", big, strings.Repeat("v", big)), false)
				r.w.RunFor(10 * time.Millisecond)
			}
			if big > 16<<10 { // it is told so
				r.until("it ends", func() bool { return c.closed || c.reset })
				if !r.logged("session ended", "larger than retrieval.memory") {
					t.Error("not logged")
				}
			} else {
				c.says("EXEC\r\nSET d 4\r\n", false)
				r.until("all is answered", func() bool { return strings.HasSuffix(string(c.got), "+SET d 4\r\n") })
				if n := strings.Count(string(c.got), "-ERR"); n != 200 || fmt.Sprint(did) != "[SET d 4]" {
					t.Errorf("%d lost; the servers did %.200q", n, did)
				}
			}
			r.close()
		})
	}
}

// A client that leaves its transaction in the middle of a request and ends.
func TestEndWithinLostTransaction(t *testing.T) {
	for name, early := range map[string]bool{"before the loss": true, "behind it": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: lossy(t)})
			r.stations[0].app = silent
			c := r.client()
			c.says("BEGIN\nSET 1\nSET 2", early)
			r.stations[0].has("SET 2")
			r.stations[0].die(false)
			r.until("another", func() bool { return r.stations[1].server() != nil })
			r.w.RunFor(time.Second)
			if !early {
				c.says(" and more", true)
			}
			r.until("the end has come", func() bool { return r.stations[1].server().finished })
			if got := string(r.stations[1].server().got); got != "" {
				t.Errorf("a server got %q of the transaction", got)
			}
			r.stations[1].server().says("", true)
			r.until("it is closed", func() bool { return c.closed })
			if string(c.got) != "ERR lost\nERR lost\n" {
				t.Errorf("the client got %q", c.got)
			}
			r.close()
		})
	}
}

// A request whose reply the client has in part has no words left: the session ends.
func TestLostInTheMiddle(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: lossy(t)})
	r.stations[0].app = silent
	c := r.client()
	c.says("SET 1\n", false)
	r.stations[0].has("SET 1\n").says("re S", false)
	c.sometime("re S")
	r.stations[0].die(false)
	r.until("it is decided", func() bool { return c.reset })
	if string(c.got) != "re S" || r.stations[1].server() != nil {
		t.Errorf("the client got %q", c.got)
	}
	r.close()
}

// An idle session outlives any outage, and nobody is told of requests that there are not.
func TestIdleWhileNoElement(t *testing.T) {
	r := newRig(t, options{failover: quick, protocol: lossy(t)})
	s := r.stations[0]
	c := r.client()
	c.says("GET 1\n", false)
	c.sometime("re GET 1\n")
	s.die(true)
	r.w.RunFor(time.Minute)
	if c.reset || c.finished || r.logged("answered by an error") {
		t.Errorf("reset %v, finished %v", c.reset, c.finished)
	}
	s.gone = false
	c.says("GET 2\n", false)
	c.sometime("re GET 1\nre GET 2\n")
	r.only(KindMoved)
	if len(r.records) != 1 || r.records[0].Connect < time.Minute {
		t.Errorf("records %+v", r.records)
	}
	r.close()
}

// What was answered at the deadline is in a record, and is not sent when an element comes.
func TestAnsweredAtTheDeadline(t *testing.T) {
	r := newRig(t, options{failover: quick, protocol: lossy(t)})
	s := r.stations[0]
	s.gone = true
	c := r.client()
	c.says("SET 1\nGET 2\nTELL 3\n", false)
	c.sometime("ERR lost\nERR lost\n")
	if len(r.records) != 1 || r.records[0].Kind != KindAnswered || r.records[0].Lost != 2 {
		t.Errorf("records %+v", r.records)
	}
	s.gone = false
	c.says("SET 4\n", false)
	c.sometime("ERR lost\nERR lost\nre SET 4\n")
	if got := string(s.server().got); got != "TELL 3\nSET 4\n" {
		t.Errorf("the server got %q", got)
	}
	r.close()
}

// Behind the answers at the deadline a client that has finished is closed.
func TestEndedAtTheDeadline(t *testing.T) {
	r := newRig(t, options{failover: quick, protocol: lossy(t)})
	r.stations[0].gone = true
	c := r.client()
	c.says("SET 1\n", true)
	r.until("it is closed", func() bool { return c.closed })
	if string(c.got) != "ERR lost\n" {
		t.Errorf("the client got %q", c.got)
	}
	r.close()
}
