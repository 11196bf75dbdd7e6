package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	lookEvery = 200 * time.Millisecond // between two looks; longer if they take long
	settling  = 400 * time.Millisecond // that it has to be calm before something new begins
	patience  = time.Minute            // at the end, for sessions in a pause
	ending    = 5 * time.Second        // at the end, for processes that do not answer: each step of it
	undoing   = 15 * time.Second       // for a process to undo what it does
	slowLook  = 5                      // so many times of what a look takes pass before the next one: looking must not be what disturbs
)

// Attack is one run of chaos.
type Attack struct {
	Settings
	Peers []*Peer
	Say   Say

	begun   time.Time
	strikes []*struck
	rounds  int
	busy    time.Time        // when something was going on, last
	said    string           // what it waits for, as it was said last
	stopped bool             // before its time
	unsure  bool             // a process did not answer: it may be doing what it was asked for
	silent  time.Time        // since when not all processes have answered; zero: they do
	stops   map[*Peer]uint64 // how often others had everything undone, by process, when it was looked at last
	report  *tally

	forgiven map[string]int // by address: how many failures in a row an element was found with because of what was done to it
}

// struck is a strike that was asked for.
type struck struct {
	*strike
	id    string
	asked time.Time
	over  time.Time // zero: it goes on
}

// Prepare asks all processes, and says what will be done. The error is that nothing can be.
func (a *Attack) Prepare(ctx context.Context) error {
	f, err := a.look(ctx)
	if err != nil {
		return err
	}
	if err := a.refuses(f); err != nil {
		return err
	}
	a.about(f)
	return nil
}

// DryRun says what would be hit, for the present state, each by itself. Nothing is done. The processes are asked what exactly they would hit.
func (a *Attack) DryRun(ctx context.Context) error {
	f, err := a.look(ctx)
	if err != nil {
		return err
	}
	number := 1
	for round := range a.atMost() {
		f = newField(f.processes, a.Pool)
		for _, s := range a.round(f, round, number) {
			at := time.Duration(round) * a.Every
			e := Event{Event: "would"}.of(s)
			d, err := s.target.peer.disturb(ctx, s.order(true))
			switch {
			case impossible(err), nothingToHit(err):
				if impossible(err) {
					a.impossible(s)
				}
				e.Text = fmt.Sprintf("%8v  #%d %v: nothing, now: %v", at, s.number, s, err)
			case err != nil:
				return err
			default:
				e.Hit = d.Hit
				e.Text = fmt.Sprintf("%8v  #%d %v: would hit %s", at, s.number, s, orNothing(d.Hit))
			}
			a.say(e)
			number++
		}
	}
	if number == 1 {
		return a.stuck(f)
	}
	a.say(Event{Event: "would", Text: "Nothing was disturbed. Without -dry-run it is these, as long as the state is the same; fewer if sessions need longer than -every."})
	return nil
}

// atMost is how many rounds there are at most.
func (a *Attack) atMost() int { return max(1, int((a.For+a.Every-1)/a.Every)) }

// mostShown is how much of what was hit people are shown; -json has all that the process tells.
const mostShown = 3

func orNothing(hit []string) string {
	switch {
	case len(hit) == 0:
		return "nothing"
	case len(hit) > mostShown:
		return fmt.Sprintf("%s, and %d more", list(hit[:mostShown]), len(hit)-mostShown)
	}
	return list(hit)
}

// Run disturbs until the time is over, or until ctx is; then all is undone. hard ends what is still being undone then. The report is there in any case;
// the error is that something could not be seen or undone.
func (a *Attack) Run(ctx, hard context.Context) (*Report, error) {
	f, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	a.begun, a.report, a.stops = time.Now(), newTally(f), make(map[*Peer]uint64)
	a.stoppedElsewhere(f)
	a.forgiven = make(map[string]int)
	a.report.ended.begin = counted(ctx, a.Peers)
	err = a.attack(ctx, hard)
	if ctx.Err() != nil {
		a.note("undoing everything; a second Ctrl-C gives that up")
		a.stopped = true
	}
	if a.stopped || a.unsure || a.going() {
		if undone := a.undo(hard); undone != nil {
			err = undone // who does not answer is in it
		}
	}
	if lookErr := a.lastLook(hard); err == nil {
		err = lookErr
	}
	r := a.report.report(a)
	a.say(Event{Event: "report", Text: r.Text(), Report: r})
	return r, err
}

