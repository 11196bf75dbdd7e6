package protocol

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
	"github.com/poolproxy/poolproxy/freeze/freezetest"
)

// frozenProtocols are all protocols, in settings that use what there is.
func frozenProtocols(t testing.TB) []Protocol {
	re := regexp.MustCompile
	line, err := NewLine(LineConfig{Delimiter: []byte("\r\n"), Reply: ReplyUntil, Until: re("^\\."), Safe: []*regexp.Regexp{re("^GET")},
		States: []StateRule{{Name: "login", Match: re("^LOGIN (?P<user>.*)"), Expect: re("^OK"), All: true}}, Begin: re("^BEGIN"), End: re("^END"),
		Quit: []*regexp.Regexp{re("^QUIT")}, OneWay: []*regexp.Regexp{re("^TELL")}, Greeting: re("^hello"), MaxLine: 100})
	if err != nil {
		t.Fatal(err)
	}
	length, err := NewLength(LengthConfig{Offset: 1, Width: 2, Safe: []Pattern{{Offset: 0, Bytes: []byte("G")}}, MaxMessage: 200,
		States: []StateRule{{Name: "login", Match: re("^L"), Expect: re("^O")}}, Sync: []*regexp.Regexp{re("^S")}})
	if err != nil {
		t.Fatal(err)
	}
	one, err := NewLine(LineConfig{Reply: ReplyNone})
	if err != nil {
		t.Fatal(err)
	}
	return []Protocol{NewStream(StreamConfig{}), line, length, NewHTTP(HTTPConfig{}), testRedis(), one}
}

// spoken is what clients and servers of these say.
var spoken = [][2]string{
	{"abc", "def"},
	{"LOGIN me\r\nGET 1\r\nBEGIN\r\nSET 2\r\nEND\r\nTELL 3\r\nQUIT\r\n", "hello\r\nOK\r\n.\r\none\r\ntwo\r\n.\r\n"},
	{"G\x00\x03abcL\x00\x01xS\x00\x05hello", "O\x00\x03abcO\x00\x01xO\x00\x05hello"},
	{"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nETag: \"v\"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end"},
	{"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\nabc\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nEXEC\r\nPING x\r\n",
		"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\nabc\r\n|1\r\n+a\r\n+b\r\n*2\r\n%1\r\n+a\r\n$?\r\n;3\r\nabc\r\n;0\r\n(123\r\n+OK\r\n"},
	{"a\nb\nc", "d\ne\nf"},
}

// conversation is a parser of each kind, with the request between them.
type conversation struct {
	p        Protocol
	requests Requests
	replies  Replies
	joiner   Joiner
	req      *Request
	partial  Delivered
}

func (x *conversation) freeze(c *freeze.Coder) {
	FreezeRequests(c, x.p, &x.requests)
	FreezeRequest(c, &x.req)
	FreezeReplies(c, x.p, &x.replies)
	FreezeJoiner(c, x.p, &x.joiner)
	FreezeDelivered(c, &x.partial)
}

// reach has a conversation come as far as the first bytes of what is said.
func reach(p Protocol, asked, answered string) *conversation {
	x := &conversation{p: p, requests: p.Requests(), replies: p.Replies()}
	for in := []byte(asked); len(in) > 0; {
		cut, req, err := x.requests.Next(in)
		if err != nil {
			break
		}
		if x.req == nil {
			x.req = req
		}
		in = in[cut.N:]
	}
	for in := []byte(answered); len(in) > 0; {
		cut, err := x.replies.Next(x.req, in)
		if err != nil {
			break
		}
		in = in[cut.N:]
		x.partial = x.replies.Delivered()
	}
	if _, j, err := p.Join(x.req, nil, x.partial); err == nil {
		x.joiner = j
		if in := []byte(answered); len(in) > 0 {
			_, _, _, _ = j.Next(in[:(len(in)+1)/2])
		}
	}
	return x
}

// goOn gives the thawed parsers something.
func (x *conversation) goOn(t *testing.T, in []byte) {
	for rest := in; len(rest) > 0; {
		cut, _, err := x.requests.Next(rest)
		if err != nil {
			break
		}
		mustMove(t, cut.N, len(rest))
		rest = rest[cut.N:]
	}
	for rest := in; len(rest) > 0 && x.replies != nil; {
		cut, err := x.replies.Next(x.req, rest)
		if err != nil {
			break
		}
		mustMove(t, cut.N, len(rest))
		_ = x.replies.Delivered()
		rest = rest[cut.N:]
	}
	for rest := in; len(rest) > 0 && x.joiner != nil; {
		n, _, end, err := x.joiner.Next(rest)
		if err != nil || end {
			break
		}
		mustMove(t, n, len(rest))
		_ = x.joiner.Delivered()
		rest = rest[n:]
	}
	if again, j, err := x.p.Join(x.req, nil, x.partial); err == nil && again == nil && len(in) > 0 {
		_, _, _, _ = j.Next(in)
	}
}

func mustMove(t *testing.T, n, most int) {
	if n < 1 || n > most {
		t.Fatalf("%d of %d bytes", n, most)
	}
}

