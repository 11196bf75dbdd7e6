package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/upgrade"
)

// replacer has this process replaced by another one, which goes on with its connections.
type replacer struct {
	proxy   *proxy.Proxy
	log     hclog.Logger
	program string    // where it lay when it was started
	args    []string  // behind the program's name
	follows *follower // nil: it has taken nobody's place

	ctx    context.Context // done when this process stops: an upgrade that is going on is given up
	cancel context.CancelFunc

	one      sync.Mutex    // held while an upgrade is going on
	settled  chan struct{} // holds one while an upgrade or a reload is going on: the new process is to have the configuration that runs
	end      sync.Once     // of abort
	replaced chan struct{} // closed when another process serves
}

// errStopping is that of an upgrade while this process stops.
var errStopping = errors.New("this process has been asked to stop")

// errNoProgram says that the program's place is not known.
var errNoProgram = errors.New("it is not known where this program lies; say which one to start: -binary")

// upgrade starts the new process, and hands over to it as soon as it could serve. After an error this process goes on.
func (r *replacer) upgrade(_ context.Context, asked admin.Upgrade) (admin.Upgraded, error) {
	if !r.one.TryLock() { // or this process stops
		return admin.Upgraded{}, admin.ErrUpgrading
	}
	defer r.one.Unlock()
	if r.isReplaced() {
		return admin.Upgraded{}, fmt.Errorf("this process has been replaced already: %w", admin.ErrUpgrading)
	}
	if !r.settle(r.ctx) {
		return admin.Upgraded{}, errStopping
	}
	defer r.unsettle()
	done, err := r.replace(asked)
	if errors.Is(err, upgrade.ErrTaken) {
		r.log.Error("the upgrade has failed, and this process cannot go on", "error", err)
		return admin.Upgraded{}, fmt.Errorf("the upgrade has failed, and the old process cannot go on: %w", err)
	}
	if err != nil {
		r.log.Error("the upgrade has failed: this process goes on, its sessions are untouched", "error", err)
		return admin.Upgraded{}, fmt.Errorf("the upgrade has failed, and the old process goes on: %w", err)
	}
	r.log.Info("another process has taken over", "pid", done.PID, "program", done.Binary, "handed_over", done.Items, "ready_ms", done.Ready,
		"pause_ms", done.Pause)
	return done, nil
}

