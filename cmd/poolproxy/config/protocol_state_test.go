package config

import (
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol"
)

// inLine is a configuration with protocol line.
func inLine(body string) string { return user("protocol \"line\" {\n"+body+"\n}", "") }

// inLength is a configuration with protocol length.
func inLength(body string) string { return user("protocol \"length\" {\n"+body+"\n}", "") }

// stateMistakes are like mistakes, of what lines and messages say of their connection.
var stateMistakes = []struct {
	name, text string
	has        []string
}{
	{"state without a name", inLine(`state { match = "^USER" }`), []string{"state has 1 name behind it", `state "name" { ... }`}},
	{"state with an empty name", inLine(`state "" { match = "^USER" }`), []string{"A name is empty"}},
	{"state with a space", inLine(`state "a b" { match = "^USER" }`), []string{`cannot have the name "a b"`, "letters, digits"}},
	{"state without match", inLine(`state "a" {}`), []string{`"match" is missing`, "match = ..."}},
	{"state with more", inLine("state \"a\" {\nmatch = \"x\"\nexpct = \"y\"\n}"), []string{`A state block has no "expct"`, `Did you mean "expect"?`}},
	{"state twice", inLine("state \"a\" { match = \"x\" }\nstate \"a\" { match = \"y\" }"),
		[]string{`two states "a"`, "a.hcl:8:1", `at: state "a"`}},
	{"state that is no block", inLine(`state = "x"`), []string{"wrong form", "state { ... }"}},
	{"state with a bad expression", inLine(`state "a" { match = "(" }`), []string{"missing closing )"}},
	{"keep", inLine("state \"a\" {\nmatch = \"x\"\nkeep = \"first\"\n}"), []string{`"keep" cannot be "first"`, `"last", "all"`}},
	{"expect without replies", inLine("reply = \"none\"\nstate \"a\" {\nmatch = \"x\"\nexpect = \"^OK\"\n}"),
		[]string{`"expect" is impossible with this reply`, "counts once it is sent", `at: "^OK"`}},
	{"expect in a stream", inLine("reply = \"stream\"\nstate \"a\" {\nmatch = \"x\"\nexpect = \"^OK\"\n}"), []string{`"expect" is impossible`}},
	{"too many states", inLine(strings.Repeat("state \"a\" { match = \"x\" }\n", 1) + manyStates(64)), []string{"more than 64 states"}},
	{"transaction without end", inLine(`transaction { begin = "^BEGIN" }`), []string{`"end" is missing`, "A transaction block needs it"}},
	{"transaction with a name", inLine("transaction \"x\" {\nbegin = \"a\"\nend = \"b\"\n}"), []string{"transaction has no names behind it, not 1"}},
	{"two transactions", inLine("transaction {\nbegin = \"a\"\nend = \"b\"\n}\ntransaction {}"), []string{`"transaction" is there twice`}},
	{"sync without replies", inLine("reply = \"none\"\nsync = [\"x\"]"), []string{`"sync" is impossible`, `at: ["x"]`}},
	{"greeting that is a list", inLine(`greeting = ["x"]`), []string{`"greeting" must be a string`}},
	{"lost without replies", inLine("reply = \"stream\"\nlost = \"ERR\\n\""), []string{`"lost" is impossible with this reply`}},
	{"lost without its end", inLine(`lost = "ERR"`), []string{`"lost" is not one whole reply: its end is missing`, "with its delimiter", `at: "ERR"`}},
	{"lost with more", inLine(`lost = "ERR\nERR\n"`), []string{"ends after 4 of 8 bytes"}},
	{"lost that until does not end", inLine("reply = \"until\"\nuntil = \"^OK\"\nlost = \"ERR\\n\""), []string{"its end is missing"}},
	{"one mistake is one mistake", inLine("delimiter = \"\"\nlost = \"ERR\""), []string{`"delimiter" has 0 bytes`}},

	{"transaction of length", inLength("transaction {\nbegin = \"a\"\nend = \"b\"\n}"), []string{`Protocol length has no "transaction"`}},
	{"greeting that is no flag", inLength(`greeting = "true"`), []string{`"greeting" must be true or false`, "without quotes"}},
	{"expect without messages", inLength("reply = \"none\"\nstate \"a\" {\nmatch = \"x\"\nexpect = \"^OK\"\n}"), []string{`"expect" is impossible`}},
	{"sync without messages", inLength("reply = \"none\"\nsync = [\"x\"]"), []string{`"sync" is impossible`}},
	{"lost message without end", inLength(`lost = "\u0000\u0000\u0000\u0005lost"`), []string{"not one whole reply: its end is missing", "a header with its length"}},
	{"lost message that is too long", inLength(`lost = "long"`), []string{"not one whole reply: protocol: malformed: the length field says"}},

	{"http has no state", user("protocol \"http\" {\nstate \"x\" {}\n}", ""), []string{`Protocol http has no "state"`}},
}