// lastLook is for the report.
func (a *Attack) lastLook(hard context.Context) error {
	hard, cancel := a.hurried(hard)
	defer cancel()
	last, err := a.look(hard)
	if a.report.blind = err != nil; err == nil {
		a.follow(last)
	}
	a.report.ended.finish = counted(hard, a.Peers)
	return err
}

// hurried bounds what is asked at the end of processes of which one does not answer: it may never do.
func (a *Attack) hurried(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.silent.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, ending)
}

// attack goes on until there is nothing more to be done.
func (a *Attack) attack(ctx, hard context.Context) error {
	next, end := a.begun, a.begun.Add(a.For)
	for ctx.Err() == nil {
		began := time.Now()
		f, err := a.lookUntil(ctx, end)
		now := time.Now()
		took := now.Sub(began)
		if err == nil {
			a.follow(f)
		}
		over := !now.Before(end)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && a.stoppedElsewhere(f):
			a.note("somebody has had everything undone (poolproxy chaos stop): this ends, too")
			a.stopped = true
			return nil
		case over && err != nil && now.Sub(end) >= ending && now.Sub(a.silent) >= ending:
			return a.alone(err)
		case over && err == nil && now.After(end.Add(a.HoldMax+patience)):
			a.gaveUp(f)
			return nil
		case err != nil:
			a.waits("waits: " + err.Error() + ". Nothing new begins until it answers")
		case over && !a.going() && a.calm(now):
			return nil
		case over || now.Before(next):
		case !a.Overlap && !a.calm(now):
			a.waitsFor(f)
		default:
			if a.strike(hard, f) {
				next = now.Add(a.Every)
			}
		}
		wait(ctx, max(lookEvery, slowLook*took))
	}
	return nil
}

// stoppedElsewhere reports whether somebody has had a process undo everything since the last look. One that was started again counts from 0.
func (a *Attack) stoppedElsewhere(f *field) (stopped bool) {
	for _, p := range f.processes {
		was, known := a.stops[p.peer]
		stopped = stopped || known && p.chaos.Stopped > was
		a.stops[p.peer] = p.chaos.Stopped
	}
	return stopped
}

// wait returns after the time, or when ctx is over.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// gaveUp says why the end was not waited for any longer.
func (a *Attack) gaveUp(f *field) {
	if f.moving > 0 {
		a.note(fmt.Sprintf("%s: still in a pause, %v after the last disturbance; the report is without what becomes of that", plural(f.moving, "session"), patience))
	}
}

// alone is the error of processes that do not answer, which names them, when they are left to themselves.
func (a *Attack) alone(err error) error {
	return fmt.Errorf("%w. That is not waited for any longer: what is disturbed there undoes itself at its time, %v after it began at the latest", err, a.HoldMax)
}

// lookUntil is look, and finds out since when not all have answered. Behind the end nobody is given long.
func (a *Attack) lookUntil(ctx context.Context, end time.Time) (*field, error) {
	began := time.Now()
	if !began.Before(end) {
		hurried, cancel := context.WithTimeout(ctx, ending)
		defer cancel()
		ctx = hurried
	}
	f, err := a.look(ctx)
	switch {
	case err == nil:
		a.silent = time.Time{}
	case a.silent.IsZero():
		a.silent = began
	}
	return f, err
}

