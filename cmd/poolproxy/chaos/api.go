// Package chaos pulls plugs in a running deployment: it asks the admin APIs of its processes what they allow, chooses by a seed what to disturb,
// has the processes do that, and says what became of the sessions. The processes undo every disturbance themselves when its time is over; what this
// package does about it is for those who want it to end earlier. One goroutine runs it; time and the processes are asked, so it can be run in
// virtual time.
package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// Kinds of disturbances.
const (
	Cut     = "cut"      // as a pulled cable: nothing is read or written any more, and what is left of it behind that is reset
	Stall   = "stall"    // the same, but it goes on afterwards
	Reset   = "reset"    // an association is aborted
	Delay   = "delay"    // all that an association carries is late
	KillLeg = "kill_leg" // a pool_element: the server's connection is reset; a pool_user: the leg has failed
	Freeze  = "freeze"   // a pool_element answers nothing, as if it were stopped
)

// Kinds are all of them.
var Kinds = []string{Cut, Stall, Reset, Delay, KillLeg, Freeze}

// LongestHold is the longest that a disturbance may last.
const LongestHold = 5 * time.Minute

// Sides of a process.
const (
	sideUser    = "pool_user"
	sideElement = "pool_element"
)

// Peer is a process with an admin API.
type Peer struct {
	Address string // as the user has written it

	// Call asks it. The body, if it is not nil, is sent as JSON. The error is that there was no answer; it says at which address.
	Call func(ctx context.Context, method, path string, body any) (status int, text []byte, err error)
}

// refusal is an answer of the admin API that is an error.
type refusal struct {
	address string
	status  int
	message string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the proxy at %s says: %s", r.address, printable(r.message))
}

// ask asks, and takes the answer to pieces into the value, unless that is nil.
func (p *Peer) ask(ctx context.Context, method, path string, body, answer any) error {
	status, text, err := p.Call(ctx, method, path, body)
	if err != nil {
		return err
	}
	if status >= 300 {
		return p.refused(status, path, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the answer of %s is not what was asked for; is it the admin API of a poolproxy of this version? %w", p.Address, err)
	}
	return nil
}

// refused is the error of an answer that is one.
func (p *Peer) refused(status int, path string, text []byte) error {
	var told struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	message := ""
	if json.Unmarshal(text, &told) == nil {
		message = told.Error.Message
	}
	switch {
	case status == http.StatusUnauthorized:
		return fmt.Errorf("the proxy at %s answers only those who know its token: write -token-file FILE, its admin.token_file says which one", p.Address)
	case message == "":
		return fmt.Errorf("%s answers %s with %d %s; is it the admin API of a poolproxy of this version? Check -admin",
			p.Address, path, status, http.StatusText(status))
	}
	return &refusal{p.Address, status, message}
}

// gone reports whether there is nothing any more of what was asked for.
func gone(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

// nothingToHit reports whether a process had nothing there to disturb, or has as many disturbances as it takes.
func nothingToHit(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (r.status == http.StatusConflict || r.status == http.StatusNotFound)
}

// state is the answer of GET /v1/chaos.
type state struct {
	Allowed []block       `json:"allowed"`
	Active  []disturbance `json:"active"`
	Stopped int           `json:"stopped"` // how often somebody has had all of them undone
}

// block is a block of a process's configuration that has chaos = true.
type block struct {
	Side string `json:"side"`
	Name string `json:"name"`
	Pool string `json:"pool"`
}

// order is the body of POST /v1/chaos.
type order struct {
	Kind    string `json:"kind"`
	Side    string `json:"side"`
	Name    string `json:"name"`
	Element string `json:"element,omitempty"`
	Count   int    `json:"count"`
	For     string `json:"for"`
	Delay   string `json:"delay,omitempty"`
	DryRun  bool   `json:"dry_run"`
	Seed    int64  `json:"seed"`
}

// disturbance is one that is going on, or would.
type disturbance struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Side    string    `json:"side"`
	Name    string    `json:"name"`
	Element string    `json:"element"`
	Hit     []string  `json:"hit"`
	Until   time.Time `json:"until"` // by the clock of that process
}

// disturb asks for a disturbance.
func (p *Peer) disturb(ctx context.Context, o order) (d disturbance, err error) {
	err = p.ask(ctx, http.MethodPost, "/v1/chaos", o, &d)
	return d, err
}

// undo ends one disturbance. That it has ended is no error.
func (p *Peer) undo(ctx context.Context, id string) error {
	if err := p.ask(ctx, http.MethodDelete, "/v1/chaos/"+url.PathEscape(id), nil, nil); !gone(err) {
		return err
	}
	return nil
}

// undoAll ends all, whoever has asked for them.
func (p *Peer) undoAll(ctx context.Context) error {
	return p.ask(ctx, http.MethodDelete, "/v1/chaos", nil, nil)
}

// process is what a process said of itself.
type process struct {
	peer   *Peer
	chaos  state
	status proxy.Status
}

// look asks a process for all that has to be known of it.
func (p *Peer) look(ctx context.Context) (*process, error) {
	is := &process{peer: p}
	if err := p.ask(ctx, http.MethodGet, "/v1/chaos", nil, &is.chaos); err != nil {
		return nil, err
	}
	return is, p.ask(ctx, http.MethodGet, "/v1/status", nil, &is.status)
}
