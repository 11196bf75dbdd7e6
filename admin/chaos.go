package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Errors that Chaos wraps.
var (
	// ErrChaosDenied is that of a block that may not be disturbed.
	ErrChaosDenied = errors.New("chaos is not allowed here")
	// ErrChaosUnknown is that of a block, or a disturbance, that is not there.
	ErrChaosUnknown = errors.New("unknown to chaos")
	// ErrChaosNothing is that of an attack for which there was nothing to hit, or no room.
	ErrChaosNothing = errors.New("chaos has hit nothing")
	// ErrChaosRequest is that of an attack that makes no sense, or is not possible.
	ErrChaosRequest = errors.New("chaos does not do that")
)

// Attack is the body of POST /v1/chaos: what is to be disturbed on purpose.
type Attack struct {
	Kind    string `json:"kind"`    // cut | stall | reset | delay | kill_leg | freeze
	Side    string `json:"side"`    // pool_user | pool_element
	Name    string `json:"name"`    // of that block
	Element string `json:"element"` // pool_user: which element's; "": any
	Session string `json:"session"` // kill_leg: whose leg, by its number; "": any
	Count   int    `json:"count"`   // how many associations, connections or legs at most; 0: one
	For     Time   `json:"for"`     // how long: "2s"; reset and kill_leg are over at once
	Delay   Time   `json:"delay"`   // delay: how late what comes is read: "100ms"
	DryRun  bool   `json:"dry_run"` // only say what would be hit
	Seed    uint64 `json:"seed"`    // which ones are hit follows from it; 0: from chance
}

// Time is a time as people write it: "1.5s". "" is none.
type Time time.Duration

// MarshalJSON writes it.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte(`""`), nil
	}
	return json.Marshal(time.Duration(t).String())
}

// UnmarshalJSON reads it.
func (t *Time) UnmarshalJSON(p []byte) error {
	var text string
	if err := json.Unmarshal(p, &text); err != nil {
		return fmt.Errorf("a time is written as \"1.5s\": %w", err)
	}
	if text == "" {
		*t = 0
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%.40q is not a time: write \"1.5s\", \"100ms\" or the like", text)
	}
	*t = Time(d)
	return nil
}

// Bounds of what an Attack says. What it means is checked by Begin.
const (
	mostChaosText  = 1 << 10 // bytes of a name
	mostChaosCount = 1 << 20
)

// check bounds what was asked for.
func (a *Attack) check() error {
	for _, text := range []string{a.Kind, a.Side, a.Name, a.Element, a.Session} {
		if len(text) > mostChaosText {
			return bad("a name has %d bytes: at most %d are taken", len(text), mostChaosText)
		}
	}
	if a.Count < 0 || a.Count > mostChaosCount {
		return bad("count is %d; write 1 to %d", a.Count, mostChaosCount)
	}
	return nil
}

// Chaos is how a running proxy is disturbed on purpose. What State and Begin return is made JSON; the answer to all requests but POST is what State
// returns.
type Chaos struct {
	State func() any                // GET /v1/chaos
	Begin func(Attack) (any, error) // POST /v1/chaos
	End   func(id string) error     // DELETE /v1/chaos/{id}; "": all of them, DELETE /v1/chaos
}

func (c *Chaos) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/chaos", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, c.State()) })
	mux.HandleFunc("POST /v1/chaos", c.post)
	mux.HandleFunc("DELETE /v1/chaos", c.remove)
	mux.HandleFunc("DELETE /v1/chaos/{id}", c.remove)
}

// post begins a disturbance, and answers what it has hit.
func (c *Chaos) post(w http.ResponseWriter, r *http.Request) {
	var asked Attack
	err := read(w, r, &asked)
	if err == nil {
		err = asked.check()
	}
	if err != nil {
		fail(w, err)
		return
	}
	begun, err := c.Begin(asked)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, begun)
}

// remove ends one, or all.
func (c *Chaos) remove(w http.ResponseWriter, r *http.Request) {
	if err := c.End(r.PathValue("id")); err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, c.State())
}