// look asks all processes at once.
func (a *Attack) look(ctx context.Context) (*field, error) {
	processes := make([]*process, len(a.Peers))
	errs := a.each(func(i int, p *Peer) (err error) {
		processes[i], err = p.look(ctx)
		return err
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	f := newField(processes, a.Pool)
	a.forgive(f)
	return f, nil
}

// forgive has elements live that were found dead while they were disturbed here, and not again since: pool users only find out that an element serves
// again when they try it, and a session that stays where it is tries none.
func (a *Attack) forgive(f *field) {
	now := time.Now()
	for _, s := range a.strikes {
		recent := s.over.IsZero() || now.Sub(s.over) <= attributed
		for _, was := range s.target.elements {
			is := f.pools[was.pool.handle]
			if is == nil || is.elements[was.name] == nil || is.elements[was.name].address != was.address {
				continue
			}
			e := is.elements[was.name]
			switch {
			case recent:
				a.forgiven[was.address] = max(a.forgiven[was.address], e.failures)
			case !e.failed:
				delete(a.forgiven, was.address)
			}
			e.failed = e.failed && e.failures > a.forgiven[was.address]
		}
	}
}

// each does something with all processes at once, and returns when all are done.
func (a *Attack) each(do func(i int, p *Peer) error) []error {
	errs, done := make([]error, len(a.Peers)), make(chan struct{})
	for i, p := range a.Peers {
		go func() { // ends with its request, which has a limit of time; it is waited for below
			defer func() { done <- struct{}{} }()
			errs[i] = do(i, p)
		}()
	}
	for range a.Peers {
		<-done
	}
	return errs
}

// follow finds out what has ended, and what became of sessions.
func (a *Attack) follow(f *field) {
	now := time.Now()
	for _, s := range a.strikes {
		if s.over.IsZero() && !f.goesOn(s.target.peer, s.id) {
			s.over = now
			a.say(Event{Event: "over", Text: fmt.Sprintf("#%d over after %v: undone", s.number, now.Sub(s.asked).Round(lookEvery/2))}.of(s.strike))
		}
	}
	a.report.follow(a, f)
	if a.going() || f.moving > 0 || !a.Overlap && f.active > 0 {
		a.busy = now
	}
}

// going reports whether something that was asked for has not ended.
func (a *Attack) going() bool {
	return slices.ContainsFunc(a.strikes, func(s *struck) bool { return s.over.IsZero() })
}

// calm reports whether nothing has been going on for a while.
func (a *Attack) calm(now time.Time) bool { return now.Sub(a.busy) >= settling }

// strike has the next round done. It reports false if there was nothing that may be disturbed.
func (a *Attack) strike(hard context.Context, f *field) bool {
	round := a.round(f, a.rounds, len(a.strikes)+1)
	if len(round) == 0 {
		a.waits("waits: " + a.stuck(f).Error())
		return false
	}
	a.rounds++
	for _, s := range round {
		a.say(Event{Event: "begins", Text: fmt.Sprintf("#%d %v", s.number, s)}.of(s))
		d, err := s.target.peer.disturb(hard, s.order(false))
		is := &struck{strike: s, id: d.ID, asked: time.Now()}
		a.strikes = append(a.strikes, is)
		if err != nil {
			is.over = is.asked
			a.report.failed(s)
			switch {
			case impossible(err):
				a.impossible(s)
			case !nothingToHit(err):
				a.unsure = true
			}
			a.say(Event{Event: "failed", Text: fmt.Sprintf("#%d was not done: %v", s.number, err)}.of(s))
			continue
		}
		e := Event{Event: "hit", Text: fmt.Sprintf("#%d hits %s", s.number, orNothing(d.Hit))}.of(s)
		e.Hit = d.Hit
		a.say(e)
		a.report.done(s, len(d.Hit))
		if !lasts(s.kind) {
			is.over = is.asked
		}
	}
	a.busy, a.said = time.Now(), ""
	return true
}

// waitsFor says what it waits for, once.
func (a *Attack) waitsFor(f *field) {
	switch {
	case a.going():
		return // it is said to be over when it is
	case f.active > 0:
		a.waits(fmt.Sprintf("waits for %s of somebody else's; poolproxy chaos stop would undo all", plural(f.active, "disturbance")))
	case f.moving > 0:
		a.waits(fmt.Sprintf("waits: %s in a pause", plural(f.moving, "session")))
	}
}

// waits says what it waits for, if that was not said last.
func (a *Attack) waits(text string) {
	if kind, _, _ := strings.Cut(text, " in a pause"); a.said != kind {
		a.said = kind
		a.say(Event{Event: "waits", Text: printable(text)})
	}
}

func (a *Attack) note(text string) { a.say(Event{Event: "note", Text: text}) }

func (a *Attack) say(e Event) {
	e.Time = time.Now()
	a.Say(e)
}

// undo has all processes undo all.
func (a *Attack) undo(hard context.Context) error {
	hard, cancel := a.hurried(hard)
	defer cancel()
	err := Stop(hard, a.Peers, a.Say)
	if err == nil {
		return nil
	}
	if a.silent.IsZero() {
		a.silent = time.Now()
	}
	return a.alone(err)
}

// Stop has all processes undo all disturbances, whoever asked for them, and says which did. The error has those that did not.
func Stop(ctx context.Context, peers []*Peer, say Say) error {
	ctx, cancel := context.WithTimeout(ctx, undoing)
	defer cancel()
	a := &Attack{Peers: peers, Say: say}
	errs := a.each(func(_ int, p *Peer) error { return p.undoAll(ctx) })
	for i, p := range peers {
		if errs[i] == nil {
			a.say(Event{Event: "undone", Admin: p.Address, Text: "undone: nothing is disturbed any more at " + printable(p.Address)})
		}
	}
	return errors.Join(errs...)
}