// manyStates are n state blocks.
func manyStates(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString("state \"s" + strings.Repeat("x", i%60) + string(rune('a'+i/60)) + "\" { match = \"x\" }\n")
	}
	return text.String()
}

func TestStateMistakes(t *testing.T) {
	for _, m := range stateMistakes {
		t.Run(m.name, func(t *testing.T) {
			l := loadText(t, m.text)
			if len(l.Diagnostics) != 1 || !l.Failed() {
				t.Fatalf("%d diagnostics: %v", len(l.Diagnostics), l.Diagnostics)
			}
			got := about(l, l.Diagnostics[0])
			for _, want := range m.has {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in:\n%s", want, got)
				}
			}
		})
	}
}

// loaded is the protocol of a configuration that must be right.
func loaded(t *testing.T, text string) protocol.Protocol {
	t.Helper()
	l := loadText(t, text)
	for _, d := range l.Diagnostics {
		if !strings.HasPrefix(d.Summary, `"sync" has no effect`) { // whatever is replayed, the protocol knows it
			t.Fatal(l.Diagnostics)
		}
	}
	return l.Config.Users[0].Protocol
}

// What is written must arrive: each setting is seen in what the protocol then does.
func TestLineStateSettings(t *testing.T) {
	p := loaded(t, inLine(`
state "login" {
  match  = "^USER (?P<user>.*)"
  expect = "^OK"
  void   = "^LOGOUT"
}
state "sub" {
  match = "^SUB "
  keep  = "all"
}
transaction {
  begin = "^BEGIN"
  end   = "^COMMIT"
}
sync     = ["^PING"]
greeting = "^220 "
lost     = "ERR lost\n"
`))
	r := p.Requests()
	next := func(line string) (*protocol.Request, protocol.Connection) {
		_, req, err := r.Next([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		c, _ := req.Detail.(protocol.Connection)
		return req, c
	}
	req, c := next("USER bob\n")
	if got := c.Changes()[0]; got.Key != "login" || got.Values["user"] != "bob" || !req.Safe {
		t.Errorf("%+v", got)
	}
	if cut, err := p.Replies().Next(req, []byte("NO\n")); err != nil || !cut.End || c.Outcome() != protocol.OutcomeFailed {
		t.Error(cut, err, c.Outcome())
	}
	if _, c := next("LOGOUT\n"); !c.Changes()[0].Void {
		t.Errorf("%+v", c.Changes())
	}
	if _, c := next("SUB x\n"); c.Changes()[0].Key != "sub 1" {
		t.Errorf("%+v", c.Changes())
	}
	if _, c := next("BEGIN\n"); !c.Unit().Begun {
		t.Errorf("%+v", c.Unit())
	}
	if _, c := next("COMMIT\n"); !c.Unit().Ended {
		t.Errorf("%+v", c.Unit())
	}
	if req, _ := next("PING\n"); !req.Sync || string(p.(protocol.LostReplies).Lost(req, false, "")) != "ERR lost\n" {
		t.Errorf("%+v", req)
	}
	if cut, err := p.Replies().Next(p.(protocol.Greeter).Greeting(), []byte("220-a\n220 b\n")); err != nil || cut.N != 12 || !cut.End {
		t.Error(cut, err)
	}
}

func TestLengthStateSettings(t *testing.T) {
	p := loaded(t, inLength(`
width = 1
state "login" { match = "^(?s).L" }
sync     = ["^(?s).P"]
greeting = true
lost     = "\u0004lost"
`))
	r := p.Requests()
	_, req, err := r.Next([]byte("\x02Lx"))
	if c, ok := req.Detail.(protocol.Connection); err != nil || !ok || c.Changes()[0].Key != "login" {
		t.Errorf("%+v, %v", req, err)
	}
	if _, req, err = r.Next([]byte("\x01P")); err != nil || !req.Sync {
		t.Errorf("%+v, %v", req, err)
	}
	if p.(protocol.Greeter).Greeting() == nil || string(p.(protocol.LostReplies).Lost(req, false, "")) != "\x04lost" {
		t.Error("no greeting, or nothing for a lost reply")
	}
}
