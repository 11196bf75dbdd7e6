//go:build linux

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// longestLead is how long an upgrade is let go on before the failure strikes, at most: servers hold requests for not much longer.
const longestLead = 150 * time.Millisecond

// replacement is an upgrade of one sidecar, which the failure shall strike.
type replacement struct {
	at     int           // of which host; -1: it is the pool_user's
	done   chan struct{} // closed when it has come to its end
	err    error         // behind done: why nothing came of it
	struck bool          // the failure struck before that

	started, ended time.Time // ended: behind done
}

// failed reports that it came to nothing, though the failure is no reason for it.
func (u *replacement) failed(f *failure) bool {
	return u.err != nil && (f.hinders == nil || !f.hinders(u.at))
}

// replace begins to replace the sidecar of the host, the pool_user's, or both, waits until there are new processes, and sees to it that there
// are sidecars behind it.
func (s *step) replace() error {
	for _, i := range [][]int{{s.at}, {-1}, {s.at, -1}, {s.at, -1}}[s.random.IntN(4)] {
		u, p := &replacement{at: i, done: make(chan struct{})}, s.world.sidecar(i)
		go s.world.upgrade(u, p)
		s.replaced = append(s.replaced, u)
		s.heals = append(s.heals, func() error {
			<-u.done
			s.world.upgradeTook(u)
			if p != s.world.sidecar(i) || p.lives() {
				return nil // it has been started again already, or need not be
			}
			p.kill()
			if i < 0 {
				return s.world.startUser()
			}
			return s.world.startSidecar(i)
		})
		err := eventually(p.name+" starts the one that takes its place", func() bool { return within(u.done, 0) || p.hasChild() })
		if err != nil {
			return err
		}
		u.started = time.Now()
	}
	s.proofs = append(s.proofs, func(c *column) string { return upgraded(s.replaced, &s.failure, c) })
	return nil
}

// upgrade is ended by the answer, or by the end of who should give it; the heal waits for it.
func (w *world) upgrade(u *replacement, p *process) {
	defer close(u.done)
	pid, err := p.host.upgrade(w.plan.upgrade)
	if err == nil {
		p.current.Store(int64(pid))
	}
	u.err, u.ended = err, time.Now()
}

// upgradeTook notes how long an upgrade has taken from when there was a new process.
func (w *world) upgradeTook(u *replacement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u.err == nil && u.ended.After(u.started) {
		w.upgrades = u.ended.Sub(u.started)
	}
}

// upgradeTakes is how long the failure may wait when there is a new process: as long as the last upgrade took, so that it strikes in all of its
// parts, and seldom behind it.
func (w *world) upgradeTakes() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.upgrades == 0 {
		return longestLead / 5
	}
	return min(w.upgrades, longestLead)
}

// upgraded says why the failure did not strike a column during an upgrade; "": it did. Every upgrade must come to its end, but for those of
// which the failure is a reason that they do not, and one that concerns the column must have been struck.
func upgraded(all []*replacement, f *failure, c *column) string {
	why := "the upgrade was over, or was none of a sidecar that it goes through"
	for _, u := range all {
		switch {
		case u.failed(f):
			return fmt.Sprintf("the upgrade came to nothing: %v", u.err)
		case u.struck && (u.at < 0 || c.mapping != "none"):
			why = ""
		}
	}
	return why
}

// hasChild reports whether the process has started another one that lives.
func (p *process) hasChild() bool { return len(p.children()) > 0 }

// children are the processes that it has started, and which live.
func (p *process) children() (all []int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.pid()))
	for _, path := range threads {
		text, _ := os.ReadFile(path) // the thread may have ended
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				all = append(all, pid)
			}
		}
	}
	return all
}

// An upgrade counts that succeeds and is struck, or that fails by the failure.
func TestUpgradesThatCount(t *testing.T) {
	kill, server := failure{hinders: ofHost}, failure{}
	failed := fmt.Errorf("no")
	for name, e := range map[string]struct {
		f           *failure
		all         []*replacement
		tcp, direct bool
	}{
		"host's":                  {&server, []*replacement{{at: 0, struck: true}}, true, false},
		"pool_user's":             {&server, []*replacement{{at: -1, struck: true}}, true, true},
		"over":                    {&server, []*replacement{{at: 0}, {at: -1}}, false, false},
		"one is over":             {&server, []*replacement{{at: 0, struck: true}, {at: -1}}, true, false},
		"failed":                  {&server, []*replacement{{at: 0, struck: true}, {at: -1, struck: true, err: failed}}, false, false},
		"failed by it":            {&kill, []*replacement{{at: 0, struck: true, err: failed}}, true, false},
		"failed by it and beside": {&kill, []*replacement{{at: 0, struck: true, err: failed}, {at: -1, struck: true, err: failed}}, false, false},
	} {
		tcp, direct := upgraded(e.all, e.f, &column{mapping: "tcp"}), upgraded(e.all, e.f, &column{mapping: "none"})
		if (tcp == "") != e.tcp || (direct == "") != e.direct {
			t.Errorf("%s: %q, %q", name, tcp, direct)
		}
	}
}
