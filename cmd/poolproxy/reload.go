package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcl/v2"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/proxy"
)

// reloader reads the configuration again when it is asked to, by a signal, over the admin API or because its files have changed, and has a running
// proxy and what is around it take it.
type reloader struct {
	paths  []string
	asked  <-chan os.Signal // holds one: who asks while it is read is heard behind that, once
	wishes chan wish
	log    hclog.Logger
	around *around
	look   *fileWatch    // its goroutine's
	ended  chan struct{} // closed when run has ended

	replace *replacer // of the process; nil: it cannot be replaced

	mu     sync.Mutex
	status *proxy.ReloadStatus // guarded by mu; nil: nobody has asked
}

// wish is somebody who waits for what becomes of it.
type wish struct{ answer chan reloaded }

// reloaded is what has become of a wish.
type reloaded struct {
	changes []string // one line each
	err     error
}

// newReloader returns one that does nothing yet; begin has it read the files and folders at paths again for each signal and wish, and, if that is
// wanted, when they are others than now: it comes before they are read for the first time.
func newReloader(paths []string, asked <-chan os.Signal, log hclog.Logger) *reloader {
	return &reloader{paths: paths, asked: asked, wishes: make(chan wish), log: log, look: newWatch(paths), ended: make(chan struct{})}
}

// begin begins to listen. stop ends that, and returns when nothing is read and changed any more. There may be no reloader (nil).
func (r *reloader) begin(a *around) (stop func()) {
	if r == nil {
		return func() {}
	}
	r.around = a
	ctx, cancel := context.WithCancel(context.Background())
	go r.run(ctx)
	return func() {
		cancel()
		<-r.ended
	}
}

// run is the reloader's goroutine. It ends with ctx, and stop waits for it.
func (r *reloader) run(ctx context.Context) {
	defer close(r.ended)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.asked:
			r.look.seen() // before they are read: what is written meanwhile is another change
			tellReloading(r.log)
			r.reload(ctx)
			tellReloaded(r.log)
		case w := <-r.wishes:
			r.look.seen()
			tellReloading(r.log)
			changes, err := r.reload(ctx)
			tellReloaded(r.log)
			w.answer <- reloaded{changes, err}
		case <-tick.C:
			if r.look.changed(r.around.config.Watch) {
				r.log.Info("the files of the configuration have changed")
				tellReloading(r.log)
				r.reload(ctx)
				tellReloaded(r.log)
			}
		}
	}
}

// errReloadStopping is what those hear who ask too late.
var errReloadStopping = errors.New("poolproxy is being stopped")

// errReloadReplaced is what those hear who have asked while this process was replaced.
var errReloadReplaced = errors.New("this process has been replaced by another one meanwhile, which may have read the configuration before: ask again")

// tooLate is why nothing is read any more.
func (r *reloader) tooLate() error {
	if r.replace.isReplaced() {
		return errReloadReplaced
	}
	return errReloadStopping
}

// wanted is how the admin API has the configuration read again; nil: it cannot.
func (r *reloader) wanted() func(context.Context) ([]string, error) {
	if r == nil {
		return nil
	}
	return func(ctx context.Context) ([]string, error) {
		w := wish{make(chan reloaded, 1)}
		select {
		case r.wishes <- w:
		case <-r.ended:
			return nil, r.tooLate()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		done := <-w.answer // it is being read: to say that nobody waits any more would not be an answer
		var restart *proxy.RestartError
		if errors.As(done.err, &restart) {
			return nil, fmt.Errorf("%w:\n%s", admin.ErrNeedsRestart, strings.Join(restart.Differences, "\n"))
		}
		if done.err != nil && !errors.Is(done.err, errReloadStopping) && !errors.Is(done.err, errReloadReplaced) {
			return nil, fmt.Errorf("%w: %w", admin.ErrNotReloaded, done.err)
		}
		return done.changes, done.err
	}
}

// reload reads the configuration once. All that there is to say of it goes to the log.
func (r *reloader) reload(ctx context.Context) (changes []string, err error) {
	if !r.replace.settle(ctx) {
		return nil, r.tooLate()
	}
	defer r.replace.unsettle()
	if r.replace.isReplaced() {
		return nil, errReloadReplaced
	}
	loaded := config.LoadAgain(ctx, r.paths)
	if ctx.Err() != nil {
		return nil, errReloadStopping // names may not have been resolved for that alone
	}
	logDiagnostics(r.log, loaded)
	if loaded.Failed() {
		return nil, r.failed(loadError(loaded))
	}
	changes, err = r.take(loaded.Config)
	var restart *proxy.RestartError
	if errors.As(err, &restart) {
		for _, difference := range restart.Differences {
			r.log.Error("needs a restart: " + difference)
		}
	}
	if err != nil {
		return nil, r.failed(err)
	}
	for _, change := range changes {
		r.log.Info("changed: " + change)
	}
	r.log.Info("the configuration was reloaded", "changes", len(changes))
	r.note(nil)
	return changes, nil
}

// take has the proxy, and what is around it, go over to another configuration, or neither.
func (r *reloader) take(c proxy.Config) (changes []string, err error) {
	t, err := r.around.prepare(&c)
	if err != nil {
		return nil, err
	}
	if changes, err = r.around.proxy.Reload(c); err != nil {
		t.undo()
		return nil, err
	}
	t.commit()
	return changes, nil
}

// failed says that everything is as it was.
func (r *reloader) failed(err error) error {
	first, _, _ := strings.Cut(err.Error(), "\n")
	r.log.Error("the configuration was not reloaded: nothing has changed", "error", first)
	r.note(errors.New(first))
	return err
}

func (r *reloader) note(err error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var s proxy.ReloadStatus
	if r.status != nil {
		s = *r.status
	}
	if s.Error = ""; err != nil {
		s.Failed, s.Error = &now, err.Error()
	} else {
		s.Done = &now
	}
	r.status = &s // others may still read the last one
}

// state is what became of what was asked for; nil: nothing was.
func (r *reloader) state() *proxy.ReloadStatus {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// loadError is what is wrong with a configuration: the first error and how many more there are in the first line, and then each in its own, if
// there are several.
func loadError(loaded *config.Loaded) error {
	var lines []string
	for _, d := range loaded.Diagnostics {
		if d.Severity != hcl.DiagError {
			continue
		}
		line := d.Summary
		if at := config.Place(d); at != "" {
			line = at + ": " + line
		}
		lines = append(lines, line)
	}
	if n := len(lines); n > 1 {
		return fmt.Errorf("%s (and %s)\n%s", lines[0], plural(n-1, "more error"), strings.Join(lines, "\n"))
	}
	return errors.New(lines[0])
}

// logDiagnostics writes what is wrong with a configuration, and what is doubtful, with file and line.
func logDiagnostics(log hclog.Logger, loaded *config.Loaded) {
	for _, d := range loaded.Diagnostics {
		say := log.Error
		if d.Severity == hcl.DiagWarning {
			say = log.Warn
		}
		say(d.Summary, "at", config.Place(d), "advice", d.Detail)
	}
}
