package workload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Holds sees to it that a hold happens once, at whichever server reads the request first, and not again at the one that it is repeated to;
// and it lets an orchestrator wait for it. It is a folder, in which a file stands for each hold that has begun; servers on one machine
// share it. The zero value holds every time.
type Holds struct{ Dir string }

func (h Holds) path(r *Request) string {
	return filepath.Join(h.Dir, fmt.Sprintf("%x.%d", r.Session, r.Number))
}

// begin reports whether the hold of r is to be kept here.
func (h Holds) begin(r *Request) bool {
	if h.Dir == "" {
		return true
	}
	file, err := os.OpenFile(h.path(r), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return !errors.Is(err, fs.ErrExist) // with no descriptor left, or no room, it is held nevertheless
	}
	file.Close()
	return true
}

// Again has r be held once more, by the server that reads it next.
func (h Holds) Again(r *Request) error {
	if err := os.Remove(h.path(r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hold of request %d of session %x: %w", r.Number, r.Session, err)
	}
	return nil
}

// Wait waits until a server holds r, looking each millisecond. The error is the context's, or the folder's.
func (h Holds) Wait(ctx context.Context, r *Request) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		switch _, err := os.Stat(h.path(r)); {
		case err == nil:
			return nil
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("hold of request %d of session %x: %w", r.Number, r.Session, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no server holds request %d of session %x: %w", r.Number, r.Session, ctx.Err())
		case <-tick.C:
		}
	}
}
