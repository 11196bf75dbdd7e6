package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

// testTable is as much of a table of commands as the tables below need.
var testTable = &RedisCommands{flags: map[string]redisFlags{
	"get": {safe: true}, "set": {}, "lrange": {safe: true}, "blpop": {blocks: true}, "xread": {safe: true, blocks: true}, "xreadgroup": {blocks: true},
	"config": {divided: true}, "config|get": {}, "xinfo": {divided: true}, "xinfo|stream": {safe: true}, "ping": {safe: true},
}}

func testRedis() Protocol {
	return NewRedis(RedisConfig{Safe: testTable.Safe, Divided: testTable.Divided, Blocks: testTable.Blocks})
}

// command is words as an array.
func command(words ...string) string {
	var b [][]byte
	for _, w := range words {
		b = append(b, []byte(w))
	}
	return string(redisEncode(b...))
}

// commands is lines of words as arrays.
func commands(lines ...string) string {
	var out string
	for _, line := range lines {
		out += command(strings.Fields(line)...)
	}
	return out
}

func TestRedisRequests(t *testing.T) {
	big := strings.Repeat("v", 100_000)
	for _, c := range []struct {
		name, input string
		want        []string // notes, of messages one after another
		rest        int
		err         error
	}{
		{name: "arrays", input: commands("GET a", "set a b", "gEt a", "FLUSHALL"),
			want: []string{"safe one GET", "unsafe one SET", "safe one GET", "unsafe one FLUSHALL"}},
		{name: "inline", input: "PING\r\nget \"a b\"\n  set 'x' y \r\n\r\n \n",
			want: []string{"safe one PING", "safe one GET", "unsafe one SET", "safe none empty command", "safe none empty command"}},
		{name: "no arguments", input: "*0\r\n*-1\r\n" + command("PING"),
			want: []string{"safe none empty command", "safe none empty command", "safe one PING"}},
		{name: "large argument", input: command("SET", "k", big) + command("GET", big) + command(big),
			want: []string{"unsafe one SET", "safe one GET", "unsafe one unknown command"}},
		{name: "subcommands", input: commands("XINFO STREAM s", "xinfo groups s", "CONFIG GET x", "GET stream"),
			want: []string{"safe one XINFO stream", "unsafe one XINFO", "unsafe one CONFIG get", "safe one GET"}},
		{name: "a name that may be a secret", input: command("pass word") + command("") + command("p\xff"),
			want: []string{"unsafe one unknown command", "unsafe one unknown command", "unsafe one unknown command"}},
		{name: "state", input: commands("AUTH a b", "SELECT 3", "HELLO 3 AUTH a b", "CLIENT SETNAME x", "SUBSCRIBE a b", "MONITOR"),
			want: []string{"safe one AUTH", "safe one SELECT", "safe one HELLO", "safe one CLIENT setname", "safe one SUBSCRIBE", "safe one MONITOR"}},
		{name: "transaction", input: commands("WATCH k", "GET k", "MULTI", "GET k", "SELECT 1", "EXEC", "GET k", "MULTI", "DISCARD"),
			want: []string{"unsafe one WATCH", "safe one GET", "unsafe one MULTI", "unsafe one GET in MULTI", "unsafe one SELECT in MULTI", "unsafe one EXEC",
				"safe one GET", "unsafe one MULTI", "unsafe one DISCARD"}},
		{name: "reply off", input: commands("CLIENT REPLY OFF", "GET a", "CLIENT REPLY SKIP", "CLIENT REPLY ON", "GET a"),
			want: []string{"safe none CLIENT reply", "safe none GET", "safe none CLIENT reply", "safe one CLIENT reply", "safe one GET"}},
		{name: "reply skip", input: commands("CLIENT REPLY SKIP", "GET a", "GET b", "CLIENT REPLY SKIP") + "*0\r\n" + commands("GET c"),
			want: []string{"unsafe none CLIENT reply", "unsafe none GET", "safe one GET", "unsafe none CLIENT reply", "safe none empty command", "safe one GET"}},
		{name: "goodbye", input: commands("QUIT", "GET a"), want: []string{"safe one QUIT close", "safe one GET"}},
		{name: "replication", input: commands("GET a", "PSYNC ? -1") + "what follows", want: []string{"safe one GET"}, rest: 42},
		{name: "reset ends all", input: commands("MULTI", "RESET", "GET a", "CLIENT REPLY OFF", "RESET", "GET a"),
			want: []string{"unsafe one MULTI", "safe one RESET", "safe one GET", "safe none CLIENT reply", "safe one RESET", "safe one GET"}},
		{name: "unfinished", input: command("GET", "a")[:17], rest: 17},
		{name: "http", input: "POST / HTTP/1.1\r\n", err: ErrMalformed},
		{name: "zero byte", input: "GET a\x00b\r\n", err: ErrMalformed},
		{name: "quotes", input: "GET \"a\r\n", err: ErrMalformed},
		{name: "quotes, then no space", input: "GET 'a'b\r\n", err: ErrMalformed},
		{name: "long inline", input: big + "\r\n", err: ErrMalformed},
		{name: "no $", input: "*1\r\n:3\r\n", err: ErrMalformed},
		{name: "negative length", input: "*1\r\n$-1\r\n", err: ErrMalformed},
		{name: "leading zero", input: "*1\r\n$03\r\nGET\r\n", err: ErrMalformed},
		{name: "plus", input: "*+1\r\n$3\r\nGET\r\n", err: ErrMalformed},
		{name: "count too large", input: "*2147483648\r\n", err: ErrMalformed},
		{name: "length too large", input: "*1\r\n$99999999999999999\r\n", err: ErrMalformed},
		{name: "endless length", input: "*1\r\n$" + strings.Repeat("1", 100), err: ErrMalformed},
		{name: "argument longer than it says", input: "*1\r\n$3\r\nGETX\r\n", err: ErrMalformed},
		{name: "subscribe inside multi", input: commands("MULTI", "SUBSCRIBE a"), want: []string{"unsafe one MULTI"}, err: ErrMalformed},
		{name: "reply off inside multi", input: commands("MULTI", "CLIENT REPLY OFF"), want: []string{"unsafe one MULTI"}, err: ErrMalformed},
		{name: "subscribe without replies", input: commands("CLIENT REPLY SKIP", "SUBSCRIBE a"), want: []string{"unsafe none CLIENT reply"}, err: ErrMalformed},
		{name: "replies off with subscriptions", input: commands("SUBSCRIBE a", "CLIENT REPLY OFF"), want: []string{"safe one SUBSCRIBE"}, err: ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := prototest.Same(t, requestsParser(testRedis()), []byte(c.input))
			var notes []string
			for _, m := range got.Messages {
				notes = append(notes, m.Note)
			}
			if fmt.Sprintf("%q", notes) != fmt.Sprintf("%q", c.want) || !errors.Is(got.Err, c.err) || c.err == nil && got.Rest != c.rest {
				t.Fatalf("\n%q, rest %d, error %v; want\n%q, rest %d, error %v", notes, got.Rest, got.Err, c.want, c.rest, c.err)
			}
		})
	}
}

