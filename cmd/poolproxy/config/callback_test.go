package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/session"
)

// TestCallbackMistakes shows what a user reads.
func TestCallbackMistakes(t *testing.T) {
	l := load([]string{filepath.Join("testdata", "callbacks.hcl")}, lookupNames)
	checkGolden(t, l, "callbacks.golden")
}

// asked calls the one callback of a configuration.
func asked(t *testing.T, protocol, callback string, at session.Moment) (session.Reaction, error) {
	t.Helper()
	return call(t, rule(t, protocol, callback), at)
}

// rule is the one callback of a configuration.
func rule(t *testing.T, protocol, callback string) session.Callback {
	t.Helper()
	l := loadText(t, user(protocol, "failover {\ncallback {\n"+callback+"\n}\n}"))
	if len(l.Diagnostics) != 0 {
		t.Fatal(written(t, l, ""))
	}
	return l.Config.Users[0].Callbacks[0].Rule
}

// call asks a callback, which must answer at once, and once.
func call(t *testing.T, c session.Callback, at session.Moment) (reaction session.Reaction, err error) {
	t.Helper()
	answers := 0
	c.Call(at, func(r session.Reaction, e error) {
		reaction, err = r, e
		answers++
	})
	if answers != 1 {
		t.Errorf("%d answers", answers)
	}
	return reaction, err
}

const untilDot = `protocol "line" {
  reply = "until"
  until = "^\\.$"
}`

// moment is a failover in the middle of a reply.
func moment() session.Moment {
	return session.Moment{
		Session: 18446744073709551615, Client: "10.1.2.3:4567", Leg: 3, Failover: true, Element: "b", Address: "10.0.0.2:7001",
		Request: []byte("GET book 40\n"), ReplyBytes: 1000002,
	}
}

func TestCallbackSends(t *testing.T) {
	const match = `match = "^GET (?P<file>\\S+) (?P<offset>[0-9]+)$"` + "\n"
	for name, c := range map[string]struct{ callback, want string }{
		"the draft's":  {match + `send = "GET ${request.file} ${request.offset + reply.bytes}\n"`, "GET book 1000042\n"},
		"everything":   {`send = "${session.id} ${session.client} ${session.leg} ${element.name} ${element.address}\n"`, "18446744073709551615 10.1.2.3:4567 3 b 10.0.0.2:7001\n"},
		"text":         {`send = "AGAIN ${request.text} ${request["text"]}\n"`, "AGAIN GET book 40 GET book 40\n"},
		"functions":    {match + `send = "${upper(request.file)} ${lower("ABC")} ${format("%05d|%-3s", session.leg, element.name)} ${strlen(request.text)} ${base64encode(request.file)}\n"`, "BOOK abc 00003|b   11 Ym9vaw==\n"},
		"a condition":  {`send = reply.bytes > 10 ? "SKIP ${reply.bytes - 10}\n" : ""`, "SKIP 999992\n"},
		"nothing":      {`send = reply.bytes > 1e9 ? "SKIP\n" : ""`, ""},
		"null":         {`send = reply.bytes > 1e9 ? "SKIP\n" : null`, ""},
		"another":      {`match = "^PUT "` + "\n" + `send = "X\n"`, ""},
		"two requests": {`send = "A\nB\n"`, "A\nB\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := asked(t, untilDot, c.callback, moment())
			if err != nil || string(r.Send) != c.want || r.Continue || r.Expect != nil {
				t.Errorf("%+v, error %v", r, err)
			}
			at := moment()
			at.Failover = false
			if r, err := asked(t, untilDot, c.callback, at); err != nil || r.Send != nil {
				t.Errorf("without a failover: %+v, error %v", r, err)
			}
		})
	}
}

