package proxy

import (
	"math"
	"slices"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// trace is what the rules of one side report to: the log, the metrics, and the records of failovers.
func (s *Shard) trace(name string) session.Trace {
	log := s.log.Named(name)
	t := session.Trace{
		Log: func(level byte, message string, args ...any) {
			switch level {
			case 'w':
				log.Warn(message, args...)
			case 'i':
				log.Info(message, args...)
			default:
				log.Debug(message, args...)
			}
		},
		Refused: func(what string, code session.Code) {
			if what == "resume" && code == session.CodeUnauthorized {
				s.count(stolenTokens, name) // a token of another pool user
			}
		},
		Failover: func(r session.Record) { s.record(Record{User: name, Record: r}) },
	}
	s.observe(name, &t)
	return t
}

func (s *Shard) record(r Record) {
	if len(s.records) == 2*keptRecords { // seldom: when a server with thousands of sessions dies, there are as many records
		n := copy(s.records, s.records[keptRecords+1:])
		s.records = s.records[:n]
	}
	s.records = append(s.records, r)
	s.log.Info("failover", "pool_user", r.User, "session", r.Session, "leg", r.Leg, "kind", r.Kind, "from", r.From, "to", r.To,
		"cause", r.Cause, "detector", r.Detector, "detect", r.Detect, "fence", r.Fence, "choose", r.Choose, "connect", r.Connect,
		"restored", r.Restored, "replayed", r.Replayed, "first_reply", r.First, "elements_tried", r.Tried,
		"replayed_messages", r.Messages, "replayed_bytes", r.Bytes, "discarded", r.Skipped, "saved", r.Saved,
		"lost_replies", r.Lost, "verdict", r.Verdict)
	s.measure(r)
}

// status adds what this shard is doing. The first shard is asked first.
func (s *Shard) status(to *Status) {
	s.outline(to)
	for all := s.sessionIDs(); len(all) > 0; {
		all = s.someSessions(to, all)
	}
}

// outline is the status but for the sessions.
func (s *Shard) outline(to *Status) {
	for _, c := range s.config.Pools {
		if s.index == 0 {
			to.Pools = append(to.Pools, s.poolStatus(c))
		}
	}
	for _, u := range s.users {
		to.user(u).add(u)
		m := u.block.pool.config.Mapping
		u.links(func(a mapping.Association, up bool, legs int) {
			to.Associations = append(to.Associations, associationStatus("pool_user", u.config.Name, m, a, up, legs))
		})
	}
	for i := range to.Users {
		to.Users[i].count(s.past[to.Users[i].Name])
	}
	for _, e := range s.elements {
		to.Registrations = append(to.Registrations, e.registrationStatus()...)
		live, held := e.rules.Legs()
		is := to.element(e)
		is.Legs += live
		is.Held += held
		e.rules.Links(func(a mapping.Association, up bool, legs int) {
			to.Associations = append(to.Associations, associationStatus("pool_element", e.name, e.mapping, a, up, legs))
		})
		if n, is := e.rules.(*nativeElement); is {
			to.Natives = append(to.Natives, n.status()...)
		}
	}
	to.Failovers = append(to.Failovers, s.records[max(len(s.records)-keptRecords, 0):]...)
	to.PathChanges = append(to.PathChanges, s.changes[max(len(s.changes)-keptRecords, 0):]...)
}

// user is where it is told of a pool_user. The first shard's that are configured come first; sessions that began when it was
// configured otherwise count for the one that there is now.
func (s *Status) user(u *userSide) *UserStatus {
	for i := range s.Users {
		if s.Users[i].Name == u.config.Name {
			return &s.Users[i]
		}
	}
	x := u.status()
	x.Leaving = u.entrance == nil
	if u.entrance != nil {
		x.Listen = u.entrance.address().String()
	}
	s.Users = append(s.Users, x)
	return &s.Users[len(s.Users)-1]
}

// element is where it is told of a pool_element, likewise.
func (s *Status) element(e *elementSide) *ElementStatus {
	for i := range s.Elements {
		if s.Elements[i].Name == e.name {
			return &s.Elements[i]
		}
	}
	c := e.block.config
	x := ElementStatus{Name: e.name, Server: e.server.String(), Header: e.sendProxy.String(), Drained: e.drained, Health: e.health.text(), Cookies: len(c.CookieKey) > 0,
		Card: cardStatus(c.Card), Leaving: e.entrance == nil}
	if at := e.address(); at.IsValid() {
		x.Listen = at.String()
	}
	s.Elements = append(s.Elements, x)
	return &s.Elements[len(s.Elements)-1]
}

// finish puts the records of all shards in the order of their time, and keeps the last ones.
func (s *Status) finish() {
	slices.SortStableFunc(s.Failovers, func(a, b Record) int { return a.Time.Compare(b.Time) })
	s.Failovers = s.Failovers[max(0, len(s.Failovers)-keptRecords):]
	s.finishPaths()
	s.noNulls()
}

// noNulls makes lists in which nothing is lists in JSON, too.
func (s *Status) noNulls() {
	s.Pools, s.Users, s.Elements = listed(s.Pools), listed(s.Users), listed(s.Elements)
	s.Associations, s.Sessions, s.Natives = listed(s.Associations), listed(s.Sessions), listed(s.Natives)
	s.Failovers, s.PathChanges, s.Registrations = listed(s.Failovers), listed(s.PathChanges), listed(s.Registrations)
}

// listed is the slice, or an empty one in place of nil, which would be null in JSON.
func listed[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// status is what the pool_user has been told to do.
func (u *userSide) status() UserStatus {
	c := &u.config
	s := UserStatus{Name: c.Name, Pool: c.Pool, Protocol: c.Protocol.Name(), Ack: c.Failover.Ack.String(),
		Transparent: c.Transparent.String(), Match: []string{}, Trusted: []string{}, Refused: map[string]uint64{}}
	for _, m := range c.Match {
		s.Match = append(s.Match, m.String())
	}
	if c.Accept != nil {
		for _, network := range c.Accept.Trusted {
			s.Trusted = append(s.Trusted, network.String())
		}
	}
	return s
}

// add counts what a shard's side of the pool_user does.
func (s *UserStatus) add(u *userSide) {
	s.Sessions += u.rules.Count()
	s.count(u.rules.Traffic())
	for r, n := range u.refused {
		if n > 0 {
			s.Refused[refusals[r].word] += n
		}
	}
}

func (s *UserStatus) count(t session.Traffic) {
	s.ProtectedMessages += t.ProtectedMessages
	s.ProtectedBytes += t.ProtectedBytes
	s.UnprotectedMessages += t.UnprotectedMessages
	s.UnprotectedBytes += t.UnprotectedBytes
}

func (s *Shard) poolStatus(c Pool) PoolStatus {
	p := PoolStatus{Handle: c.Handle, Policy: c.Policy.String(), Mapping: c.Mapping.String(), Header: c.SendProxy.String()}
	for _, e := range s.layout.pools[c.Handle].pool.States() {
		var load *float64
		if c.Policy.Reads("load") {
			share := float64(e.Load) / math.MaxUint32
			load = &share
		}
		p.Elements = append(p.Elements, PoolElement{Name: e.Name, Address: e.Address.String(), Alive: e.Failures == 0,
			Failures: e.Failures, Load: load, Order: append([]string{}, e.Order...), Draining: e.Draining, Full: e.Full})
	}
	p.Elements, p.Source = listed(p.Elements), s.sourceStatus(c)
	return p
}

// sessionAt is a session of one of the shard's pool_users.
type sessionAt struct {
	user uint64 // its serial number
	id   uint64
}

// sessionIDs are the sessions that there are.
func (s *Shard) sessionIDs() (all []sessionAt) {
	for _, u := range s.users {
		u.rules.Sessions(func(x *session.Session) { all = append(all, sessionAt{u.number(), x.ID}) })
	}
	return all
}

// someEach is how many sessions are asked at once: whether one is protected takes about a microsecond, and much longer where a plan is long. The shard
// has other work between.
const someEach = 256

// someSessions adds the first of these sessions, and returns the others. Those that have ended meanwhile are left out.
func (s *Shard) someSessions(to *Status, all []sessionAt) []sessionAt {
	n := min(len(all), someEach)
	for _, at := range all[:n] {
		u := s.user(at.user)
		if u == nil {
			continue
		}
		if x := u.rules.Session(at.id); x != nil {
			one := sessionStatus(u.config.Name, x.Info())
			to.Sessions = append(to.Sessions, one)
			to.serves(u.config.Pool, one.Element)
		}
	}
	return all[n:]
}

// serves counts a session at the element that serves it.
func (s *Status) serves(pool, element string) {
	if s.serving == nil {
		s.serving = make(map[[2]string]*int)
		for i := range s.Pools {
			p := &s.Pools[i]
			for k := range p.Elements {
				s.serving[[2]string{p.Handle, p.Elements[k].Name}] = &p.Elements[k].Sessions
			}
		}
	}
	if n := s.serving[[2]string{pool, element}]; n != nil {
		*n++
	}
}

func sessionStatus(user string, i session.Info) SessionStatus {
	return SessionStatus{ID: i.ID, User: user, Client: i.Client, Dialed: i.Dialed, Element: i.Element, Leg: i.Leg, State: i.State, Since: i.Since,
		FromClient: i.FromClient, ToClient: i.ToClient, Retained: i.Retained, Outstanding: i.Outstanding, Cookie: i.Cookie,
		Ack: i.Ack.String(), AckNote: i.AckNote, Protection: string(i.Protection), Reason: i.Reason, Leaves: i.Leaves, Stays: i.Stays}
}

func associationStatus(side, name string, m mapping.ID, a mapping.Association, up bool, legs int) AssociationStatus {
	as := AssociationStatus{Side: side, Name: name, Remote: a.Remote().String(), Mapping: m.String(), Up: up, Sessions: legs}
	st, _ := a.Status() // what the transport does not tell stays zero
	as.RTT, as.RTO, as.PMTU, as.HeartbeatRTT = st.RTT, st.RTO, st.PMTU, st.HeartbeatRTT
	as.Paths = pathsOf(a)
	if known, ok := a.(interface{ Identity() string }); ok {
		as.Peer = known.Identity()
	}
	return as
}
