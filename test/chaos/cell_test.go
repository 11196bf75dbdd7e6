//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// outcome is what became of one column when a failure struck it.
type outcome struct {
	column  *column
	failure failure
	state   state
	struck  int    // sessions that were at the target, in that state, when it struck; without any the cell was missed
	missed  string // why, if it was not for the sessions
	good    bool   // nothing is to be held against it
	verdict *workload.Verdict
	gaps    []time.Duration

	protected, unprotected int // sessions
}

// step is one failure that strikes columns whose sessions are in a state.
type step struct {
	target
	failure  failure
	state    state
	subjects []*subject
	heals    []heal // of what was done before the failure, to be in that state
	replaced []*replacement
}

// play brings sessions of the columns into the state, lets the failure strike, heals it, and judges. If that cannot be done all is as before.
func (s *step) play() ([]outcome, error) {
	struck, err := s.pull()
	if err == nil {
		s.release()
		time.Sleep(s.between(s.failure.lasts))
	}
	if mended := s.mend(); mended != nil {
		err = errors.Join(err, fmt.Errorf("healing %s: %w", s.failure.name, mended))
	}
	if err != nil {
		s.release()
		for _, b := range s.subjects {
			b.stopped()
		}
		return nil, err
	}
	return s.judge(struck)
}

// pull has the failure strike sessions that are in the state, and says which.
func (s *step) pull() (struck map[*subject]bool, err error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if struck, err = s.aim(); err != nil {
		return nil, err
	}
	if err := s.lead(); err != nil {
		return nil, err
	}
	if s.failure.awaits != nil {
		s.failure.awaits(&s.target)
	}
	for _, u := range s.replaced {
		u.struck = !within(u.done, 0)
	}
	for _, b := range s.subjects {
		b.hit(time.Now())
	}
	cure, err := s.failure.strike(&s.target)
	if cure != nil {
		s.heals = append([]heal{cure}, s.heals...)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.failure.name, err)
	}
	return struck, nil
}

// mend undoes the failure, and what was done before it.
func (s *step) mend() (err error) {
	for _, h := range s.heals {
		err = errors.Join(err, h())
	}
	return err
}

// between is a time between two others.
func (s *step) between(t [2]time.Duration) time.Duration {
	return t[0] + time.Duration(s.random.Int64N(int64(t[1]-t[0])+1))
}

// prepare begins three sessions in each column, of which one is to send something unsafe, and waits until all are warm; then they come into
// their state.
func (s *step) prepare() error {
	if err := s.world.settle(s.columns); err != nil {
		return err
	}
	for _, c := range s.columns {
		for i := range 3 {
			s.subjects = append(s.subjects, c.begin(s.state, i == 2, s.random))
		}
	}
	for _, b := range s.subjects {
		if !within(b.ready, patience) {
			return fmt.Errorf("%s: a session does not come to life", b.column.name)
		}
	}
	if err := s.holdRedis(); err != nil {
		return err
	}
	for _, b := range s.subjects {
		b.goOn()
	}
	for _, b := range s.subjects {
		within(b.armed, held) // who is not in its state was not struck
	}
	return nil
}

