package session

import (
	"strings"
	"testing"
	"time"
)

// A server that pushes something before each refusal does not make the search for another one endless: the client is answered when the
// deadline has passed.
func TestLoadingPushes(t *testing.T) {
	r, a, b := loaders(t, options{failover: with(quick, func(f *Failover) { f.Deadline = 5 * time.Second })})
	a.loading, b.loading = true, true
	refused := 0
	for _, s := range r.stations {
		s.app = func(e *end) {
			for {
				words, n := commandWords(e.got[e.answered:])
				if n == 0 {
					return
				}
				if e.answered += n; words[0] == "HELLO" {
					e.says("%1\r\n+proto\r\n:3\r\n", false)
					continue
				}
				refused++
				e.says(">2\r\n$10\r\ninvalidate\r\n_\r\n"+loadingReply, false)
			}
		}
	}
	c := r.client()
	c.says(command("HELLO", "3")+command("SET", "k"), false)
	before := r.w.Now()
	r.until("an error", func() bool { return strings.Contains(string(c.got), "-ERR poolproxy") })
	if took := r.w.Now().Sub(before); took > 7*time.Second || refused > 40 {
		t.Errorf("after %v, refused %d times", took, refused)
	}
	r.close()
}

// What is behind the refused request may have been carried out, and the server lives: it is not repeated, though it might be if the server had
// died.
func TestLoadingUnsafeBehind(t *testing.T) {
	r, a, b := loaders(t, options{failover: with(quick, func(f *Failover) { f.Unsafe = UnsafeReplay })})
	a.loading, a.begins = true, 1 // it serves what comes behind
	c := r.client()
	c.says(command("GET", "k")+command("SET", "k"), false)
	r.until("the answers", func() bool { return r.answered(loadingReply + "+did SET k\r\n") })
	if len(a.done) != 1 || len(b.done) != 0 {
		t.Errorf("done %q and %q", a.done, b.done)
	}
	r.close()
}

// The rest of a reply is had elsewhere though a request behind it is lost by that: the client cannot be told the refusal in the middle of it.
func TestLoadingMidReplyPipelined(t *testing.T) {
	r, _, b := loaders(t, options{})
	serve := r.stations[0].app
	r.stations[0].app = func(e *end) { e.says("+did G", false) }
	b.loading, b.begins = true, 1
	c := r.client()
	c.says(command("GET", "k"), false)
	r.until("half", func() bool { return r.answered("+did G") })
	r.stations[0].app = serve
	r.stations[1].slow = time.Second
	r.stations[0].die(true)
	r.w.RunFor(100 * time.Millisecond)
	c.says(command("SET", "k"), false)
	r.until("the rest", func() bool { return c.reset || strings.HasPrefix(string(c.got), "+did GET k\r\n-ERR poolproxy") })
	if c.reset {
		t.Errorf("reset behind %q", c.got)
	}
	if strings.Count(strings.Join(b.done, " "), "SET") != 1 { // by who refused GET; of that nothing was known
		t.Errorf("done %q", b.done)
	}
	r.close()
}

// A client that has finished is answered all the same.
func TestLoadingHalfClosed(t *testing.T) {
	for _, begins := range []int{3, 0} {
		r, a, b := loaders(t, options{failover: with(quick, func(f *Failover) { f.Deadline = 5 * time.Second })})
		a.loading, b.loading, a.begins, b.begins = true, true, begins, begins
		c := r.client()
		c.says(command("SET", "k"), true)
		want := "+did SET k\r\n"
		if begins == 0 {
			want = "-ERR poolproxy"
		}
		r.until("an answer", func() bool { return strings.HasPrefix(string(c.got), want) })
		if begins == 0 {
			r.until("it is closed", func() bool { return c.closed })
		}
		r.close()
	}
}

// Where all of a session is repeated the next server is waited for behind the fence each time. The deadline holds all the same.
func TestLoadingWhole(t *testing.T) {
	for _, begins := range []int{3, 0} {
		r, _, b := loaders(t, options{failover: with(quick, func(f *Failover) {
			f.Deadline, f.Replay, f.Unsafe = 20*time.Second, ReplaySession, UnsafeReplay
		})})
		c := r.client()
		c.says(command("SET", "a")+command("GET", "a"), false)
		want := "+did SET a\r\n+did GET a\r\n"
		r.until("answers", func() bool { return r.answered(want) })
		b.loading, b.begins = true, begins
		r.stations[0].die(true)
		c.says(command("GET", "b"), false)
		if begins > 0 {
			r.until("the next answer", func() bool { return r.answered(want + "+did GET b\r\n") })
		} else {
			before := r.w.Now()
			r.until("the end", func() bool { return c.closed || c.reset })
			if took := r.w.Now().Sub(before); took > 40*time.Second || !strings.HasPrefix(string(c.got), want) {
				t.Errorf("after %v: %q", took, c.got)
			}
		}
		r.close()
	}
}
