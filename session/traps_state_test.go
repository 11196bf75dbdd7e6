package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Traps about the state of connections.

// T6. Settings stand among requests. A new server gets those that were answered first, in the order in which they were last set, and
// what was in flight in its own order: a setting does not overtake the request before it.
func trapOrder(t *testing.T) {
	r, b := trap(t, options{})
	b.serve(r.stations[0], whenRead, "GET 1")
	c := r.client()
	c.says("MODE a\nUSER me\nMODE b\n", false)
	r.gets(c, "re MODE a\nre USER me\nre MODE b\n")
	c.says("GET 1\nMODE c\nGET 2\n", false)
	r.gets(c, "re MODE a\nre USER me\nre MODE b\nre GET 1\nre MODE c\nre GET 2\n")
	if got := string(r.stations[1].server().got); got != "USER me\nMODE b\nGET 1\nMODE c\nGET 2\n" {
		t.Errorf("the other server got %q", got)
	}
	r.stays(c)
	r.stations[0].gone = false
	b.serve(r.stations[0], never, "")
	r.stations[1].kill()
	c.says("GET 3\n", false)
	r.w.RunFor(time.Second)
	if got := string(r.stations[0].server().got); got != "USER me\nMODE c\nGET 3\n" {
		t.Errorf("the third server got %q", got)
	}
	r.close()
}

// T7. What no rule matches is unsafe, however harmless it looks; what cannot be matched is, too; and where the server has said something
// that nobody asked for, or a setting cannot be had elsewhere, the session is not moved at all.
func trapMatching(t *testing.T) {
	for _, c := range []struct {
		name, request string
		safe          []string
	}{
		{"nothing is declared", "GET 1", nil},
		{"it only contains the word", "PAY 1; GET 2", []string{"^GET"}},
		{"a line too long to be matched", "GET " + strings.Repeat("x", 300), []string{"^GET"}},
	} {
		r, b := trap(t, options{protocol: shop(t, func(l *protocol.LineConfig) { l.Safe, l.MaxLine = words(t, c.safe...), 200 })})
		b.serve(r.stations[0], whenRead, c.request)
		client := r.client()
		client.says(c.request+"\n", false)
		r.gets(client, "ERR lost\n")
		if b.times(c.request, 0); t.Failed() {
			t.Error(c.name)
		}
		r.close()
	}

	r, b := trap(t, options{})
	c := r.client()
	r.until("it is open", func() bool { return c.session.leg.open })
	r.stations[0].server().says("who are you?\n", false)
	c.says("GET 1\n", false)
	r.gets(c, "who are you?\nre GET 1\n")
	r.stations[0].kill()
	r.ends(c, "who are you?\nre GET 1\n", errUnasked.Error())
	b.times("GET 1", 1)
	r.close()

	r, _ = trap(t, options{})
	c = r.client()
	c.says("BEGIN\nMODE a\nCOMMIT\n", false)
	r.gets(c, "re BEGIN\nre MODE a\nre COMMIT\n")
	i := c.session.Info()
	if i.Protection != Unprotected || !strings.Contains(i.Reason, "set within a transaction") {
		t.Errorf("%s: %s", i.Protection, i.Reason)
	}
	r.stations[0].kill()
	r.ends(c, "re BEGIN\nre MODE a\nre COMMIT\n", "set within a transaction")
	r.close()
}

// secret is what no log, record or status may show.
const secret = "hunter2"

// T16. Who has the token of a session but is not the pool user that began it gets nothing of it; the leg is not touched. On a new server
// the login comes first, and where it is refused nothing else is said there. Nothing that people read shows it.
func trapAuthorisation(t *testing.T) {
	r, b := trap(t, options{elements: 3})
	b.reply = func(s *station, request string) string {
		if s == r.stations[1] && strings.HasPrefix(request, "USER") {
			return "denied\n"
		}
		return "re " + request + "\n"
	}
	c := r.client()
	login := "USER me " + secret
	c.says(login+"\n", false)
	r.gets(c, "re "+login+"\n")

	thief := r.liar("thief", r.stations[0], 0x66)
	thief.hello()
	thief.tell(3, &message{typ: typeResume, token: c.session.token, leg: 1, credit: 1000})
	thief.tell(5, &message{typ: typeOpen, token: c.session.token, leg: 2, hold: time.Minute})
	r.until("both are answered", func() bool { return thief.last(3, typeRefused) != nil && thief.last(5, typeRefused) != nil })
	if a, b := thief.last(3, typeRefused).code, thief.last(5, typeRefused).code; a != CodeUnauthorized || b != CodeUnauthorized || thief.text(3) != "" {
		t.Errorf("refused with %v and %v, %q", a, b, thief.text(3))
	}
	if r.stations[0].server().reset || len(r.stations[0].servers) != 1 {
		t.Error("the leg was touched")
	}

	b.serve(r.stations[0], whenRead, "GET 1")
	r.stations[0].server().app = r.stations[0].app
	c.says("GET 1\n", false)
	r.gets(c, "re "+login+"\nre GET 1\n")
	if got := string(r.stations[1].server().got); got != login+"\n" {
		t.Errorf("the server that refused the login got %q", got)
	}
	if got := string(r.stations[2].server().got); got != login+"\nGET 1\n" {
		t.Errorf("the third server got %q", got)
	}
	for _, text := range []string{strings.Join(r.logs, "\n"), fmt.Sprintf("%+v", r.records), fmt.Sprintf("%+v", c.session.Info())} {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", c.session.token[:])) {
			t.Errorf("a secret is shown: %s", text)
		}
	}
	r.close()
}