// holdRedis has redis servers hold requests, who cannot be told so by the requests.
func (s *step) holdRedis() error {
	for _, c := range s.columns {
		if c.dialect.kind != workload.Redis || s.state == stateIdle || s.state == stateHalfSent || s.state == stateHalfReply {
			continue
		}
		at, err := s.world.serving()
		if err != nil {
			return err
		}
		for _, b := range s.subjects {
			if i, known := at[b.address()]; known && b.column == c {
				if err := c.holdRedis(i); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// within waits until a channel is closed.
func within(c <-chan struct{}, limit time.Duration) bool {
	select {
	case <-c:
		return true
	default:
	}
	select {
	case <-c:
		return true
	case <-time.After(limit):
		return false
	}
}

// aim chooses the host that most sessions are at, and says which these are.
func (s *step) aim() (struck map[*subject]bool, err error) {
	at, err := s.world.serving()
	if err != nil {
		return nil, err
	}
	struck = make(map[*subject]bool)
	votes := make([]int, len(s.world.hosts))
	for _, b := range s.subjects {
		if i, known := at[b.address()]; known {
			votes[i]++
		}
	}
	for i := range votes {
		if votes[i] > votes[s.at] {
			s.at = i
		}
	}
	for _, b := range s.subjects {
		i, known := at[b.address()]
		struck[b] = known && i == s.at && within(b.armed, 0)
	}
	return struck, nil
}

// lead does what comes before the failure in some states.
func (s *step) lead() error {
	switch s.state {
	case stateFailover: // the failure strikes where the sessions go
		first := s.target
		s.at = next(s.at)
		if err := s.holdAgain(); err != nil {
			return err
		}
		s.heals = append(s.heals, first.restartServers)
		_, err := killServers(&first)
		time.Sleep(s.between([2]time.Duration{0, 15 * time.Millisecond}))
		return err
	case stateDrain:
		at := s.at
		s.heals = append(s.heals, func() error { return s.each(func(c *column) error { return c.undrain(at) }) })
		err := s.each(func(c *column) error { return c.drain(at) })
		time.Sleep(s.between([2]time.Duration{0, 15 * time.Millisecond}))
		return err
	case stateUpgrade:
		if err := s.replace(); err != nil {
			return err
		}
		time.Sleep(s.between([2]time.Duration{0, s.world.upgradeTakes()}))
	}
	return nil
}

// holdAgain has requests be held where sessions go, too: a failover takes a millisecond or two, and would be over.
func (s *step) holdAgain() (err error) {
	for _, c := range s.columns {
		if c.dialect.kind == workload.Redis {
			err = errors.Join(err, c.holdRedis(s.at))
		}
	}
	for _, b := range s.subjects {
		r := b.struckIn()
		err = errors.Join(err, b.column.holds.Again(&r))
	}
	return err
}

// next is the host where sessions go that have to leave one: to the first in the order in which they prefer them.
func next(left int) int {
	if left == 0 {
		return 1
	}
	return 0
}

func (b *subject) address() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.client
}

// release lets the sessions go on that wait in their state, or before it.
func (s *step) release() {
	for _, b := range s.subjects {
		b.goOn()
		b.goFurther()
	}
}

// judge waits for the ends of all sessions.
//
// A session whose pool_user died is not protected.
func (s *step) judge(struck map[*subject]bool) ([]outcome, error) {
	var all []outcome
	var errs []error
	for _, c := range s.columns {
		var kept, open []*workload.Report
		o := outcome{column: c, failure: s.failure, state: s.state, missed: s.unproved(c)}
		for _, b := range s.subjects {
			if b.column != c {
				continue
			}
			r := <-b.report
			if struck[b] && o.missed == "" && b.met() {
				o.struck++
				o.gaps = append(o.gaps, b.gapSeen()...)
			}
			if s.failure.endsAll || c.dialect.unprotected || b.unsafe && !c.repeats(s.state) {
				open = append(open, r)
			} else {
				kept = append(kept, r)
			}
		}
		entries, wrong, err := c.written()
		errs = append(errs, err)
		o.verdict = workload.Judge(kept, entries, workload.Promise{Protected: true, Journals: true})
		o.verdict.Add(workload.Judge(open, entries, workload.Promise{Journals: true}))
		o.verdict.Findings = append(o.verdict.Findings, wrong...)
		o.protected, o.unprotected = len(kept), len(open)
		// The kernel ends the connections of a process that was killed as it ends others; and whether a server of mapping none has died, or only
		// this connection of it, can be known from its port alone, which is open again soon.
		if s.failure.endsAll || c.dialect.unprotected && c.mapping == "none" {
			o.verdict.Findings = slices.DeleteFunc(o.verdict.Findings, func(f workload.Finding) bool { return f.Kind == workload.Truncated })
		}
		o.good = o.verdict.Good()
		all = append(all, o)
	}
	return all, errors.Join(errs...)
}

// repeats reports whether a session survives in whose unsafe request the failure struck. Not if half of the reply was delivered: what
// cannot be repeated cannot be joined. Nor if it is http's, and half of it was sent: a server may act on a head.
func (c *column) repeats(s state) bool {
	return s != stateHalfReply && (s != stateHalfSent || c.dialect.kind != workload.HTTP)
}

// met reports whether the session was still in its state when the failure struck: servers hold requests for a while only, and the session
// may have been answered meanwhile, by the element where it has gone, or since the machine had no time for the tests.
func (b *subject) met() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.early
}

// gapSeen is how long the session had no answer behind the strike; nothing if it never had one.
func (b *subject) gapSeen() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gap == 0 {
		return nil
	}
	return []time.Duration{b.gap}
}

// newStep makes one, with a seed of its own.
func newStep(w *world, columns []*column, f failure, s state, seed uint64) *step {
	return &step{target: target{world: w, columns: columns, random: rand.New(rand.NewPCG(seed, 8))}, failure: f, state: s}
}
