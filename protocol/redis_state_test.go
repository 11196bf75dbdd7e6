package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// What a command changes in the state of its connection.
func TestRedisState(t *testing.T) {
	long := strings.Repeat("c", 70_000)
	for _, c := range []struct {
		input string
		want  string // of the last request: key, void, send, tell, never
	}{
		{commands("GET a"), ""},
		{commands("AUTH secret"), "[auth]"},
		{commands("select 3"), "[select]"},
		{commands("HELLO"), ""},
		{commands("HELLO 3"), "[hello 2]"},
		{commands("HELLO 3 AUTH u secret"), "[hello 5]"},
		{commands("READONLY"), "[readonly]"},
		{commands("READWRITE"), "[readonly void]"},
		{commands("MONITOR"), "[monitor]"},
		{commands("CLIENT SETNAME x"), "[client setname]"},
		{commands("CLIENT SETINFO LIB-NAME x"), "[client setinfo lib-name]"},
		{commands("CLIENT ID"), ""},
		{commands("CLIENT REPLY OFF"), "[client reply]"},
		{commands("CLIENT REPLY ON"), "[client reply void]"},
		{commands("CLIENT REPLY SKIP"), ""},
		{commands("CLIENT TRACKING OFF"), "[client tracking void]"},
		{"subscribe \"a b\" c\r\n", `[subscribe "a b" send] [subscribe "c" send]`},
		{commands("PUNSUBSCRIBE p"), `[psubscribe "p" void]`},
		{commands("SUNSUBSCRIBE"), `[ssubscribe void]`},
		{command("SUBSCRIBE", long), "[subscribe more never]"},
		{commands("RESET"), "[ void]"},
		{commands("MULTI", "SELECT 1"), ""},
		{commands("MULTI", "SELECT 1", "CLIENT SETNAME x", "EXEC"), "[select send] [client setname send]"},
		{commands("MULTI", "AUTH secret", "EXEC"), "[auth never]"},
		{commands("MULTI", "SELECT 1", "DISCARD"), ""},
	} {
		requests := requestsOf(t, testRedis(), c.input)
		var got []string
		for _, s := range redisDetailOf(requests[len(requests)-1]).Changes() {
			text := "[" + s.Key
			for word, set := range map[string]bool{" void": s.Void, " send": s.Send != nil, " tell": s.Tell != nil, " never": s.Never != ""} {
				if set {
					text += word
				}
			}
			got = append(got, text+"]")
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%.60q: %s, want %s", c.input, text, c.want)
		}
	}
}

func TestRedisStateSend(t *testing.T) {
	requests := requestsOf(t, testRedis(), "psubscribe \"a b\" c\r\nclient tracking on bcast\r\nclient tracking on redirect 7\r\n")
	changes := redisDetailOf(requests[0]).Changes()
	if got := string(changes[0].Send); got != "*2\r\n$10\r\npsubscribe\r\n$3\r\na b\r\n" {
		t.Errorf("send %q", got)
	}
	tracking, redirect := redisDetailOf(requests[1]).Changes()[0], redisDetailOf(requests[2]).Changes()[0]
	if string(tracking.Tell) != redisInvalidateAll || tracking.Never != "" || redirect.Never == "" || tracking.Key == redirect.Key {
		t.Errorf("tracking %+v, with redirect %+v", tracking, redirect)
	}
	if !strings.HasPrefix(tracking.Key, "client tracking ") {
		t.Errorf("CLIENT TRACKING OFF would not void %q", tracking.Key)
	}
}

