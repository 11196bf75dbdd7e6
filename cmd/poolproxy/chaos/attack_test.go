package chaos

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// run runs an attack to its end.
func run(t *testing.T, a *Attack) *Report {
	t.Helper()
	if err := a.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := a.Run(t.Context(), t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Over a minute all kinds come, one at a time, each announced before and said to be over behind; what they lead to is counted under them.
func TestAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		user, all := deployment()
		user.status.Sessions = []proxy.SessionStatus{{ID: 1, User: "p", Element: "a", State: "open", Protection: "protected"}}
		active := 0
		for _, p := range all {
			p.struck = func(a admin.Attack) {
				for _, q := range all {
					for _, d := range q.chaos.Active {
						if time.Now().Before(d.Until) {
							active++
						}
					}
				}
				if active > 1 {
					t.Errorf("%d at a time", active)
				}
				active = 0
				if a.Kind == proxy.ChaosStall {
					from := a.Element
					if a.Side == sideElement {
						from = a.Name
					}
					user.fails(session.Record{Session: 1, Kind: session.KindMoved, From: from, To: "x", Detect: time.Second, First: 50 * time.Millisecond})
				}
			}
		}
		a := attackOn(all, &e)
		a.For = 3 * time.Minute
		r := run(t, a)
		done := 0
		for _, k := range r.Kinds {
			done += k.Done
			if (k.Kind == proxy.ChaosStall) != (k.Moved > 0) || k.Moved > 0 && (k.Moved != k.Done || k.P50 != 1050*time.Millisecond || k.Max != k.P99) {
				t.Errorf("%+v", k)
			}
		}
		if len(r.Kinds) != len(Kinds) || done < 40 || !r.Good() || r.Stopped || r.Rounds != done {
			t.Errorf("%d done: %+v", done, r)
		}
		last, open := 0, ""
		for _, x := range e {
			switch x.Event {
			case "begins":
				if open != "" || x.Number != last+1 {
					t.Fatalf("#%d begins, %q is not over", x.Number, open)
				}
				if last = x.Number; lasts(x.Kind) {
					open = fmt.Sprint(x.Number)
				}
			case "over":
				open = ""
			}
		}
		if text := e.text(); open != "" || !strings.Contains(text, "No protected session was lost.") {
			t.Error(open, text)
		}
	})
}

// What happens depends on the seed and the state alone, and a dry run says just that, without doing anything.
func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		would := func(seed uint64) (said []string) {
			var e events
			_, all := deployment()
			a := attackOn(all, &e)
			a.Seed = seed
			if err := a.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := a.DryRun(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				if len(p.posts)+p.deletes > 0 {
					t.Errorf("%s was disturbed: %v", p.peer.Address, p.posts)
				}
			}
			for _, x := range e {
				if x.Number > 0 {
					said = append(said, fmt.Sprint(x.Kind, x.Admin, x.Side, x.Name, x.Element, x.For))
				}
			}
			return said
		}
		first := would(7)
		if len(first) != 30 || !reflect.DeepEqual(first, would(7)) || reflect.DeepEqual(first, would(8)) {
			t.Errorf("%d: %v", len(first), first)
		}
		var e events
		_, all := deployment()
		run(t, attackOn(all, &e))
		n := 0
		for _, x := range e {
			if x.Event == "begins" {
				if got := fmt.Sprint(x.Kind, x.Admin, x.Side, x.Name, x.Element, x.For); got != first[n] {
					t.Errorf("#%d: %s, and the dry run has said %s", x.Number, got, first[n])
				}
				n++
			}
		}
		if n < 5 {
			t.Errorf("%d", n)
		}
	})
}

// While sessions are in a pause nothing new begins, unless the user wants that.
func TestWaitsForSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, overlap := range []bool{false, true} {
			var e events
			user, all := deployment()
			user.status.Sessions = []proxy.SessionStatus{{ID: 1, User: "p", Element: "a", State: "failing over"}}
			a := attackOn(all, &e)
			a.Overlap = overlap
			a.For = 20 * time.Second
			r := run(t, a)
			if text := e.text(); (r.Rounds > 0) != overlap || !overlap && !strings.Contains(text, "waits: 1 session in a pause") ||
				!strings.Contains(text, "still in a pause") {
				t.Errorf("overlap %v: %d\n%s", overlap, r.Rounds, text)
			}
		}
	})
}

