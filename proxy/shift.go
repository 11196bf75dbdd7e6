package proxy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// shift is how a shard goes from one layout to another: prepare makes all that may fail, and touches nothing; then it is either committed or
// undone. The first shard prepares last, since it listens, and commits first, within the same turn. It belongs to the shard's goroutine.
type shift struct {
	shard     *Shard
	next      *layout
	users     []*userSide    // those that are new
	elements  []*elementSide // likewise
	entrances []*entrance    // likewise; of the first shard
}

// prepare makes the sides of the blocks that this shard has not got, and listens where nobody does yet. An error names the block. Then
// nothing is left of it.
func (s *Shard) prepare(next *layout) (*shift, error) {
	if s.closed || s.stopping {
		return nil, ErrStopped
	}
	t := &shift{shard: s, next: next}
	s.shift = t
	for _, b := range next.elements {
		if s.element(b.serial) == nil {
			t.elements = append(t.elements, newElementSide(s, b))
		}
	}
	for _, b := range next.users {
		if s.user(b.serial) != nil {
			continue
		}
		side, err := newUserSide(s, b)
		if err != nil {
			t.undo()
			return nil, fmt.Errorf("pool_user %q: %w", b.config.Name, err)
		}
		t.users = append(t.users, side)
	}
	if s.index > 0 {
		return t, nil
	}
	if err := t.listen(); err != nil {
		t.undo()
		return nil, err
	}
	return t, nil
}

// listen opens the entrances that are missing.
func (t *shift) listen() error {
	s := t.shard
	for _, b := range t.next.elements {
		m := s.watched(b.config.sctp(), "pool_element", b.config.Name)
		if err := t.open(b.entrance(), m, associationConfig(b.config.Heartbeat)); err != nil {
			return fmt.Errorf("pool_element %q: %w", b.config.Name, s.inTheWay(b.entrance(), err))
		}
	}
	for _, b := range t.next.users {
		if err := t.open(b.entrance(), mapping.SCTPMapping{}, mapping.Config{}); err != nil {
			return fmt.Errorf("pool_user %q: %w", b.config.Name, s.inTheWay(b.entrance(), err))
		}
	}
	return nil
}

func (t *shift) open(key entranceKey, m mapping.SCTPMapping, c mapping.Config) error {
	known := slices.ContainsFunc(t.entrances, func(x *entrance) bool { return x.key == key }) // transparent pool_users share theirs
	if known || t.shard.entrances[key] != nil {
		return nil
	}
	d, err := t.shard.open(key, m, c)
	if err == nil {
		t.entrances = append(t.entrances, d)
	}
	return err
}

// inTheWay says so if it is this process itself that listens where it cannot be listened again: it goes on there until the new ones listen.
func (s *Shard) inTheWay(key entranceKey, err error) error {
	for _, d := range s.entrances {
		if at := d.listener.Addr(); at.Port() == key.at.Port() && (d.key.sctp == "") == (key.sctp == "") {
			return fmt.Errorf("%w: this process listens on %s, and would go on until the new address is had. Take another port, or restart", err, at)
		}
	}
	return err
}

// undo leaves everything as it was. There may be none (nil).
func (t *shift) undo() {
	if t == nil {
		return
	}
	for _, d := range t.entrances {
		d.listener.Close()
	}
	for _, u := range t.users {
		u.close()
	}
	for _, e := range t.elements {
		if e.before == nil {
			e.rules.Close()
		}
		e.dismantle()
	}
	t.shard.shift = nil
}

// commit makes the new layout the shard's. Nothing can fail any more. There may be none (nil), if the shard has been closed.
func (t *shift) commit() {
	if t == nil {
		return
	}
	s := t.shard
	s.shift, s.layout, s.config = nil, t.next, t.next.config
	s.loop.Buffers().LimitPages(s.config.Limits.Pipes, &s.common.pipes)
	t.commitElements()
	t.commitUsers()
	s.limitLegs()
	if s.index == 0 {
		t.commitEntrances()
		s.follow()
	}
	s.reviewChaos()
	if len(s.former)+len(s.leaving) > 0 {
		s.loop.Schedule(&s.sweep, s.loop.Now().Add(sweepEvery))
	}
}

// commitElements has the new pool_elements take over, in the order of the layout. Those that are gone are left, and stay behind them until the
// last leg has ended.
func (t *shift) commitElements() {
	s := t.shard
	old := s.elements
	s.elements = nil
	for _, b := range t.next.elements {
		e := find(old, b.serial)
		if e == nil {
			e = find(t.elements, b.serial)
			e.takeOver()
		}
		s.elements = append(s.elements, e)
	}
	for _, e := range old {
		switch {
		case slices.Contains(s.elements, e):
		case e.after != nil: // its legs are that one's
			s.former = append(s.former, e)
			s.leaving = slices.DeleteFunc(s.leaving, func(x leaver) bool { return x == leaver(e) })
		case e.leaving: // since an earlier one
			s.elements = append(s.elements, e)
		default:
			e.retire()
			s.elements = append(s.elements, e)
			s.leaving = append(s.leaving, e)
		}
	}
}