// What may wait, by its flag: XREAD and XREADGROUP only with the word BLOCK.
func TestRedisBlocks(t *testing.T) {
	long := strings.Repeat("k", redisMaxWords)
	for input, want := range map[string]bool{
		commands("BLPOP a 0"):                                            true,
		commands("GET a"):                                                false,
		commands("XREAD STREAMS s 0"):                                    false,
		commands("XREAD COUNT 2 STREAMS s 0"):                            false,
		commands("XREAD BLOCK 0 STREAMS s $"):                            true,
		commands("xread count 2 block 0 streams s $"):                    true,
		"XREAD Block 0 STREAMS s $\r\n":                                  true,
		"XREAD STREAMS s $\r\n":                                          false,
		commands("XREADGROUP GROUP g c STREAMS s >"):                     false,
		commands("XREADGROUP GROUP streams c BLOCK 5 NOACK STREAMS s >"): true,
		command("XREAD", "STREAMS", long, "0"):                           true, // not all of it was kept
	} {
		requests := requestsOf(t, testRedis(), input)
		if len(requests) != 1 || redisDetailOf(requests[0]).Blocks() != want {
			t.Errorf("%.60q: %d requests; want blocks %v", input, len(requests), want)
		}
	}
	for _, req := range requestsOf(t, testRedis(), commands("MULTI", "XREAD BLOCK 0 STREAMS s $", "BLPOP a 0", "EXEC")) {
		if redisDetailOf(req).Blocks() {
			t.Errorf("%s blocks", req.Label)
		}
	}
}

// requestsOf parses whole commands.
func requestsOf(t testing.TB, p Protocol, input string) []*Request {
	t.Helper()
	r := p.Requests()
	var out []*Request
	for rest := []byte(input); len(rest) > 0; {
		cut, req, err := r.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		if rest = rest[cut.N:]; cut.End {
			out = append(out, req)
		}
	}
	return out
}

