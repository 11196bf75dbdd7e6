package protocol

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

// FuzzRedisRequests: boundaries do not depend on pieces; a command that is no array is a line; what is said of lost replies and
// states never fails.
func FuzzRedisRequests(f *testing.F) {
	f.Add([]byte(commands("GET a", "MULTI", "SELECT 1", "EXEC", "CLIENT REPLY SKIP", "PING", "QUIT")))
	f.Add([]byte("GET \"a\\x41\\n\" 'b\\'c'\r\n\r\n*0\r\n*-1\r\nPING\n"))
	f.Add([]byte(commands("HELLO 3 AUTH a b", "CLIENT TRACKING ON REDIRECT 3", "SUBSCRIBE a b", "UNSUBSCRIBE", "RESET", "PSYNC ? -1") + "xx"))
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$70\r\n" + strings.Repeat("k", 70) + "\r\n"))
	p := testRedis()
	f.Fuzz(func(t *testing.T, in []byte) {
		checkRequests(t, p, in)
		got := prototest.Same(t, requestsParser(p), in)
		if got.Err != nil && !errors.Is(got.Err, ErrMalformed) {
			t.Fatal(got.Err)
		}
		for _, m := range got.Messages {
			one := in[:m.Bytes]
			in = in[m.Bytes:]
			if one[0] != '*' && bytes.IndexByte(one, '\n') != len(one)-1 {
				t.Fatalf("%q is not one line", one)
			}
		}
	})
}

// checkRequests: whoever is owed a reply gets an error for a lost one, and states come with a way to have them again, or a
// reason why not.
func checkRequests(t *testing.T, p Protocol, in []byte) {
	t.Helper()
	for requests := p.Requests(); len(in) > 0; {
		cut, req, err := requests.Next(in)
		if err != nil || cut.N < 1 {
			return
		}
		if in = in[cut.N:]; !cut.End {
			continue
		}
		if lost := p.(LostReplies).Lost(req, true, "x"); (lost != nil) != (req.Expect == ExpectOne) {
			t.Fatalf("%+v: lost %q", req, lost)
		}
		d := redisDetailOf(req)
		for _, s := range d.Changes() {
			if s.Void && s.Send != nil || d.kind == redisExec && !s.Void && s.Send == nil && s.Never == "" {
				t.Fatalf("%s: state %+v", req.Label, s)
			}
		}
		if u := d.Unit(); u != nil && (req.Safe || u.Members == 0) && d.kind != redisEnd && d.kind != redisReset {
			t.Fatalf("%s: safe %v in %+v", req.Label, req.Safe, u)
		}
	}
}

// FuzzRedisReplies: boundaries and what passes do not depend on pieces; what passes is what came; COMMAND's reader accepts or
// refuses.
func FuzzRedisReplies(f *testing.F) {
	f.Add(uint8(0), []byte("+OK\r\n-ERR\r\n:1\r\n$3\r\nabc\r\n*2\r\n$-1\r\n*-1\r\n_\r\n"))
	f.Add(uint8(1), []byte("%1\r\n+a\r\n:3\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$7\r\nmessage\r\n+a\r\n+b\r\n"))
	f.Add(uint8(2), []byte("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n+a\r\n+b\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"))
	f.Add(uint8(3), []byte("+OK\r\n+1339518083.107412 [0 127.0.0.1:60866] \"keys\"\r\n+PONG\r\n"))
	f.Add(uint8(4), []byte("*?\r\n|1\r\n+a\r\n:1\r\n$?\r\n;2\r\nab\r\n;0\r\n.\r\n=5\r\ntxt:a\r\n"))
	f.Add(uint8(0), []byte("*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n*1\r\n+@read\r\n*0\r\n*0\r\n*0\r\n"))
	asked := []string{commands("GET a", "GET b"), commands("HELLO 3", "SUBSCRIBE a", "GET a"), commands("SUBSCRIBE a b", "UNSUBSCRIBE", "PING"),
		commands("MONITOR", "PING", "RESET", "GET a"), commands("MULTI", "GET a", "EXEC", "GET a")}
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		got := prototest.Same(t, redisRepliesParser(t, asked[int(which)%len(asked)]), in)
		if got.Err != nil && !errors.Is(got.Err, ErrMalformed) || !bytes.HasPrefix(in, []byte(got.Out)) {
			t.Fatalf("error %v, passed %q of %q", got.Err, got.Out, in)
		}
		if table, err := ParseRedisCommands(in); (err == nil) == (table == nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("table %v, error %v", table, err)
		}
	})
}
