package proxy

import (
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
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

// status fills in what the shard is doing.
func (s *Shard) status(to *Status) {
	for _, c := range s.config.Pools {
		to.Pools = append(to.Pools, s.poolStatus(c))
	}
	for _, u := range s.users {
		to.Users = append(to.Users, u.status())
		u.rules.Sessions(func(x *session.Session) { to.Sessions = append(to.Sessions, sessionStatus(u.config.Name, x.Info())) })
		m := s.poolConfig(u.config.Pool).Mapping
		u.rules.Links(func(e pool.Element, a mapping.Association, up bool, legs int) {
			to.Associations = append(to.Associations, associationStatus("pool_user", u.config.Name, m, a, up, legs))
		})
	}
	for _, e := range s.elements {
		live, held := e.rules.Legs()
		to.Elements = append(to.Elements, ElementStatus{Name: e.name, Listen: e.listener.Addr().String(), Server: e.server.String(),
			Legs: live, Held: held, Health: e.health.text()})
		e.rules.Links(func(a mapping.Association, up bool, legs int) {
			to.Associations = append(to.Associations, associationStatus("pool_element", e.name, mapping.TCP, a, up, legs))
		})
	}
	to.Failovers = append(to.Failovers, s.records[max(len(s.records)-keptRecords, 0):]...)
}

func (u *userSide) status() UserStatus {
	t := u.rules.Traffic()
	return UserStatus{Name: u.config.Name, Listen: u.listener.Addr().String(), Pool: u.config.Pool, Protocol: u.config.Protocol.Name(),
		Sessions: u.rules.Count(), Ack: u.config.Failover.Ack.String(), ProtectedMessages: t.ProtectedMessages,
		ProtectedBytes: t.ProtectedBytes, UnprotectedMessages: t.UnprotectedMessages, UnprotectedBytes: t.UnprotectedBytes}
}

func (s *Shard) poolStatus(c Pool) PoolStatus {
	p := PoolStatus{Handle: c.Handle, Policy: c.Policy.String(), Mapping: c.Mapping.String()}
	serving := make(map[string]int)
	for _, u := range s.users {
		if u.config.Pool == c.Handle {
			u.rules.Sessions(func(x *session.Session) { serving[x.Info().Element]++ })
		}
	}
	for _, e := range s.pools[c.Handle].States() {
		p.Elements = append(p.Elements, PoolElement{Name: e.Name, Address: e.Address.String(), Alive: e.Failures == 0,
			Failures: e.Failures, Sessions: serving[e.Name]})
	}
	return p
}

func sessionStatus(user string, i session.Info) SessionStatus {
	return SessionStatus{ID: i.ID, User: user, Client: i.Client, Element: i.Element, Leg: i.Leg, State: i.State, Since: i.Since,
		FromClient: i.FromClient, ToClient: i.ToClient, Retained: i.Retained, Outstanding: i.Outstanding,
		Ack: i.Ack.String(), AckNote: i.AckNote, Protection: string(i.Protection), Reason: i.Reason}
}

func associationStatus(side, name string, m mapping.ID, a mapping.Association, up bool, legs int) AssociationStatus {
	as := AssociationStatus{Side: side, Name: name, Remote: a.Remote().String(), Mapping: m.String(), Up: up, Sessions: legs}
	st, _ := a.Status() // what the transport does not tell stays zero
	as.RTT, as.RTO, as.PMTU, as.HeartbeatRTT = st.RTT, st.RTO, st.PMTU, st.HeartbeatRTT
	return as
}