func TestCallbackReaction(t *testing.T) {
	r, err := asked(t, untilDot, `send = "GET\n"
continue = true`, moment())
	if err != nil || !r.Continue || r.Expect != nil {
		t.Errorf("%+v, error %v", r, err)
	}
	r, err = asked(t, `protocol "line" { delimiter = "\r\n" }`, `send = "HELLO\r\n"
expect = "^OK [0-9]+$"`, moment())
	if err != nil || r.Continue || r.Expect == nil {
		t.Fatalf("%+v, error %v", r, err)
	}
	if err := r.Expect([]byte("OK 17\r\n")); err != nil {
		t.Error(err)
	}
	if err := r.Expect([]byte("NO secret\r\n")); err == nil || !strings.Contains(err.Error(), "a.hcl:") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// A session asks whether a reply will be continued before it plans what is repeated.
func TestCallbackContinues(t *testing.T) {
	for _, c := range []struct {
		settings string
		want     bool
	}{
		{`continue = true`, true},
		{"continue = true\nmatch = \"^GET book 40$\"", true},
		{"continue = true\nmatch = \"^PUT\"", false},
		{`continue = false`, false},
		{`match = "^GET"`, false},
	} {
		rule := rule(t, untilDot, "send = \"X\\n\"\n"+c.settings)
		if got := rule.(session.Continuer).Continues(moment().Request); got != c.want {
			t.Errorf("%s: %t", c.settings, got)
		}
		if r, err := call(t, rule, moment()); err != nil || r.Continue != c.want {
			t.Errorf("%s: %+v, error %v", c.settings, r, err)
		}
	}
}

func TestCallbackWithoutRequest(t *testing.T) {
	at := moment()
	at.Request, at.ReplyBytes = nil, 0
	if r, err := asked(t, untilDot, `match = "^"
send = "X\n"`, at); err != nil || r.Send != nil {
		t.Errorf("%+v, error %v", r, err)
	}
	if r, err := asked(t, untilDot, `send = "X\n"
continue = true`, at); err != nil || r.Send != nil || r.Continue {
		t.Errorf("%+v, error %v", r, err)
	}
	if r, err := asked(t, untilDot, `send = "<${request.text}>\n"`, at); err != nil || string(r.Send) != "<>\n" {
		t.Errorf("%+v, error %v", r, err)
	}
}

func TestCallbackFails(t *testing.T) {
	for name, c := range map[string]struct{ callback, request, want string }{
		"no number": {`match = "^GET (?P<n>.*)$"
send = "GET ${request.n + 1}\n"`, "GET secret\n", "a number is required"},
		"an exponent": {`match = "^GET (?P<n>.*)$"
send = "GET ${request.n + 1}\n"`, "GET 1e999999999\n", "a number is required"},
		"many digits": {`match = "^GET (?P<n>.*)$"
send = "GET ${request.n % 7}\n"`, "GET 0." + strings.Repeat("0", 63) + "1\n", "a number is required"},
		"infinity": {`match = "^GET (?P<n>.*)$"
send = "GET ${0 * request.n}\n"`, "GET -inf\n", "a number is required"},
		"no ending": {`send = "${request.text}${""}"`, "x\n", `does not end with "\n"`},
		"nothing to continue with": {`send = reply.bytes > 1 ? "" : "X\n"
continue = true`, "x\n", "send gives nothing"},
		"too long": {`match = "(?P<x>.*)"
send = "${upper("` + strings.Repeat("${request.x}", 40) + `")}\n"`, strings.Repeat("x", 60000) + "\n", "more than 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			at := moment()
			at.Request = []byte(c.request)
			r, err := asked(t, untilDot, c.callback, at)
			if err == nil || r.Send != nil {
				t.Fatalf("%+v, error %v", r, err)
			}
			if s := err.Error(); !strings.Contains(s, c.want) || !strings.Contains(s, "a.hcl:") || strings.Contains(s, "secret") {
				t.Error(err)
			}
		})
	}
}

// What a client has said is sent as it was: bytes that are no text, and text in another normal form.
func TestCallbackKeepsBytes(t *testing.T) {
	var all []byte
	for i := range 256 {
		if i != '\n' {
			all = append(all, byte(i))
		}
	}
	for _, text := range []string{string(all), "cafe\u0301", "caf\u00e9", "\u0301", "\uef80\uef00\ufffd", "\xff\xfe", "1e5", "Inf"} {
		at := moment()
		at.Request = []byte("GET " + text + "\n")
		r, err := asked(t, untilDot, `match = "^GET (?P<file>(?s:.*))$"
send = "e${request.file} ${request.text} ${strlen(request.file)} \u00fc\n"`, at)
		if want := "e" + text + " GET " + text + " "; err != nil || !strings.HasPrefix(string(r.Send), want) {
			t.Errorf("%q: %q, error %v", want, r.Send, err)
		} else if !strings.HasSuffix(string(r.Send), " \u00fc\n") {
			t.Errorf("%q", r.Send)
		}
	}
	at := moment()
	at.Request = []byte("GET caf\u00e9\n")
	r, err := asked(t, untilDot, `match = "^GET (?P<file>.*)"
send = request.file == "caf\u00e9" ? "${strlen("\u00e9")} ${base64encode(request.file)}\n" : "X\n"`, at)
	if err != nil || string(r.Send) != "2 Y2Fmw6k=\n" {
		t.Errorf("%q, error %v", r.Send, err)
	}
}