// The stop button: everything is undone everywhere before it returns. So it is if somebody else presses it.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, elsewhere := range []bool{false, true} {
			var e events
			_, all := deployment()
			a := attackOn(all, &e)
			a.Kinds = []string{proxy.ChaosFreeze}
			a.HoldMin, a.HoldMax = LongestHold, LongestHold
			ctx, stop := context.WithCancel(t.Context())
			time.AfterFunc(9*time.Second, func() {
				if !elsewhere {
					stop()
				} else if err := Stop(t.Context(), a.Peers, func(Event) {}); err != nil {
					t.Error(err)
				}
			})
			begun := time.Now()
			r, err := a.Run(ctx, t.Context())
			stop()
			if err != nil || !r.Stopped || r.Rounds != 1 || time.Since(begun) > 12*time.Second {
				t.Errorf("%v, %+v, after %v", err, r, time.Since(begun))
			}
			for _, p := range all {
				if len(p.chaos.Active) > 0 || p.deletes == 0 {
					t.Errorf("%s: %v", p.peer.Address, p.chaos)
				}
			}
			if text := e.text(); strings.Count(text, "undone: nothing is disturbed") != len(all) || !strings.Contains(text, "#1 over after") {
				t.Error(text)
			}
		}
	})
}

// A second signal gives up: what is not undone is said, with the time at which it ends by itself.
func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		_, all := deployment()
		a := attackOn(all, &e)
		hard, giveUp := context.WithCancel(t.Context())
		giveUp()
		if _, err := a.Run(hard, hard); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		soft, stop := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, func() {
			giveUp()
			all[1].mu.Lock()
			all[1].dead = true
			all[1].mu.Unlock()
			stop()
		})
		if _, err := a.Run(soft, t.Context()); err == nil || !strings.Contains(err.Error(), "undoes itself at its time") || !strings.Contains(err.Error(), "host-a") {
			t.Error(err)
		}
	})
}

// A process that does not answer is waited for, and nothing is disturbed blindly meanwhile.
func TestBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		user, all := deployment()
		a := attackOn(all, &e)
		time.AfterFunc(10*time.Second, func() { user.mu.Lock(); user.dead = true; user.mu.Unlock() })
		time.AfterFunc(40*time.Second, func() { user.mu.Lock(); user.dead = false; user.mu.Unlock() })
		run(t, a)
		var blind, again time.Time
		for _, x := range e {
			switch {
			case x.Event == "waits" && strings.Contains(x.Text, "nothing listens on user"):
				blind = x.Time
			case x.Event == "begins" && !blind.IsZero() && again.IsZero():
				again = x.Time
			}
		}
		if pause := again.Sub(blind); pause < 25*time.Second || pause > 35*time.Second {
			t.Errorf("%v\n%s", pause, e.text())
		}
	})
}

// A process that has died, or hangs, holds up the end by seconds only; all others undo what they do, and the error says which one does not answer.
func TestEndsWithoutTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, hung := range []bool{false, true} {
			for _, hold := range []time.Duration{time.Second, LongestHold} {
				var e events
				_, all := deployment()
				a := attackOn(all, &e)
				a.Kinds, a.For, a.HoldMin, a.HoldMax = []string{proxy.ChaosFreeze}, 20*time.Second, hold, hold
				time.AfterFunc(19*time.Second, func() {
					all[1].hung.Store(hung)
					all[1].mu.Lock()
					all[1].dead = true
					all[1].mu.Unlock()
				})
				begun, most := time.Now(), a.For+10*time.Second
				if hung {
					most += 15 * time.Second // what was asked just before the end; and each step
				}
				r, err := a.Run(t.Context(), t.Context())
				took := time.Since(begun)
				if err == nil || !strings.Contains(err.Error(), "host-a") || !strings.Contains(err.Error(), "undoes itself at its time") || r == nil || r.Good() {
					t.Errorf("hung %v, hold %v: %v, %+v", hung, hold, err, r)
				}
				if took > most {
					t.Errorf("hung %v, hold %v: it took %v, at most %v", hung, hold, took, most)
				}
				for _, p := range all[2:] {
					if now := time.Now(); slices.ContainsFunc(p.chaos.Active, func(d proxy.Disturbance) bool { return d.Until.After(now) }) {
						t.Errorf("hung %v, hold %v: %s: %v", hung, hold, p.peer.Address, p.chaos)
					}
				}
			}
		}
	})
}

// What a process cannot do is not asked for again; what was not there is.
func TestRefusedByTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for status, again := range map[int]bool{400: false, 409: true} {
			var e events
			_, all := deployment()
			asked := make(map[string]int)
			for _, p := range all {
				p.refuses = func(a admin.Attack) int {
					if a.Kind != proxy.ChaosFreeze {
						asked[p.peer.Address+a.Side+a.Kind]++
						return status
					}
					return 0
				}
			}
			a := attackOn(all, &e)
			a.For = 20 * time.Minute
			r := run(t, a)
			twice := false
			for _, n := range asked {
				twice = twice || n > 1
			}
			if twice != again || len(asked) == 0 || !r.Good() || !strings.Contains(e.text(), "was not done: the proxy at") {
				t.Errorf("%d: %v, %+v", status, asked, r)
			}
		}
	})
}