func TestRedisUnits(t *testing.T) {
	requests := requestsOf(t, testRedis(), commands(
		"GET k", "WATCH k", "GET k", "WATCH l", "MULTI", "GET k", "EXEC", // 0-6: watched
		"MULTI", "GET k", "WATCH x", "EXEC", // 7-10
		"MULTI", "SET k v", "DISCARD", // 11-13
		"WATCH k", "UNWATCH", "UNWATCH", // 14-16
		"EXEC", "WATCH k", "EXEC", "MULTI x", "MULTI", "MULTI", "EXEC x", "EXEC", // 17-24: 17 stands alone
		"CLIENT CACHING yes", "GET k", "GET k", "ASKING", "ASKING", "SET k v", "CLIENT CACHING no", "MULTI", "GET k", "EXEC", // 25-34
		"CLIENT CACHING yes", "SELECT 1", "CLIENT CACHING yes", "RESET", "WATCH k", "ASKING", "GET k", "UNWATCH")) // 35-42
	type unit struct {
		members             string
		repeatable, watched bool
	}
	units := map[*Unit]*unit{}
	var order []*Unit
	for i, req := range requests {
		u := redisDetailOf(req).Unit()
		if u == nil {
			continue
		}
		if units[u] == nil {
			units[u] = &unit{repeatable: u.Repeatable(), watched: u.Watched}
			order = append(order, u)
		}
		units[u].members += fmt.Sprintf(" %d", i)
		if req.Safe && i != 38 { // RESET, which ends whatever there is
			t.Errorf("request %d is part of a unit and safe", i)
		}
	}
	want := []unit{{" 1 3 4 5 6", false, true}, {" 7 8 9 10", true, false}, {" 11 12 13", false, false}, {" 14 15", false, true},
		{" 18 19 20 21 22 23 24", false, true}, {" 25 26", true, false}, {" 28 29 30", false, false}, {" 31 32 33 34", true, false},
		{" 35 36", true, false}, {" 37 38", true, false}, {" 39 42", false, true}}
	for i, u := range order {
		if i >= len(want) || *units[u] != want[i] || !u.Ended || u.Members != len(strings.Fields(units[u].members)) {
			t.Errorf("unit %d: %+v, %+v", i, *u, *units[u])
		}
	}
	if len(order) != len(want) {
		t.Errorf("%d units, want %d", len(order), len(want))
	}
}

// An error takes the place of one reply; nothing is claimed that is not sure.
func TestRedisLost(t *testing.T) {
	p := testRedis().(LostReplies)
	const plain, exec, ok = "-ERR poolproxy: the server died\r\n", "-EXECABORT Transaction discarded: poolproxy: the server died\r\n", "+OK\r\n"
	requests := requestsOf(t, testRedis(), commands("GET a", "MULTI", "GET a", "EXEC", "EXEC", "MULTI", "DISCARD", "UNWATCH", "SUBSCRIBE a b", "QUIT", "RESET",
		"CLIENT REPLY SKIP", "GET a"))
	sure := []string{plain, plain, plain, exec, plain, plain, ok, ok, plain, ok, plain, "", ""}
	for i, req := range requests {
		if got := string(p.Lost(req, false, "the server\ndied")); got != sure[i] {
			t.Errorf("%s: %q, want %q", req.Label, got, sure[i])
		}
		want := strings.Replace(sure[i], exec, plain, 1)
		if got := string(p.Lost(req, true, "the server died")); got != want {
			t.Errorf("%s, in doubt: %q, want %q", req.Label, got, want)
		}
	}
	if got := p.Lost(nil, false, "x"); got != nil {
		t.Errorf("no request: %q", got)
	}
}

// A reply that was cut anywhere is completed by the same reply, whatever is pushed before it; by another it is not.
func TestRedisJoin(t *testing.T) {
	p := testRedis()
	push := ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
	for _, c := range []struct{ request, reply, other string }{
		{command("LRANGE", "l", "0", "1"), "*2\r\n$3\r\nabc\r\n$3\r\ndef\r\n", "*2\r\n$3\r\nabd\r\n$3\r\ndef\r\n"},
		{command("GET", "a"), "|1\r\n+a\r\n:1\r\n$3\r\nabc\r\n", "$3\r\nabc\r\n"},
		{command("SUBSCRIBE", "a", "b"), ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
			">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:4\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:5\r\n"},
	} {
		req := requestsOf(t, p, c.request)[0]
		for at := range len(c.reply) {
			old := p.Replies()
			had := feedReplies(t, old, req, c.reply[:at])
			d := old.Delivered()
			if d.Bytes != int64(len(had)) || c.reply[:len(had)] != had {
				t.Fatalf("cut at %d: delivered %+v, passed %q", at, d, had)
			}
			for _, size := range []int{1, 7, 1000} {
				again, j, err := p.Join(req, []byte(c.request), d)
				if err != nil || again != nil {
					t.Fatal(again, err)
				}
				if size == 7 {
					j = &warm{Joiner: j, t: t, p: p}
				}
				out, end, err := joinAll(j, push+c.reply, size)
				if err != nil || !end || had+out != c.reply+push {
					t.Fatalf("cut at %d, pieces of %d: %q + %q, end %v, error %v", at, size, had, out, end, err)
				}
				_, j, _ = p.Join(req, []byte(c.request), d)
				_, _, err = joinAll(j, c.other, size)
				if differs := !strings.HasPrefix(c.other, had); differs != errors.Is(err, ErrMismatch) {
					t.Fatalf("another reply, cut at %d, had %q: error %v", at, had, err)
				}
			}
		}
	}
}