// State blocks name what callbacks may use; one that never matched has captured the empty text.
func TestCallbackState(t *testing.T) {
	file, diags := hclsyntax.ParseConfig([]byte(`protocol "line" {
  state "login" { match = "^USER (?P<user>.*)" }
  state "broken" { match = "(" }
}
send = "${state.login.user}|${state.broken.any}|${state["login"]["user"]}\n"
other = "${state.logn.user} ${state.login.usr}\n"
`), "a.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	body := file.Body.(*hclsyntax.Body)
	r := &reader{files: map[string]*hcl.File{"a.hcl": file}}
	u := &userBlock{kind: "line", states: stateGroups(body.Blocks[0])}
	c := &callback{send: body.Attributes["send"].Expr}
	r.checkSend(u, c)
	if len(r.diags) != 0 {
		t.Fatal(r.diags)
	}
	at := moment()
	at.State = map[string]map[string]string{"login": {"user": "bob\xff", "other": "x"}}
	if reaction, err := call(t, c, at); err != nil || string(reaction.Send) != "bob\xff||bob\xff\n" {
		t.Errorf("%q, error %v", reaction.Send, err)
	}
	r.checkSend(u, &callback{send: body.Attributes["other"].Expr})
	if len(r.diags) != 2 || !strings.Contains(r.diags[0].Error(), `There is no state block "logn"; The protocol has: "broken", "login"`) ||
		!strings.Contains(r.diags[1].Error(), `The match of state "login" has no group "usr"; Write (?P<usr>...) there`) {
		t.Error(r.diags.Errs())
	}
}

func TestCallbackExec(t *testing.T) {
	path := program(t, 0o755)
	l := loadText(t, user(`protocol "http" {}`, `failover {
  callback { exec = ["`+path+`", "x"] }
  callback { send = "GET / HTTP/1.1\r\n\r\n" }
  callback {
    exec    = ["`+path+`"]
    timeout = "250ms"
  }
}`))
	if len(l.Diagnostics) != 0 {
		t.Fatal(l.Diagnostics)
	}
	c := l.Config.Users[0].Callbacks
	if len(c) != 3 || len(c[0].Exec) != 2 || c[0].Rule != nil || c[0].Timeout != 5*time.Second ||
		c[1].Rule == nil || c[1].Exec != nil || c[2].Timeout != 250*time.Millisecond {
		t.Errorf("got %+v", c)
	}
}

// A callback is shared by all shards.
func TestCallbackFromManyGoroutines(t *testing.T) {
	c := rule(t, untilDot, `match = "^GET (?P<file>\\S+)"
send = "%{ for x in [request.file, element.name] }${upper(x)} %{ endfor }\n"`)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				c.Call(moment(), func(r session.Reaction, err error) {
					if err != nil || string(r.Send) != "BOOK B \n" {
						t.Errorf("%q, error %v", r.Send, err)
					}
				})
			}
		})
	}
	all.Wait()
}

// FuzzCallback: whatever a client says, the answer is something to send or an error.
func FuzzCallback(f *testing.F) {
	l := load([]string{filepath.Join("testdata", "everything.hcl")}, lookupNames)
	if len(l.Diagnostics) != 0 {
		f.Fatal(l.Diagnostics)
	}
	f.Add([]byte("GET book 40\n"), int64(7))
	f.Add([]byte("GET 1e999999999 -Inf\n"), int64(-1))
	f.Add([]byte("GET \xff\u0301 0x1p-2\n"), int64(1<<62))
	f.Fuzz(func(t *testing.T, request []byte, n int64) {
		at := moment()
		at.Request, at.ReplyBytes = request, n
		for _, c := range l.Config.Users[0].Callbacks {
			c.Rule.Call(at, func(r session.Reaction, err error) {
				if err == nil && (len(r.Send) > mostSend || len(r.Send) > 0 && r.Send[len(r.Send)-1] != '\n') {
					t.Errorf("%d bytes", len(r.Send))
				}
				if err != nil && errors.Unwrap(err) == nil {
					t.Errorf("an error without its place: %v", err)
				}
			})
		}
	})
}

// checkGolden compares what the user reads with a file in testdata.
func checkGolden(t *testing.T, l *Loaded, name string) {
	t.Helper()
	got := written(t, l, "testdata")
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
