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
	return session.Trace{
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
	for i, c := range s.config.Pools {
		if s.index == 0 {
			to.Pools = append(to.Pools, s.poolStatus(c))
		}
		s.countServing(&to.Pools[i])
	}
	for i, u := range s.users {
		if s.index == 0 {
			to.Users = append(to.Users, UserStatus{Name: u.config.Name, Listen: u.listener.Addr().String(), Pool: u.config.Pool,
				Protocol: u.config.Protocol.Name(), Ack: u.config.Failover.Ack.String()})
		}
		to.Users[i].add(u)
		u.rules.Sessions(func(x *session.Session) { to.Sessions = append(to.Sessions, sessionStatus(u.config.Name, x.Info())) })
		m := s.poolConfig(u.config.Pool).Mapping
		u.links(func(a mapping.Association, up bool, legs int) {
			to.Associations = append(to.Associations, associationStatus("pool_user", u.config.Name, m, a, up, legs))
		})
	}
	for i, e := range s.elements {
		if s.index == 0 {
			to.Elements = append(to.Elements, ElementStatus{Name: e.name, Listen: e.listener.Addr().String(), Server: e.server.String(), Drained: e.drained,
				Health: e.health.text(), Cookies: len(s.config.Elements[i].CookieKey) > 0, Card: cardStatus(s.config.Elements[i].Card)})
		}
		to.Registrations = append(to.Registrations, e.registrationStatus()...)
		live, held := e.rules.Legs()
		to.Elements[i].Legs += live
		to.Elements[i].Held += held
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

// finish puts the records of all shards in the order of their time, and keeps the last ones.
func (s *Status) finish() {
	slices.SortStableFunc(s.Failovers, func(a, b Record) int { return a.Time.Compare(b.Time) })
	s.Failovers = s.Failovers[max(0, len(s.Failovers)-keptRecords):]
	s.finishPaths()
}

// add counts what a shard's side of the pool_user does.
func (s *UserStatus) add(u *userSide) {
	t := u.rules.Traffic()
	s.Sessions += u.rules.Count()
	s.ProtectedMessages += t.ProtectedMessages
	s.ProtectedBytes += t.ProtectedBytes
	s.UnprotectedMessages += t.UnprotectedMessages
	s.UnprotectedBytes += t.UnprotectedBytes
}

func (s *Shard) poolStatus(c Pool) PoolStatus {
	p := PoolStatus{Handle: c.Handle, Policy: c.Policy.String(), Mapping: c.Mapping.String()}
	for _, e := range s.common.pools[c.Handle].States() {
		var load *float64
		if c.Policy.Reads("load") {
			share := float64(e.Load) / math.MaxUint32
			load = &share
		}
		p.Elements = append(p.Elements, PoolElement{Name: e.Name, Address: e.Address.String(), Alive: e.Failures == 0,
			Failures: e.Failures, Load: load, Order: append([]string{}, e.Order...), Draining: e.Draining})
	}
	p.Source = s.sourceStatus(c)
	return p
}

// countServing adds this shard's sessions to the elements that serve them.
func (s *Shard) countServing(p *PoolStatus) {
	serving := make(map[string]int)
	for _, u := range s.users {
		if u.config.Pool == p.Handle {
			u.rules.Sessions(func(x *session.Session) { serving[x.Info().Element]++ })
		}
	}
	for i := range p.Elements {
		p.Elements[i].Sessions += serving[p.Elements[i].Name]
	}
}

func sessionStatus(user string, i session.Info) SessionStatus {
	return SessionStatus{ID: i.ID, User: user, Client: i.Client, Element: i.Element, Leg: i.Leg, State: i.State, Since: i.Since,
		FromClient: i.FromClient, ToClient: i.ToClient, Retained: i.Retained, Outstanding: i.Outstanding, Cookie: i.Cookie,
		Ack: i.Ack.String(), AckNote: i.AckNote, Protection: string(i.Protection), Reason: i.Reason, Leaves: i.Leaves, Stays: i.Stays}
}

func associationStatus(side, name string, m mapping.ID, a mapping.Association, up bool, legs int) AssociationStatus {
	as := AssociationStatus{Side: side, Name: name, Remote: a.Remote().String(), Mapping: m.String(), Up: up, Sessions: legs}
	st, _ := a.Status() // what the transport does not tell stays zero
	as.RTT, as.RTO, as.PMTU, as.HeartbeatRTT = st.RTT, st.RTO, st.PMTU, st.HeartbeatRTT
	as.Paths = pathsOf(a)
	return as
}
