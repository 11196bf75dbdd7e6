package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Upgrade is the body of POST /v1/upgrade: what to replace the process by.
type Upgrade struct {
	Binary  string   `json:"binary"`     // "": the program that runs, as it lies at its place now
	Config  []string `json:"config"`     // the configuration's files and folders; null: those that the process runs with
	Lose    bool     `json:"lose"`       // sessions that cannot be handed over are ended; else nothing comes of the upgrade
	Timeout Duration `json:"timeout_ms"` // how long the new process may need until it could serve; 0: 30 s
}

// Duration is a time in whole milliseconds.
type Duration int64

// Upgraded is the answer: what has taken over.
type Upgraded struct {
	PID     int      `json:"pid"`
	Binary  string   `json:"binary"`
	Items   int      `json:"handed_over"` // sessions and legs, and what belongs to them
	Lost    int      `json:"lost"`        // sessions that could not be, and have ended
	Sockets int      `json:"listening"`   // sockets on which it listens
	Ready   Duration `json:"ready_ms"`    // how long it took until it could serve
	Pause   Duration `json:"pause_ms"`    // how long nobody was served
}

// MaxUpgradeTime bounds Upgrade.Timeout.
const MaxUpgradeTime = 10 * time.Minute

// ErrUpgrading is wrapped by the error of an upgrade while there is another one.
var ErrUpgrading = errors.New("an upgrade is going on")

// upgrader serves POST /v1/upgrade.
type upgrader struct {
	upgrade func(context.Context, Upgrade) (Upgraded, error)
	log     hclog.Logger
}

func (u *upgrader) post(w http.ResponseWriter, r *http.Request) {
	var asked Upgrade
	if err := read(w, r, &asked); err != nil {
		fail(w, err)
		return
	}
	if asked.Timeout < 0 || asked.Timeout > Duration(MaxUpgradeTime.Milliseconds()) {
		fail(w, bad("timeout_ms is %d; write 0 to %d", asked.Timeout, MaxUpgradeTime.Milliseconds()))
		return
	}
	// It may take longer than others, and who asks need not wait for it: what is begun is brought to its end.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // it is a connection of net/http, which can
	done, err := u.upgrade(context.WithoutCancel(r.Context()), asked)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}
