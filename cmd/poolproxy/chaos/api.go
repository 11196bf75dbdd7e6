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
	"slices"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
)

// Kinds are the kinds of disturbances.
var Kinds = []string{proxy.ChaosCut, proxy.ChaosStall, proxy.ChaosReset, proxy.ChaosDelay, proxy.ChaosKillLeg, proxy.ChaosFreeze}

// LongestHold is the longest that a disturbance may last.
const LongestHold = proxy.MostChaosFor

// lasts reports whether a disturbance of this kind goes on: others are over at once.
func lasts(kind string) bool { return kind != proxy.ChaosReset && kind != proxy.ChaosKillLeg }

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

// is reports whether an error is the answer of a process with one of these statuses.
func is(err error, statuses ...int) bool {
	var r *refusal
	return errors.As(err, &r) && slices.Contains(statuses, r.status)
}

// nothingToHit reports whether a process had nothing there to disturb, or has as many disturbances as it takes.
func nothingToHit(err error) bool { return is(err, http.StatusConflict, http.StatusNotFound) }

// impossible reports whether a process cannot do what was asked for there: not every mapping can be cut.
func impossible(err error) bool { return is(err, http.StatusBadRequest, http.StatusForbidden) }

// disturb asks for a disturbance.
func (p *Peer) disturb(ctx context.Context, o admin.Attack) (d proxy.Disturbance, err error) {
	err = p.ask(ctx, http.MethodPost, "/v1/chaos", o, &d)
	return d, err
}

// undoAll ends all, whoever has asked for them.
func (p *Peer) undoAll(ctx context.Context) error {
	return p.ask(ctx, http.MethodDelete, "/v1/chaos", nil, nil)
}

// process is what a process said of itself.
type process struct {
	peer   *Peer
	chaos  proxy.ChaosStatus
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