// settle waits until no reload, or upgrade, is going on, and has none begin until unsettle. It reports false if ctx ends before.
func (r *replacer) settle(ctx context.Context) bool {
	if r == nil {
		return true
	}
	select {
	case r.settled <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *replacer) unsettle() {
	if r != nil {
		<-r.settled
	}
}

// isReplaced reports whether another process serves.
func (r *replacer) isReplaced() bool {
	select {
	case <-r.gone():
		return true
	default:
		return false
	}
}

func (r *replacer) replace(asked admin.Upgrade) (done admin.Upgraded, err error) {
	command, err := r.command(asked)
	if err != nil {
		return done, err
	}
	timeout := time.Duration(asked.Timeout) * time.Millisecond
	if timeout <= 0 {
		timeout = upgradeTimeout
	}
	begun := time.Now()
	sockets, err := upgrade.Open()
	if err != nil {
		return done, err
	}
	begin, err := r.proxy.Describe()
	if err != nil {
		return done, err
	}
	r.log.Info("upgrade: starting the new process", "program", command.Path, "timeout", timeout)
	next, err := upgrade.Start(command, sockets, begin)
	if err != nil {
		return done, err
	}
	done = admin.Upgraded{PID: next.PID(), Binary: command.Path, Sockets: len(sockets)}
	giveUp := context.AfterFunc(r.ctx, next.GiveUp)
	err = next.Ready(begun.Add(timeout))
	if !giveUp() && err == nil {
		err = errStopping
	}
	if err != nil {
		next.Kill()
		return done, err
	}
	done.Ready = admin.Duration(time.Since(begun).Milliseconds())
	err = r.handOver(next, &done, asked.Lose)
	return done, err
}

// handOver has this process stand still, and the new one take over.
func (r *replacer) handOver(next *upgrade.Successor, done *admin.Upgraded, lose bool) error {
	still := time.Now()
	frozen, err := r.proxy.Freeze()
	if err != nil {
		next.Kill()
		return err
	}
	if lose {
		frozen.Lose()
	}
	err = frozen.Each(func(piece []byte, fd int) error {
		done.Items++
		return next.Send(upgrade.Item{Body: piece, FD: fd})
	})
	if err == nil {
		err = next.Commit()
	}
	if err != nil && !errors.Is(err, upgrade.ErrTaken) {
		next.Kill() // before anything here moves
		frozen.Thaw()
		return err
	}
	frozen.Leave()
	tell(r.log, fmt.Sprintf("MAINPID=%d", next.PID())) // by this process, which the service manager believes
	done.Pause, done.Lost = admin.Duration(time.Since(still).Milliseconds()), len(frozen.Lost())
	for _, why := range frozen.Lost() {
		r.log.Warn("upgrade: ended", "reason", why)
	}
	close(r.replaced)
	return err
}

// command is the program to start.
func (r *replacer) command(asked admin.Upgrade) (c upgrade.Command, err error) {
	c = upgrade.Command{Path: r.program, Args: append([]string{os.Args[0]}, r.args...), Stdout: os.Stdout, Stderr: os.Stderr, Version: versionText()}
	if asked.Binary != "" {
		c.Path = asked.Binary
	}
	if c.Path == "" {
		return c, errNoProgram
	}
	for _, named := range append(slices.DeleteFunc([]string{asked.Binary}, func(s string) bool { return s == "" }), asked.Config...) {
		if err := trustworthyPlace(named); err != nil { // whoever asks could have made it
			return c, err
		}
	}
	if err := trustworthy(c.Path); err != nil {
		return c, err
	}
	if len(asked.Config) > 0 {
		c.Args = append([]string{os.Args[0]}, withoutConfig(r.args)...)
		for _, path := range asked.Config {
			c.Args = append(c.Args, "-config", path)
		}
	}
	return c, nil
}

// withoutConfig are the arguments of a command without its flag -config.
func withoutConfig(args []string) (rest []string) {
	for i := 0; i < len(args); i++ {
		name, _, whole := strings.Cut(strings.TrimPrefix(args[i], "-"), "=")
		switch {
		case !strings.HasPrefix(args[i], "-") || strings.TrimPrefix(name, "-") != "config":
			rest = append(rest, args[i])
		case !whole:
			i++ // its value
		}
	}
	return rest
}

// replacer is that of the process; nil: it cannot be replaced.
func (r *reloader) replacer() *replacer {
	if r == nil {
		return nil
	}
	return r.replace
}

// start starts the proxy, in another process's place if there is one.
func (r *replacer) start(c proxy.Config, log hclog.Logger, m *metrics.Metrics) (*proxy.Proxy, error) {
	if r == nil {
		return proxy.Start(c, log, m)
	}
	return r.follows.start(c, log, m)
}

// succeeds reports whether this process has taken another one's place.
func (r *replacer) succeeds() bool { return r != nil && r.follows != nil }

// gone is closed when another process serves; nil: there will be none.
func (r *replacer) gone() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.replaced
}

// asked is what the admin API calls; nil: nothing.
func (r *replacer) asked(p running) func(context.Context, admin.Upgrade) (admin.Upgraded, error) {
	real, is := p.(*proxy.Proxy)
	if r == nil || !is {
		return nil
	}
	r.proxy = real
	return r.upgrade
}

// unused closes what was inherited and is of no use.
func (r *replacer) unused(log hclog.Logger) {
	if r != nil {
		r.log = log
		r.follows.unused(log)
	}
}

// abort gives up an upgrade that is going on, and has none begin; replaced tells that it was too late for that, and that this process is not
// the one that serves any more.
func (r *replacer) abort() (replaced bool) {
	if r == nil {
		return false
	}
	r.cancel()
	r.end.Do(r.one.Lock) // for good
	return r.isReplaced()
}

// newReplacer remembers how this process was started. It has to be made at the start, before the program's file can be replaced.
func newReplacer(follows *follower) *replacer {
	program, _ := os.Executable() // without it -binary has to be given
	r := &replacer{program: program, args: slices.Clone(os.Args[1:]), follows: follows, replaced: make(chan struct{}), settled: make(chan struct{}, 1)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}
