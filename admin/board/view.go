// Package board is the dashboard on the admin address: one page without anything from elsewhere, and the events that keep it
// alive. It knows nothing of the proxy but the View that it is given now and then.
package board

import (
	"encoding/json"
	"time"
)

// Bounds on what browsers are sent: a proxy has more than a page can show.
const (
	mostRows     = 2000 // of each table, but of sessions, which are asked for page by page
	mostReasons  = 12   // why sessions are not protected; the rest is added up
	mostText     = 300  // bytes of one text, such as an error
	rowsEach     = 200  // rows in one event
	mostSessions = 200  // rows in one page of sessions
)

// View is all that the dashboard shows, at one moment. What it holds is read only.
type View struct {
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Pools     []Pool
	Elements  []Element
	Sides     []Side
	Sessions  []Session
	Failovers []Failover // oldest first
	Enrolled  []Registration

	Changes string // who may drain from the page: ChangesToken, ChangesAll; "": nobody, it says how else to do that
}

// What View.Changes may be.
const (
	ChangesToken = "token" // who knows the token of the admin API, for which the page asks
	ChangesAll   = "all"   // everybody who sees the page: who they are was checked before
)

// Pool is a pool, and the source that its elements come from.
type Pool struct {
	Handle   string   `json:"handle"`
	Policy   string   `json:"policy"`
	Mapping  string   `json:"mapping"`
	Elements int      `json:"elements"`
	Alive    int      `json:"alive"`
	Sessions int      `json:"sessions"`
	Source   string   `json:"source"`  // "": the configuration has the elements
	Age      *float64 `json:"age"`     // of what the source has said, in whole seconds; nil: it has said nothing
	Alarm    bool     `json:"alarm"`   // that is too old
	Problem  string   `json:"problem"` // why the source does not know now
}

// Element is an element of a pool, as pool users see it.
type Element struct {
	Pool     string   `json:"pool"`
	Name     string   `json:"name"`
	Address  string   `json:"address"`
	Alive    bool     `json:"alive"`
	Failures int      `json:"failures"`
	Sessions int      `json:"sessions"`
	Load     *float64 `json:"load"`     // 1 is 100 %; nil: the policy does not read it
	Draining string   `json:"draining"` // why its sessions should leave it; "": they need not
}

// Side is a pool_user or a pool_element of the process.
type Side struct {
	Side     string `json:"side"` // pool_user | pool_element
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	To       string `json:"to"`   // the pool, or the server
	What     string `json:"what"` // the protocol, or the health
	Well     bool   `json:"well"`
	Sessions int    `json:"sessions"`
	Held     int    `json:"held"`
	Drained  bool   `json:"drained"` // a pool_element that an operator has drained
}

// Session is one session at the pool user's side.
type Session struct {
	ID         uint64    `json:"id"`
	User       string    `json:"pool_user"`
	Client     string    `json:"client"`
	Element    string    `json:"element"`
	Leg        uint32    `json:"leg"`
	State      string    `json:"state"`
	Since      time.Time `json:"since"`
	Up         int64     `json:"from_client_bytes"`
	Down       int64     `json:"to_client_bytes"`
	Retained   int64     `json:"retained_bytes"`
	Protection string    `json:"protection"`
	Reason     string    `json:"reason"`
	Leaves     string    `json:"leaves"` // why it should leave its element; "": it need not
	Stays      string    `json:"stays"`  // why it has not yet
}

// Failover is the record of one. All times in milliseconds; but for Detect they begin when the failure was noticed, 0: there
// was no such step.
type Failover struct {
	Time     time.Time `json:"time"`
	User     string    `json:"pool_user"`
	Session  uint64    `json:"session"`
	Leg      uint32    `json:"leg"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Kind     string    `json:"kind"`
	Cause    string    `json:"cause"`
	Detector string    `json:"detector"`
	Detect   float64   `json:"detect"`
	Fence    float64   `json:"fence"`
	Choose   float64   `json:"choose"`
	Connect  float64   `json:"connect"`
	Restored float64   `json:"restored"`
	Replayed float64   `json:"replayed"`
	First    float64   `json:"first"`
	Messages int       `json:"messages"`
	Bytes    int64     `json:"bytes"`
	Skipped  int64     `json:"discarded"`
	Saved    int64     `json:"saved"`
	Tried    int       `json:"tried"`
	Lost     int       `json:"lost"`
	Verdict  string    `json:"verdict"`
}

// Registration is where a pool_element of the process is registered.
type Registration struct {
	Element string    `json:"pool_element"`
	Pool    string    `json:"pool"`
	Source  string    `json:"source"`
	Name    string    `json:"name"`
	Address string    `json:"address"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Problem string    `json:"problem"`
	Load    *float64  `json:"load"`
}

// bound cuts off what no page can show, and is told how many rows that were. Texts of peers may be long.
func (v *View) bound() {
	v.Pools, v.Elements = v.Pools[:min(len(v.Pools), mostRows)], v.Elements[:min(len(v.Elements), mostRows)]
	v.Sides, v.Enrolled = v.Sides[:min(len(v.Sides), mostRows)], v.Enrolled[:min(len(v.Enrolled), mostRows)]
	v.Failovers = v.Failovers[max(0, len(v.Failovers)-mostRows):]
	for i := range v.Elements {
		cut(&v.Elements[i].Draining)
	}
	for i := range v.Pools {
		cut(&v.Pools[i].Problem)
	}
	for i := range v.Sides {
		cut(&v.Sides[i].What)
	}
	for i := range v.Enrolled {
		cut(&v.Enrolled[i].Problem)
	}
	for i := range v.Failovers {
		cut(&v.Failovers[i].Cause)
		cut(&v.Failovers[i].Verdict)
	}
	for i := range v.Sessions {
		cut(&v.Sessions[i].Reason)
		cut(&v.Sessions[i].Stays)
	}
}

// cut shortens a text; half a rune at its end becomes a replacement character in JSON.
func cut(text *string) {
	if len(*text) > mostText {
		*text = (*text)[:mostText] + "…"
	}
}

// line is a value as JSON, for an event.
func line(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte(`{"error":"a value cannot be written as JSON"}`) // NaN or so: a figure that there cannot be
	}
	return text
}
