package chaos

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// Whatever a process answers: it is an error, or something is chosen that the radius allows, and what is said of it has no character that moves the cursor.
func FuzzAnswers(f *testing.F) {
	user, all := deployment()
	user.status.Sessions = []proxy.SessionStatus{{User: "p", Element: "a", State: "open", Protection: "protected"}, {State: "failing over"}}
	user.status.Failovers = []proxy.Record{{User: "p"}}
	add := func(p *fakeProcess) {
		chaos, err := json.Marshal(p.chaos)
		status, other := json.Marshal(p.status)
		if err != nil || other != nil {
			f.Fatal(err, other)
		}
		f.Add(200, chaos, status, []byte("poolproxy_failovers_total{kind=\"ended\"} 3\n"))
	}
	for _, p := range all {
		add(p)
	}
	f.Add(403, []byte(`{"error":{"code":"chaos_denied","message":"a\u001b[2J"}}`), []byte("{}"), []byte("poolproxy_failovers_total{kind=\"ended\"}"))
	f.Fuzz(func(t *testing.T, code int, chaos, status, page []byte) {
		var e events
		answers := &Peer{Address: "x", Call: func(_ context.Context, _, path string, _ any) (int, []byte, error) {
			switch path {
			case "/metrics":
				return 200, page, nil
			case "/v1/status":
				return 200, status, nil
			}
			return code, chaos, nil
		}}
		a := attackOn(nil, &e)
		a.Peers = []*Peer{answers}
		now, err := a.look(t.Context())
		if err == nil {
			a.report = newTally(&field{})
			a.follow(now)
			a.about(now)
			if why := a.refuses(now); why != nil {
				e.say(Event{Text: strings.ReplaceAll(why.Error(), "\n", " ")})
			}
			if n := len(a.round(now, 0, 1)); n > a.Radius {
				t.Errorf("%d were chosen", n)
			}
			a.report.ended.finish = counted(t.Context(), a.Peers)
			a.begun = time.Now()
			Text(io.Discard)(Event{Event: "report", Report: a.report.report(a)})
		} else {
			e.say(Event{Text: err.Error()})
		}
		for _, x := range e {
			if strings.ContainsFunc(strings.ReplaceAll(x.Text, "\n", " "), func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) && err == nil {
				t.Errorf("%q", x.Text)
			}
		}
	})
}
