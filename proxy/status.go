package proxy

import (
	"time"

	"github.com/poolproxy/poolproxy/session"
)

// Status is the answer of GET /v1/status. Field names in JSON are part of the API.
type Status struct {
	Version      string              `json:"version"`
	Started      time.Time           `json:"started"`
	Pools        []PoolStatus        `json:"pools"`
	Users        []UserStatus        `json:"pool_users"`
	Elements     []ElementStatus     `json:"pool_elements"`
	Associations []AssociationStatus `json:"associations"`
	Sessions     []SessionStatus     `json:"sessions"`
	Natives      []NativeSession     `json:"native_sessions"` // of native pool users, at pool_elements
	Failovers    []Record            `json:"failovers"`       // the last 100, oldest first
	PathChanges  []PathChange        `json:"path_changes"`    // likewise; with mapping sctp alone
	Reload       *ReloadStatus       `json:"reload"`          // null: nobody has asked for one

	Registrations []RegistrationStatus `json:"registrations"` // of the pool_elements
	Disturbances  []Disturbance        `json:"disturbances"`  // that go on because they were asked for

	serving map[[2]string]*int // while it is made: the sessions of an element, by pool and name
}

// PoolStatus is one pool of the handlespace.
type PoolStatus struct {
	Handle   string        `json:"handle"`
	Policy   string        `json:"policy"`
	Mapping  string        `json:"mapping"`
	Header   string        `json:"send_proxy"` // the PROXY protocol header that servers are sent from here: none | v1 | v2
	Elements []PoolElement `json:"elements"`
	Source   *SourceStatus `json:"source,omitempty"` // nil: the configuration has the elements
}

// PoolElement is one element as a pool user sees it.
type PoolElement struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	Alive    bool   `json:"alive"`
	Failures int    `json:"failures"` // in a row
	Sessions int    `json:"sessions"` // of this sidecar
	Draining string `json:"draining"` // why its sessions should leave it; "": they should not
	Full     bool   `json:"full"`     // it has all the sessions that it takes, or has said so when it was asked last

	Load *float64 `json:"load"` // as its source or the configuration says, 1 is 100 %; null: the policy does not read it

	// The elements that are tried first for its sessions if it fails, by name: what its business card says, as far as they are known.
	Order []string `json:"failover_order"`
}

// UserStatus is one pool_user of this process.
type UserStatus struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Pool     string `json:"pool"`
	Protocol string `json:"protocol"`
	Ack      string `json:"ack"` // as configured

	Transparent string            `json:"transparent"`            // none | redirect | tproxy
	Match       []string          `json:"match"`                  // the destinations that are its own, if it is transparent
	Trusted     []string          `json:"proxy_protocol_trusted"` // whose PROXY protocol headers it takes; none: it takes none
	Refused     map[string]uint64 `json:"refused_clients"`        // since the start, by the reason: limit | untrusted | no_header | …

	// The clients' messages since the start, by whether their session would have survived the death of its server meanwhile.
	ProtectedMessages   uint64 `json:"protected_messages"`
	ProtectedBytes      uint64 `json:"protected_bytes"`
	UnprotectedMessages uint64 `json:"unprotected_messages"`
	UnprotectedBytes    uint64 `json:"unprotected_bytes"`

	Sessions int `json:"sessions"`

	Leaving bool `json:"leaving"` // it is not configured any more: its sessions go on until they end
}

// ElementStatus is one pool_element of this process.
type ElementStatus struct {
	Name    string `json:"name"`
	Listen  string `json:"listen"`
	Server  string `json:"server"`
	Header  string `json:"send_proxy"` // the PROXY protocol header that the server is sent: none | v1 | v2
	Legs    int    `json:"legs"`       // with a pool user in touch
	Held    int    `json:"held"`       // waiting for theirs to come back
	Drained bool   `json:"drained"`    // by an operator
	Health  string `json:"health"`     // healthy, or why not; empty: there is no health check

	Cookies bool        `json:"cookies"`       // it has a key by which it signs and checks them
	Card    *CardStatus `json:"business_card"` // null: it has none

	Leaving bool `json:"leaving"` // it is not configured any more: its sessions leave, and those that cannot go on until they end
}

// CardStatus is what a pool_element tells pool users of where its sessions should go if it fails.
type CardStatus struct {
	Pool  string   `json:"pool"`
	Order []string `json:"order"` // addresses
}

// AssociationStatus is one live association.
type AssociationStatus struct {
	Side         string        `json:"side"` // pool_user | pool_element
	Name         string        `json:"name"` // of that block
	Remote       string        `json:"remote"`
	Peer         string        `json:"peer"` // who that is, by its certificate; "": without TLS nobody knows
	Mapping      string        `json:"mapping"`
	Up           bool          `json:"up"`
	Sessions     int           `json:"sessions"`
	RTT          time.Duration `json:"rtt_ns"`
	RTO          time.Duration `json:"rto_ns"`
	PMTU         int           `json:"pmtu_bytes"`
	HeartbeatRTT time.Duration `json:"heartbeat_rtt_ns"`
	Paths        []PathStatus  `json:"paths,omitempty"` // with mapping sctp alone
}

// SessionStatus is one session at the pool user's side.
type SessionStatus struct {
	ID          uint64    `json:"id"`
	User        string    `json:"pool_user"`
	Client      string    `json:"client"`
	Dialed      string    `json:"dialed"`  // where the client has connected to; "": it is poolproxy itself
	Element     string    `json:"element"` // the one that serves it; "" while there is none
	Leg         uint32    `json:"leg"`
	State       string    `json:"state"` // opening | open | resuming | failing over | closing
	Since       time.Time `json:"since"`
	FromClient  int64     `json:"from_client_bytes"`
	ToClient    int64     `json:"to_client_bytes"`
	Retained    int64     `json:"retained_bytes"`
	Outstanding int       `json:"outstanding_requests"`
	Cookie      int       `json:"cookie_bytes"` // kept for the next element, with its signature
	Ack         string    `json:"ack"`          // in force: reply | delivered | read
	AckNote     string    `json:"ack_note"`     // why that is not what is configured; "" where it is
	Protection  string    `json:"protection"`   // protected | degraded | unprotected | moving
	Reason      string    `json:"protection_reason"`
	Leaves      string    `json:"leaves"` // why it should leave its element; "": it need not
	Stays       string    `json:"stays"`  // why it has not yet
}

// Record is the record of one failover, with the pool_user that it happened at.
type Record struct {
	User string `json:"pool_user"`
	session.Record
}
