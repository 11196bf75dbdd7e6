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
