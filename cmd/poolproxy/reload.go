package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcl/v2"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/proxy"
)

// reloader reads the configuration again when it is asked to, and has a running proxy take it.
type reloader struct {
	paths []string
	asked <-chan os.Signal // holds one: who asks while it is read is heard behind that, once
	log   hclog.Logger
	proxy running
	ended chan struct{} // closed when run has ended

	replace *replacer // of the process; nil: it cannot be replaced

	mu     sync.Mutex
	status *proxy.ReloadStatus // guarded by mu; nil: nobody has asked
}

// newReloader returns one that does nothing yet; begin has it read the files and folders at paths again for each signal.
func newReloader(paths []string, asked <-chan os.Signal) *reloader {
	return &reloader{paths: paths, asked: asked, ended: make(chan struct{})}
}

// begin begins to listen. stop ends that, and returns when nothing is read and changed any more. There may be no reloader (nil).
func (r *reloader) begin(p running, log hclog.Logger) (stop func()) {
	if r == nil {
		return func() {}
	}
	r.proxy, r.log = p, log
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.asked:
			tellReloading(r.log)
			r.reload(ctx)
			tellReloaded(r.log)
		}
	}
}

// reload reads the configuration once. All that there is to say of it goes to the log.
func (r *reloader) reload(ctx context.Context) {
	loaded := config.LoadAgain(ctx, r.paths)
	if ctx.Err() != nil {
		return // names may not have been resolved for that alone
	}
	logDiagnostics(r.log, loaded)
	if loaded.Failed() {
		r.failed(loadError(loaded))
		return
	}
	pools, err := r.proxy.Reload(loaded.Config)
	var restart *proxy.RestartError
	if errors.As(err, &restart) {
		for _, difference := range restart.Differences {
			r.log.Error("needs a restart: " + difference)
		}
	}
	if err != nil {
		r.failed(err)
		return
	}
	r.log.Info("the configuration was reloaded", "pools_changed", pools)
	r.note(nil)
}

// failed says that everything is as it was.
func (r *reloader) failed(err error) {
	r.log.Error("the configuration was not reloaded: nothing has changed", "error", err)
	r.note(err)
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

// loadError is what is wrong with a configuration, in one line: the first error, and how many more there are.
func loadError(loaded *config.Loaded) error {
	errs := loaded.Diagnostics.Errs()
	var first *hcl.Diagnostic
	for _, d := range loaded.Diagnostics {
		if d.Severity == hcl.DiagError {
			first = d
			break
		}
	}
	more := ""
	if n := len(errs); n > 1 {
		more = fmt.Sprintf(" (and %s)", plural(n-1, "more error"))
	}
	if at := config.Place(first); at != "" {
		return fmt.Errorf("%s: %s%s", at, first.Summary, more)
	}
	return fmt.Errorf("%s%s", first.Summary, more)
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
