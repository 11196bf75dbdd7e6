package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/rehearse"
	"github.com/poolproxy/poolproxy/session"
)

// ErrNotRehearsed is wrapped by the errors of Proxy.Rehearse where nothing was rehearsed. The text says why, and what to write.
var ErrNotRehearsed = errors.New("nothing was rehearsed")

// RehearsalWish says what is to be rehearsed.
type RehearsalWish struct {
	Session uint64        // this one; 0: those that are recorded
	Most    int           // so many of them at most
	Timeout time.Duration // how long all of it may take
}

// script is a session that is recorded.
type script struct {
	on   *shardRunner
	user uint64 // the serial number of its pool_user
	name string // that one's
	id   uint64

	client   string
	messages int
}

// Rehearse repeats what was recorded of sessions of a pool at its element for rehearsals, one session after another, and compares what comes
// back with what the clients got. Sessions themselves are not touched. One at a time for each pool. The error wraps pool.ErrUnknownPool or
// ErrNotRehearsed. It may be called from any goroutine.
func (p *Proxy) Rehearse(ctx context.Context, handle string, w RehearsalWish) (RehearsalReport, error) {
	now := p.common.now.Load()
	report, err := now.rehearsal(handle)
	if err != nil {
		return report, err
	}
	if _, busy := p.rehearsing.LoadOrStore(handle, true); busy {
		return report, fmt.Errorf("%w: another rehearsal of pool %q is going on", ErrNotRehearsed, handle)
	}
	defer p.rehearsing.Delete(handle)
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	all := p.scripts(handle)
	chosen, err := w.choose(handle, all)
	if err != nil {
		return report, err
	}
	report.Works = true
	for _, b := range now.users {
		if b.config.Pool != handle || b.config.Rehearsal == nil {
			continue
		}
		if u := p.rehearseUser(ctx, b.config, all, chosen); len(u.Sessions) > 0 {
			report.Users = append(report.Users, u)
			report.Works = report.Works && u.Works
		}
	}
	if len(report.Users) == 0 {
		return report, fmt.Errorf("%w: the pool_user of these sessions is not configured any more", ErrNotRehearsed)
	}
	return report, nil
}

// rehearsal begins the report on a pool, if rehearsals are configured.
func (l *layout) rehearsal(handle string) (RehearsalReport, error) {
	b := l.pools[handle]
	if b == nil {
		return RehearsalReport{}, fmt.Errorf("%w %q", pool.ErrUnknownPool, handle)
	}
	if len(b.config.Rehearsals) == 0 {
		return RehearsalReport{}, fmt.Errorf("%w: pool %q has no element for rehearsals. Write in it: element \"r\" { address = \"host:port\", "+
			"and on a line of its own rehearsal = true }; and in its pool_user: rehearsal { }", ErrNotRehearsed, handle)
	}
	if !slices.ContainsFunc(l.users, func(u *userBlock) bool { return u.config.Pool == handle && u.config.Rehearsal != nil }) {
		return RehearsalReport{}, fmt.Errorf("%w: no pool_user of pool %q records sessions. Write in one: rehearsal { sample = \"1%%\" }", ErrNotRehearsed, handle)
	}
	e := b.config.Rehearsals[0]
	return RehearsalReport{Pool: handle, Element: e.Name, Address: e.Address.String(), Users: []UserRehearsal{}}, nil
}

// scripts are the sessions of a pool that are recorded, those with most messages first.
func (p *Proxy) scripts(handle string) (all []script) {
	for _, r := range p.runners {
		r.do(func() {
			for _, u := range r.shard.users {
				if u.config.Pool != handle || u.config.Rehearsal == nil {
					continue
				}
				u.rules.Sessions(func(s *session.Session) {
					if x := s.Script(); x != nil {
						all = append(all, script{r, u.number(), u.config.Name, s.ID, s.Client, x.Recorded().Messages})
					}
				})
			}
		})
	}
	slices.SortFunc(all, func(a, b script) int { return cmp.Or(cmp.Compare(b.messages, a.messages), cmp.Compare(a.id, b.id)) })
	return all
}