// redisRepliesParser makes prototest parsers of replies to the commands; replies that answer nothing are marked.
func redisRepliesParser(t testing.TB, input string) func() prototest.Parser {
	return func() prototest.Parser {
		due := requestsOf(t, testRedis(), input)
		replies := testRedis().Replies()
		var held []byte
		return func(piece []byte) (prototest.Step, error) {
			var req *Request
			for len(due) > 0 && due[0].Expect == ExpectNone {
				due = due[1:]
			}
			if len(due) > 0 {
				req = due[0]
			}
			cut, err := replies.Next(req, piece)
			if err != nil {
				return prototest.Step{}, err
			}
			held = append(held, piece[:cut.N]...)
			step := prototest.Step{N: cut.N, End: cut.End}
			if cut.Hold {
				if len(held) > maxHeld || cut.End {
					return step, fmt.Errorf("broken promise: %d bytes held, end %v", len(held), cut.End)
				}
				return step, nil
			}
			step.Out, held = held, nil
			switch {
			case !cut.End:
			case cut.Push:
				step.Note = "push"
			case req == nil:
				step.Note = "unasked"
			default:
				due = due[1:]
				step.Note = req.Label
				if outcome := redisDetailOf(req).outcome; outcome != OutcomeUnknown {
					step.Note += fmt.Sprintf(" %d", outcome)
				}
			}
			return step, nil
		}
	}
}

