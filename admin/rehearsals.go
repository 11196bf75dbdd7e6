package admin

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Rehearse is the body of POST /v1/rehearsals/{pool}: what is to be rehearsed. What is 0 has a default.
type Rehearse struct {
	Session  uint64   `json:"session"`    // this one; 0: those that are recorded
	Sessions int      `json:"sessions"`   // so many of them at most; 10
	Timeout  Duration `json:"timeout_ms"` // how long all of it may take; 30 s
}

// Bounds of Rehearse, and its defaults.
const (
	MaxRehearsalTime     = 10 * time.Minute
	DefaultRehearsalTime = 30 * time.Second
	MaxRehearsals        = 1000
	DefaultRehearsals    = 10
)

// ErrNotRehearsed is wrapped by the errors of Options.Rehearse where nothing was rehearsed.
var ErrNotRehearsed = errors.New("nothing was rehearsed")

// rehearsals serves POST /v1/rehearsals/{pool}.
func rehearsals(do func(ctx context.Context, handle string, w Rehearse) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var asked Rehearse
		if err := read(w, r, &asked); err != nil {
			fail(w, err)
			return
		}
		switch {
		case asked.Timeout < 0 || asked.Timeout > Duration(MaxRehearsalTime.Milliseconds()):
			fail(w, bad("timeout_ms is %d; write 1 to %d", asked.Timeout, MaxRehearsalTime.Milliseconds()))
			return
		case asked.Sessions < 0 || asked.Sessions > MaxRehearsals:
			fail(w, bad("sessions is %d; write 1 to %d", asked.Sessions, MaxRehearsals))
			return
		}
		if asked.Timeout == 0 {
			asked.Timeout = Duration(DefaultRehearsalTime.Milliseconds())
		}
		if asked.Sessions == 0 {
			asked.Sessions = DefaultRehearsals
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // it is a connection of net/http, which can; the rehearsal has a limit
		report, err := do(r.Context(), r.PathValue("pool"), asked)
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, http.StatusOK, report)
	}
}