// choose picks the sessions that are to be rehearsed.
func (w *RehearsalWish) choose(handle string, all []script) ([]script, error) {
	if w.Session != 0 {
		i := slices.IndexFunc(all, func(x script) bool { return x.id == w.Session })
		if i < 0 {
			return nil, fmt.Errorf("%w: session %d is not there, or is not recorded: that is decided when it begins (rehearsal { sample = \"1%%\" })", ErrNotRehearsed, w.Session)
		}
		return all[i : i+1], nil
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: none of the sessions that there are in pool %q is recorded. Those that began before rehearsal was configured, or before "+
			"an upgrade, are not, and of the others only a share: rehearsal { sample = \"1%%\" }", ErrNotRehearsed, handle)
	}
	return all[:min(len(all), max(w.Most, 1))], nil
}

// rehearseUser rehearses the chosen sessions of one pool_user.
func (p *Proxy) rehearseUser(ctx context.Context, c User, all, chosen []script) UserRehearsal {
	u := UserRehearsal{Name: c.Name, Protocol: c.Protocol.Name(), Replay: c.Failover.Replay.String(), Sessions: []SessionRehearsal{}, Notes: rehearsalNotes(c)}
	for _, x := range all {
		if x.name == c.Name {
			u.Recorded++
		}
	}
	tally := rehearse.NewTally(c.Protocol)
	for _, x := range chosen {
		if x.name != c.Name {
			continue
		}
		one := SessionRehearsal{ID: x.id, Client: x.client, Messages: x.messages}
		began := time.Now()
		told, err := p.rehearseOne(ctx, x)
		if err != nil {
			one.Failed = err.Error()
		} else {
			one.tally(tally, &told)
		}
		one.Took = time.Since(began)
		p.rehearsed(c, x, &one)
		u.Sessions = append(u.Sessions, one)
	}
	u.Kinds = tally.Kinds()
	u.judge(c.Failover.Unsafe)
	return u
}

// rehearsalNotes tells what of a rehearsal is not as it would be at a failover.
func rehearsalNotes(c User) []string {
	notes := []string{}
	for i, x := range c.Callbacks {
		if len(x.Exec) > 0 {
			notes = append(notes, fmt.Sprintf("callback %d is a program, which a rehearsal does not run", i+1))
		}
	}
	return notes
}

// rehearseOne rehearses one session on its shard, and waits for that.
func (p *Proxy) rehearseOne(ctx context.Context, x script) (told session.Rehearsed, err error) {
	end, ok := ctx.Deadline()
	if left := time.Until(end); !ok || left <= 0 || ctx.Err() != nil {
		return told, errors.New("there was no time left for it (timeout)")
	}
	done := make(chan session.Rehearsed, 1) // said once
	var side *rehearsalSide
	if !x.on.do(func() { side, err = x.on.shard.rehearse(x, time.Until(end), func(t session.Rehearsed) { done <- t }) }) {
		return told, ErrStopped
	}
	if err != nil {
		return told, err
	}
	select {
	case told = <-done:
		return told, nil
	case <-x.on.stopped:
		return told, ErrStopped
	case <-ctx.Done():
	}
	x.on.do(func() { side.end("it took too long (timeout), or nobody waited for it any more") })
	select {
	case told = <-done:
		return told, nil
	case <-x.on.stopped:
		return told, ErrStopped
	}
}

// rehearsed counts and logs what has become of one.
func (p *Proxy) rehearsed(c User, x script, s *SessionRehearsal) {
	x.on.do(func() { x.on.shard.count(rehearsals, c.Pool, c.Name, s.result()) })
	p.log.Info("rehearsal", "pool_user", c.Name, "session", s.ID, "result", s.result(), "messages", s.Repeated, "of", s.Messages, "replies", s.Replies,
		"different", s.Different, "not_joined", s.NotJoined, "stopped", s.Stopped, "failed", s.Failed)
}