func thawConversation(t *testing.T, p Protocol, state, in []byte) (taken bool) {
	x := &conversation{p: p}
	c := freeze.Thawing(state, time.Unix(1000, 0))
	x.freeze(c)
	if err := c.End(); err != nil {
		if !errors.Is(err, freeze.Err) {
			t.Fatal(err)
		}
		return false
	}
	x.goOn(t, in)
	return true
}

// What was frozen at any byte of a conversation goes on as it would have; what was changed in it does something, but nothing bad.
func TestThawParsers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	taken, tried := 0, 0
	for i, p := range frozenProtocols(t) {
		for at := range max(len(spoken[i][0]), len(spoken[i][1])) {
			x := reach(p, spoken[i][0][:min(at, len(spoken[i][0]))], spoken[i][1][:min(at, len(spoken[i][1]))])
			c := freeze.Freezing(nil, time.Unix(1000, 0))
			if x.freeze(c); c.Err() != nil {
				t.Fatal(c.Err())
			}
			rest := []byte(spoken[i][rnd.IntN(2)])
			if !thawConversation(t, p, c.Frozen(), rest) {
				t.Fatalf("%s at %d", p.Name(), at)
			}
			for range 60 {
				q := append([]byte{}, c.Frozen()...)
				for range 1 + rnd.IntN(3) {
					q[rnd.IntN(len(q))] ^= 1 << rnd.IntN(8)
				}
				if tried++; thawConversation(t, p, q, rest) {
					taken++
				}
			}
		}
	}
	t.Logf("%d of %d were taken", taken, tried)
}

func FuzzThaw(f *testing.F) {
	for i, p := range frozenProtocols(f) {
		for at := 0; at < len(spoken[i][1]); at += 7 {
			c := freeze.Freezing(nil, time.Unix(1000, 0))
			reach(p, spoken[i][0][:min(at, len(spoken[i][0]))], spoken[i][1][:at]).freeze(c)
			f.Add(uint8(i), c.Frozen(), []byte(spoken[i][1]))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, state, in []byte) {
		all := frozenProtocols(t)
		thawConversation(t, all[int(which)%len(all)], state, in)
	})
}

// Another configuration may not be able to go on: then it says so.
func TestThawOtherSettings(t *testing.T) {
	long, err := NewLine(LineConfig{Delimiter: []byte("--end--")})
	if err != nil {
		t.Fatal(err)
	}
	short, err := NewLine(LineConfig{Delimiter: []byte("\n"), MaxLine: 10, Safe: []*regexp.Regexp{regexp.MustCompile("x")}})
	if err != nil {
		t.Fatal(err)
	}
	c := freeze.Freezing(nil, time.Unix(1000, 0))
	reach(long, strings.Repeat("a", 50), "").freeze(c)
	x := &conversation{p: short}
	w := freeze.Thawing(c.Frozen(), time.Unix(1000, 0))
	x.freeze(w)
	if err := w.End(); !errors.Is(err, freeze.Err) || !strings.Contains(fmt.Sprint(err), "line") {
		t.Errorf("an unfinished line with another delimiter: %v", err)
	}
}

// notFrozen are the fields that do not leave their process, with the reason.
var notFrozen = map[string]string{
	"streamReplies.noJoin": "a setting", "lineRequests.line": "the protocol", "lineReplies.line": "the protocol", "lineScanner.delimiter": "a setting", "lineScanner.most": "a setting",
	"lengthSplitter.length": "the protocol", "lengthSplitter.look": "a setting", "stateRules.rules": "a setting", "httpHead.max": "a setting", "httpHead.strict": "a setting",
	"httpHead.emptyFirst": "a setting", "httpHead.line": "found anew", "httpHead.start": "found anew", "httpHead.lf": "found anew", "httpHead.crlf": "found anew",
	"httpRequests.label": "saves an allocation", "httpJoiner.own": "within a call", "httpRepeat.own": "within a call", "prefixJoiner.own": "within a call", "redisJoiner.own": "within a call",
	"redisRequests.redis": "the protocol", "redisRequests.last": "saves an allocation", "redisRequests.command": "within a call", "redisReplies.plain": "answers",
}

// A field that somebody adds is frozen, or it is said why it is not.
func TestEveryFieldIsFrozen(t *testing.T) {
	names, err := filepath.Glob("freeze*.go")
	if err != nil {
		t.Fatal(err)
	}
	freezetest.Fields(t, names, notFrozen,
		Request{}, Unit{}, StateChange{}, Delivered{}, Checkpoints{}, Prefix{}, History{}, Verifier{}, prefixJoiner{}, Continuation{},
		streamRequests{}, streamReplies{}, textDetail{}, stateRules{}, lineRequests{}, lineReplies{}, lineScanner{}, lengthRequests{}, lengthReplies{}, lengthSplitter{},
		httpRequest{}, httpRequests{}, httpReplies{}, httpHead{}, httpBody{}, httpReply{}, httpDecoded{}, httpFramer{}, httpDelivered{}, httpRepeat{}, httpJoiner{},
		redisDetail{}, redisRequests{}, redisConnection{}, redisWords{}, redisLine{}, redisReplies{}, redisValue{}, redisFrame{}, redisJoiner{})
}
