package proxy

import (
	"net/netip"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// PathStatus is one of the paths of an association over SCTP: an address of the peer.
type PathStatus struct {
	Address string        `json:"address"`
	State   string        `json:"state"`   // active | inactive | failing | unconfirmed
	Primary bool          `json:"primary"` // the one that is used while it is active
	RTT     time.Duration `json:"rtt_ns"`
	RTO     time.Duration `json:"rto_ns"`
	PMTU    int           `json:"pmtu_bytes"`
}

// PathChange is the record of a path that has failed, or works again.
type PathChange struct {
	Time   time.Time `json:"time"`
	Side   string    `json:"side"` // pool_user | pool_element
	Name   string    `json:"name"` // of that block
	Remote string    `json:"remote"`
	Path   string    `json:"path"`
	State  string    `json:"state"` // what it is now, as in PathStatus
}

// watched has the mapping tell this shard of its paths.
func (s *Shard) watched(m mapping.SCTPMapping, side, name string) mapping.SCTPMapping {
	m.PathChanged = func(a mapping.Association, path netip.AddrPort, state mapping.PathState) {
		s.pathChanged(PathChange{Time: s.loop.Now(), Side: side, Name: name, Remote: a.Remote().String(), Path: path.Addr().String(),
			State: state.String()})
	}
	return m
}

func (s *Shard) pathChanged(c PathChange) {
	if len(s.changes) == 2*keptRecords { // as in record
		n := copy(s.changes, s.changes[keptRecords+1:])
		s.changes = s.changes[:n]
	}
	s.changes = append(s.changes, c)
	log := s.log.Info
	if c.State != mapping.PathActive.String() {
		log = s.log.Warn
	}
	log("path changed", c.Side, c.Name, "remote", c.Remote, "path", c.Path, "state", c.State)
	s.count(pathsChanged, c.Side, c.Name, c.State)
}

// pathsOf are the paths of an association; nil where its mapping knows of one only.
func pathsOf(a mapping.Association) (all []PathStatus) {
	p, knows := a.(mapping.Pather)
	if !knows {
		return nil
	}
	for i, path := range p.Paths() {
		all = append(all, PathStatus{Address: path.Address.Addr().String(), State: path.State.String(), Primary: i == 0, RTT: path.RTT,
			RTO: path.RTO, PMTU: path.PMTU})
	}
	return all
}

// finishPaths puts the changes of all shards in the order of their time, and keeps the last ones.
func (s *Status) finishPaths() {
	slices.SortStableFunc(s.PathChanges, func(a, b PathChange) int { return a.Time.Compare(b.Time) })
	s.PathChanges = s.PathChanges[max(0, len(s.PathChanges)-keptRecords):]
}