// A protected session that is lost is told at once and in the end, and is a failure; one that had no protection is none. So is an end of which no
// record is left.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			record session.Record
			good   bool
			says   string
		}{
			"protected":   {session.Record{Kind: session.KindEnded, Verdict: "no pool element has taken it"}, false, "LOST: session 9"},
			"unprotected": {session.Record{Kind: session.KindEnded, Unprotected: true, Verdict: "not allowed"}, true, "ended that had no protection"},
			"answered":    {session.Record{Kind: session.KindAnswered, Lost: 3}, true, "3 requests answered by the protocol's own error"},
		} {
			var e events
			user, all := deployment()
			a := attackOn(all, &e)
			a.For = 4 * time.Second
			for _, p := range all {
				p.struck = func(x admin.Attack) {
					if c.record.Session = 9; len(user.status.Failovers) == 0 {
						c.record.From = "a"
						user.fails(c.record)
					}
				}
			}
			if r := run(t, a); r.Good() != c.good || !strings.Contains(e.text(), c.says) {
				t.Errorf("%s: %+v\n%s", name, r, e.text())
			}
		}
		var e events
		user, all := deployment()
		a := attackOn(all, &e)
		time.AfterFunc(5*time.Second, func() { user.ended += 3 })
		if r := run(t, a); r.Unseen != 3 || r.Good() || !strings.Contains(e.text(), "3 sessions ended of which no record") {
			t.Errorf("%+v", r)
		}
	})
}

// Where nobody was asked who knows what became of sessions, nothing is claimed, and that is no success: without a pool user's process, if that
// was started again meanwhile, and if it does not answer any more.
func TestDoesNotClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			noUser bool
			during func(user *fakeProcess)
			says   string // "": it knows
		}{
			"all is seen":  {false, func(*fakeProcess) {}, ""},
			"no pool user": {true, func(*fakeProcess) {}, "none of these processes is a pool user"},
			"restarted":    {false, func(p *fakeProcess) { p.status.Started = time.Now() }, "the process at user is another one"},
			"gone":         {false, func(p *fakeProcess) { p.dead = true }, "not all processes have answered"},
		} {
			var e events
			user, all := deployment()
			if c.noUser {
				all = all[1:]
			}
			a := attackOn(all, &e)
			a.For, a.Radius, a.RadiusSaid = 5*time.Second, 1, true
			time.AfterFunc(4*time.Second, func() { user.mu.Lock(); c.during(user); user.mu.Unlock() })
			r, _ := a.Run(t.Context(), t.Context())
			text := e.text()
			if r.Good() != (c.says == "") || strings.Contains(text, "No protected session was lost") != (c.says == "") || !strings.Contains(text, c.says) || r.Rounds == 0 {
				t.Errorf("%s: %+v\n%s", name, r, text)
			}
		}
	})
}

// Where nothing is allowed any more it says so, and waits for it to be allowed again.
func TestNotAllowedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		_, all := deployment()
		a := attackOn(all, &e)
		time.AfterFunc(5*time.Second, func() {
			for _, p := range all {
				p.mu.Lock()
				p.chaos.Allowed = nil
				p.mu.Unlock()
			}
		})
		if r := run(t, a); r.Rounds == 0 || !r.Good() || !strings.Contains(e.text(), "waits: nothing may be disturbed now: it was allowed") {
			t.Errorf("%+v\n%s", r, e.text())
		}
	})
}

// The stop button works also behind a process that was started again, and that knows of fewer stops than before.
func TestStopBehindRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		_, all := deployment()
		all[1].chaos.Stopped = 3
		a := attackOn(all, &e)
		time.AfterFunc(5*time.Second, func() { all[1].mu.Lock(); all[1].chaos.Stopped = 0; all[1].mu.Unlock() })
		time.AfterFunc(10*time.Second, func() { all[1].mu.Lock(); all[1].chaos.Stopped = 1; all[1].mu.Unlock() })
		begun := time.Now()
		if r, err := a.Run(t.Context(), t.Context()); err != nil || !r.Stopped || time.Since(begun) > 15*time.Second {
			t.Errorf("%v, %+v, after %v", err, r, time.Since(begun))
		}
	})
}
