package admin

import (
	"context"
	"errors"
	"net/http"
)

// Errors that Options.Reload wraps.
var (
	// ErrNotReloaded is that of a configuration that cannot be taken. Nothing has changed.
	ErrNotReloaded = errors.New("the configuration was not reloaded, nothing has changed")

	// ErrNeedsRestart is that of one which only a process takes that begins. Nothing has changed.
	ErrNeedsRestart = errors.New("the configuration was not reloaded, nothing has changed: it needs a restart")
)

// Reloaded is the answer of POST /v1/reload.
type Reloaded struct {
	Changes []string `json:"changes"` // what was different, a line each, for people; empty: nothing
}

// reload has the configuration read again, and answers when that is done.
func reload(read func(context.Context) ([]string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		changes, err := read(r.Context())
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, http.StatusOK, Reloaded{append([]string{}, changes...)})
	}
}