// commitUsers does the same for pool_users.
func (t *shift) commitUsers() {
	s := t.shard
	old := s.users
	s.users = nil
	for _, b := range t.next.users {
		u := find(old, b.serial)
		if u == nil {
			u = find(t.users, b.serial)
		}
		u.block, u.config = b, b.config
		s.users = append(s.users, u)
	}
	for _, u := range old {
		switch {
		case slices.Contains(s.users, u):
		case u.left: // since an earlier one
			s.users = append(s.users, u)
		default:
			if next := t.next.user(u.config.Name); next != nil {
				u.passOn(s.user(next.serial))
			}
			u.retire()
			s.users = append(s.users, u)
			s.leaving = append(s.leaving, u)
		}
	}
}

// commitEntrances has those come in at the entrances who stand behind them now, and closes the entrances that nobody has any more.
func (t *shift) commitEntrances() {
	s := t.shard
	old := s.entrances
	s.entrances = make(map[entranceKey]*entrance)
	for _, d := range t.entrances {
		s.entrances[d.key] = d
	}
	assign := func(key entranceKey, side visited) *entrance {
		if s.entrances[key] == nil {
			s.entrances[key] = old[key]
			s.entrances[key].users = nil
		}
		x := s.entrances[key]
		if x.behind = side; key.led != loop.Addressed {
			x.users = append(x.users, side.(*userSide))
		}
		x.prefer()
		return x
	}
	for i, b := range t.next.elements {
		s.elements[i].stand(assign(b.entrance(), s.elements[i]))
	}
	for i, b := range t.next.users {
		s.users[i].stand(assign(b.entrance(), s.users[i]))
	}
	for key, d := range old {
		if s.entrances[key] != nil {
			continue
		}
		if e := d.resumes(); e != nil && e.leaving && e.after == nil && !e.empty() {
			s.entrances[key] = d // until sweepLeft closes it
			continue
		}
		d.listener.Close()
	}
}

// side is one of the sides of a block.
type side interface{ number() uint64 }

// find finds the side with a serial number; a nil T: there is none.
func find[T side](all []T, serial uint64) (none T) {
	for _, x := range all {
		if x.number() == serial {
			return x
		}
	}
	return none
}

// user finds a pool_user's side on this shard, also one that is being prepared; nil: it has ended.
func (s *Shard) user(serial uint64) *userSide {
	if u := find(s.users, serial); u != nil || s.shift == nil {
		return u
	}
	return find(s.shift.users, serial)
}

// element finds a pool_element's side on this shard, also one that is being prepared, or that another has taken over from; nil: it has ended.
func (s *Shard) element(serial uint64) *elementSide {
	if e := find(s.elements, serial); e != nil {
		return e
	}
	if e := find(s.former, serial); e != nil || s.shift == nil {
		return e
	}
	return find(s.shift.elements, serial)
}

// leaver is a side whose block is gone: it is closed when nothing of it is left.
type leaver interface {
	empty() bool
	over() bool // called when it is empty: nobody takes over from it any more. False: somebody is about to
	close()
}

// bury keeps what is counted since the start.
func (s *Shard) bury(u *userSide) {
	if s.metrics != nil {
		u.measure(make(gauges)) // what there was since the last time
	}
	if s.past == nil {
		s.past = make(map[string]session.Traffic)
	}
	s.past[u.config.Name] = s.past[u.config.Name].Plus(u.rules.Traffic())
}

// shut closes the entrance of a side that has ended, if it has one yet.
func (s *Shard) shut(x leaver) {
	maps.DeleteFunc(s.entrances, func(_ entranceKey, d *entrance) bool {
		shut := any(d.behind) == any(x)
		if shut {
			d.listener.Close()
		}
		return shut
	})
}

// buried has the others of its pool look again, on all shards: an element may have been drained only by what it has told this one.
func (u *userSide) buried() {
	look := func(r *session.User) {
		r.Drains()
		r.Wake()
	}
	for _, x := range u.shard.users {
		if x != u && x.block.pool.pool == u.block.pool.pool {
			look(x.rules)
		}
	}
	u.elsewhere(look)
}

// sweepLeft closes what has nothing left, and comes again while something has.
func (s *Shard) sweepLeft() {
	s.leaving = slices.DeleteFunc(s.leaving, func(x leaver) bool {
		if !x.empty() || !x.over() {
			return false
		}
		u, is := x.(*userSide)
		if is {
			s.bury(u)
		}
		x.close()
		s.shut(x)
		if is {
			u.buried()
		}
		s.users = slices.DeleteFunc(s.users, func(u *userSide) bool { return leaver(u) == x })
		s.elements = slices.DeleteFunc(s.elements, func(e *elementSide) bool { return leaver(e) == x })
		return true
	})
	s.former = slices.DeleteFunc(s.former, func(e *elementSide) bool {
		idle := e.idle()
		if idle {
			e.dismantle()
		}
		return idle
	})
	if len(s.leaving)+len(s.former) > 0 {
		s.loop.Schedule(&s.sweep, s.loop.Now().Add(sweepEvery))
	}
}