func TestRedisReplies(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	bulk := func(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }
	confirm := func(head, kind, channel string, n int) string {
		return fmt.Sprintf("%s3\r\n%s%s:%d\r\n", head, bulk(kind), bulk(channel), n)
	}
	message := "*3\r\n" + bulk("message") + bulk("a") + bulk("hi")
	push := ">" + message[1:]
	const hello3 = "%1\r\n$5\r\nproto\r\n:3\r\n"
	line := "+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n"
	for _, c := range []struct {
		name, requests string
		replies        []string
		want           []string // for each of replies: the note of the message that ends with it, "" if none does
		err            error
	}{
		{"simple types", commands("get", "get", "get", "get", "get", "get", "get", "get", "get"),
			[]string{"+OK\r\n", "-ERR no\r\n", ":-12\r\n", bulk("a\r\nb"), "$-1\r\n", "*-1\r\n", "$0\r\n\r\n", "*0\r\n", "+a\rb\nc\r\r\n"},
			[]string{"GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET"}, nil},
		{"types of RESP3", commands("get", "get", "get", "get", "get", "get", "get", "get", "get"),
			[]string{"_\r\n", "#t\r\n", ",1.5e3\r\n", "(" + strings.Repeat("9", 2000) + "\r\n", "!5\r\nERR x\r\n", "=7\r\ntxt:abc\r\n",
				"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n", "~2\r\n#t\r\n#f\r\n", "%0\r\n"},
			[]string{"GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET"}, nil},
		{"nested", commands("get", "get"), []string{"*2\r\n*2\r\n*0\r\n" + bulk("a") + "*1\r\n*1\r\n:1\r\n", ":1\r\n"}, []string{"GET", "GET"}, nil},
		{"attributes", commands("get", "get", "get"), []string{"|1\r\n+ttl\r\n:3600\r\n" + bulk("a"), "*2\r\n|1\r\n+a\r\n:1\r\n:7\r\n|0\r\n:8\r\n", ":1\r\n"},
			[]string{"GET", "GET", "GET"}, nil},
		{"streamed", commands("get", "get", "get"), []string{"$?\r\n;4\r\nab\r\n\r\n;1\r\nc\r\n;0\r\n", "*?\r\n:1\r\n*?\r\n.\r\n.\r\n", ":1\r\n"},
			[]string{"GET", "GET", "GET"}, nil},
		{"large", commands("get", "get"), []string{bulk(big), "*2\r\n" + bulk(big) + bulk(big)}, []string{"GET", "GET"}, nil},
		{"transaction", commands("multi", "get", "set", "exec", "multi", "exec", "multi", "exec"),
			[]string{"+OK\r\n", "+QUEUED\r\n", "-ERR x\r\n", "-EXECABORT x\r\n", "+OK\r\n", "*-1\r\n", "+OK\r\n", "*0\r\n"},
			[]string{"MULTI 1", "GET in MULTI 3", "SET in MULTI 2", "EXEC 2", "MULTI 1", "EXEC 4", "MULTI 1", "EXEC 1"}, nil},
		{"subscribe, RESP2", commands("subscribe a b", "ping", "unsubscribe", "get"),
			[]string{confirm("*", "subscribe", "a", 1), confirm("*", "subscribe", "b", 2), message, "*2\r\n$4\r\npong\r\n$0\r\n\r\n", message,
				confirm("*", "unsubscribe", "b", 1), confirm("*", "unsubscribe", "a", 0), message},
			[]string{"", "SUBSCRIBE 1", "push", "PING", "push", "", "UNSUBSCRIBE 1", "GET"}, nil},
		{"subscribe, RESP3", commands("hello 3", "subscribe a b", "lrange", "unsubscribe", "unsubscribe", "get"),
			[]string{hello3, push, confirm(">", "subscribe", "a", 1), push, confirm(">", "subscribe", "b", 2), message, push,
				confirm(">", "unsubscribe", "b", 1), confirm(">", "unsubscribe", "a", 0), ">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n", ":1\r\n"},
			[]string{"HELLO 1", "push", "", "push", "SUBSCRIBE 1", "LRANGE", "push", "", "UNSUBSCRIBE 1", "UNSUBSCRIBE 1", "GET"}, nil},
		{"patterns and channels", commands("subscribe a", "psubscribe p q", "unsubscribe", "punsubscribe"),
			[]string{confirm("*", "subscribe", "a", 1), confirm("*", "psubscribe", "p", 2), confirm("*", "psubscribe", "q", 3),
				confirm("*", "unsubscribe", "a", 2), confirm("*", "punsubscribe", "p", 1), confirm("*", "punsubscribe", "q", 0)},
			[]string{"SUBSCRIBE 1", "", "PSUBSCRIBE 1", "UNSUBSCRIBE 1", "", "PUNSUBSCRIBE 1"}, nil},
		{"subscribe refused", commands("subscribe a b", "get"), []string{"-NOPERM x\r\n", ":1\r\n"}, []string{"SUBSCRIBE 2", "GET"}, nil},
		{"invalidations", commands("get"), []string{">2\r\n" + bulk("invalidate") + "*1\r\n" + bulk("k"), ":1\r\n", ">2\r\n" + bulk("invalidate") + "_\r\n"},
			[]string{"push", "GET", "push"}, nil},
		{"large push", commands("get"), []string{">3\r\n" + bulk("message") + bulk("a") + bulk(big), ":1\r\n"}, []string{"push", "GET"}, nil},
		{"monitor", commands("monitor", "ping", "get", "reset", "get"), []string{"+OK\r\n", line, "+PONG\r\n", line, "-ERR x\r\n", "+RESET\r\n", line},
			[]string{"MONITOR 1", "push", "PING", "push", "GET", "RESET 1", "GET"}, nil},
		{"early goodbye", "", []string{"-ERR max number of clients reached\r\n"}, []string{"unasked"}, nil},
		{"no type", commands("get"), []string{"HTTP/1.1"}, []string{""}, ErrMalformed},
		{"end of string", commands("get"), []string{"$1\r\nabc"}, []string{""}, ErrMalformed},
		{"length", commands("get"), []string{"$-2\r\n"}, []string{""}, ErrMalformed},
		{"count", commands("get"), []string{"*9999999999\r\n"}, []string{""}, ErrMalformed},
		{"depth", commands("get"), []string{strings.Repeat("*1\r\n", 100)}, []string{""}, ErrMalformed},
		{"push inside", commands("get"), []string{"*1\r\n>1\r\n:1\r\n"}, []string{""}, ErrMalformed},
		{"chunks", commands("get"), []string{"$?\r\n:1\r\n"}, []string{""}, ErrMalformed},
		{"end mark behind an attribute", commands("get"), []string{"*?\r\n|1\r\n:1\r\n:2\r\n.\r\n"}, []string{""}, ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []prototest.Message
			size := 0
			for i, r := range c.replies {
				// A confirmation is a part of its reply, and a push may come between two: then the two count as one message here.
				if size += len(r); c.want[i] != "" {
					want = append(want, prototest.Message{Bytes: size, Note: c.want[i]})
					size = 0
				}
			}
			all := strings.Join(c.replies, "")
			result := prototest.Result{Messages: want, Rest: size, Out: all, Err: c.err}
			if c.err != nil {
				if got := prototest.Same(t, redisRepliesParser(t, c.requests), []byte(all)); !errors.Is(got.Err, c.err) {
					t.Fatalf("error %v, want %v", got.Err, c.err)
				}
				return
			}
			prototest.Pieces(t, redisRepliesParser(t, c.requests), []byte(all), result)
		})
	}
}