func feedReplies(t *testing.T, r Replies, req *Request, in string) (out string) {
	t.Helper()
	held := ""
	for len(in) > 0 {
		cut, err := r.Next(req, []byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if held += in[:cut.N]; !cut.Hold {
			out, held = out+held, ""
		}
		in = in[cut.N:]
	}
	return out
}

func joinAll(j Joiner, in string, size int) (out string, end bool, err error) {
	for len(in) > 0 && !end {
		n, part, e, err := j.Next([]byte(in[:min(size, len(in))]))
		if err != nil {
			return out, false, err
		}
		out, in, end = out+string(part), in[n:], e
	}
	return out, end, nil
}

// What was cut within a push that was too long to be held cannot be mended; one that is held was never there.
func TestRedisTornPush(t *testing.T) {
	p := testRedis()
	req := requestsOf(t, p, commands("GET a"))[0]
	push := ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$100000\r\n" + strings.Repeat("x", maxHeld)
	r := p.Replies()
	feedReplies(t, r, req, push[:maxHeld])
	if d := r.Delivered(); d.Bytes != 0 || r.Finish(nil) {
		t.Errorf("held: delivered %+v, finish %v", d, r.Finish(nil))
	}
	feedReplies(t, r, req, push[maxHeld:])
	d := r.Delivered()
	if _, _, err := p.Join(req, nil, d); d.Bytes == 0 || err == nil {
		t.Errorf("torn: delivered %+v, join error %v", d, err)
	}
}

func TestRedisCommandTable(t *testing.T) {
	entry := "*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*1\r\n+@read\r\n*0\r\n*0\r\n"
	sub := "*6\r\n$10\r\nconfig|get\r\n:2\r\n~1\r\n+readonly\r\n:0\r\n:0\r\n:0\r\n"
	table, err := ParseRedisCommands([]byte("*3\r\n" + entry + "*0\r\n" + strings.Replace(entry, "get", "abc", 1) + "*1\r\n" + sub +
		"*6\r\n+bzpop\r\n:2\r\n*2\r\n+write\r\n+blocking\r\n:1\r\n:1\r\n:1\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, f := range table.flags {
		got = append(got, fmt.Sprint(name, f))
	}
	slices.Sort(got)
	if want := "[abc{false false true} bzpop{false true false} config|get{true false false} get{true false false}]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
	if !table.Divided("abc") || table.Divided("get") || table.Divided("config|get") {
		t.Errorf("commands that have subcommands: %v", table.flags)
	}
	other := &RedisCommands{flags: map[string]redisFlags{"get": {blocks: true}, "new": {safe: true}}}
	if both := table.Meet(other); both.Len() != 1 || both.flags["get"] != (redisFlags{blocks: true}) {
		t.Errorf("both: %v", both.flags)
	}
	for _, bad := range []string{"", "*0\r\n", "-ERR unknown command\r\n", "$-1\r\n", "*1\r\n:1\r\n", "*1\r\n*0\r\n", "*1\r\n" + sub + "x", "*2\r\n" + sub,
		"*1\r\n*3\r\n:1\r\n", "*2147483647\r\n"} {
		if _, err := ParseRedisCommands([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

// One allocation for a plain command: the Request.
func TestRedisAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	p := testRedis()
	requests, replies := p.Requests(), p.Replies()
	in, reply := []byte(commands("GET a", "GET b")), []byte("$1\r\nx\r\n$1\r\ny\r\n")
	got := testing.AllocsPerRun(100, func() {
		for in, reply := in, reply; len(in) > 0; {
			cut, req, err := requests.Next(in)
			if err != nil || !cut.End || !req.Safe {
				t.Fatal(cut, err)
			}
			in = in[cut.N:]
			if cut, err = replies.Next(req, reply); err != nil || !cut.End {
				t.Fatal(cut, err)
			}
			reply = reply[cut.N:]
		}
	})
	if got > 2 {
		t.Errorf("%v allocations for 2 commands and replies", got)
	}
}

// Whatever is random in size and depth: memory stays small.
func TestRedisBounded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := testRedis().Requests().(*redisRequests)
	piece := bytes.Repeat([]byte("x"), 10_000)
	for _, in := range []string{"*3\r\n$9\r\nSUBSCRIBE\r\n$1000000\r\n", "\r\n*2000000000\r\n$3\r\nGET\r\n$1000000\r\n"} {
		r := *r
		for p := []byte(in); len(p) > 0; {
			cut, _, err := r.Next(p)
			if err != nil {
				t.Fatal(err)
			}
			p = p[cut.N:]
		}
		for range 99 {
			if _, _, err := r.Next(piece[:1+rnd.IntN(len(piece))]); err != nil {
				t.Fatal(err)
			}
		}
		if cap(r.words.text) > 4<<10 || cap(r.text) > 4<<10 {
			t.Errorf("%d and %d bytes kept", cap(r.words.text), cap(r.text))
		}
	}
}
