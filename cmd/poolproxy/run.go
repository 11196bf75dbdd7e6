package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/proxy"
)

// runCommand runs the proxy until a signal ends it.
func runCommand(args []string, _, stderr io.Writer) int {
	flags := newFlags("run", stderr)
	paths := configFlag(flags)
	if status, ok := parse(flags, args); !ok {
		return status
	}
	if !needConfig(flags, *paths) {
		return exitUsage
	}
	if is, json := caretakes(); is {
		return caretaker(newLog(proxy.Log{Level: "info", JSON: json}, stderr))
	}
	predecessor, err := follow()
	if err != nil {
		fmt.Fprintln(stderr, "poolproxy run:", err)
		return exitFailed
	}
	replace := newReplacer(predecessor)    // at the start: the program may be exchanged on its disk later
	hangups := make(chan os.Signal, 1)     // apart from those that stop it: no number of these takes their place
	signal.Notify(hangups, syscall.SIGHUP) // until the process has ended: one that comes late must not kill it
	again := newReloader(*paths, hangups, nil)
	loaded := config.Load(*paths)
	if loaded.Failed() {
		loaded.Write(stderr) // the exit status tells it as well
		_ = predecessor.fail(loadError(loaded))
		return exitFailed
	}
	log := newLog(loaded.Config.Log, stderr)
	logDiagnostics(log, loaded)
	if err := takeSockets(); err != nil {
		log.Error("poolproxy cannot run", "error", err)
		return exitFailed
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	again.log, again.replace = log, replace
	if err := run(loaded.Config, log, signals, again); err != nil {
		_ = predecessor.fail(err) // if it still listens
		log.Error("poolproxy cannot run", "error", err)
		return exitFailed
	}
	if replace.abort() && isFirst() {
		becomeCaretaker(log, loaded.Config.Log.JSON, signals, hangups)
		return caretake(log, signals, hangups)
	}
	return exitOK
}

// caretaker is the life of a caretaker from its beginning.
func caretaker(log hclog.Logger) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	return caretake(log, signals)
}

func newLog(c proxy.Log, w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "poolproxy", Level: hclog.LevelFromString(c.Level), JSONFormat: c.JSON, Output: w})
}

// run starts the proxy and what belongs to it, and serves until a signal says to stop. again reads the configuration anew; nil: nobody does.
func run(c proxy.Config, log hclog.Logger, signals <-chan os.Signal, again *reloader) error {
	meters, err := newMetrics()
	if err != nil {
		return err
	}
	a := &around{log: log, meters: meters, watched: newObservers()}
	if a.tls, err = adminSecrets(&c, nil); err != nil {
		a.close()
		return err
	}
	c.Observers = []proxy.Observer{a.watched}
	p, err := again.replacer().start(c, log, meters.Metrics)
	if err != nil {
		a.close()
		return err
	}
	a.proxy, a.serves = p, again.replacer().succeeds()
	return serve(c, a, signals, again)
}

// stopNow stops a proxy that nobody uses yet.
func stopNow(p running) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	p.Stop(now)
}

// running is what serve needs of a *proxy.Proxy.
type running interface {
	Status() proxy.Status
	Cookie(client, server netip.AddrPort) ([]byte, error)
	SetCookie(client, server netip.AddrPort, cookie []byte) error
	Handlespace() *handlespace.Handlespace
	Reload(c proxy.Config) (changes []string, err error)
	Pools() map[string]*pool.Pool
	Drain(element string) error
	Undrain(element string) error
	Draining(element string) (proxy.Draining, error)
	Disturb(a proxy.Attack) (proxy.Disturbance, error)
	Undisturb(id string) error
	Chaos() proxy.ChaosStatus
	Rehearse(ctx context.Context, handle string, w proxy.RehearsalWish) (proxy.RehearsalReport, error)
	Stop(ctx context.Context)
}

// serve runs what is around a proxy until a signal says to stop, and stops all. The error is that something of it cannot be had.
func serve(c proxy.Config, a *around, signals <-chan os.Signal, again *reloader) error {
	replace, started := again.replacer(), time.Now()
	a.options = func() admin.Options { return adminOptions(a, started, again) }
	defer a.close() // after the proxy: the admin API shows how the stop goes
	if err := a.begin(c); err != nil {
		stopNow(a.proxy)
		return fmt.Errorf("starting: %w", err)
	}
	replace.unused(a.log)
	if err := allTaken(); err != nil {
		stopNow(a.proxy)
		return err
	}
	a.log.Info("poolproxy is ready", "version", versionText(), "runs", contents(c))
	tellReady(a.log, contents(c))
	end := again.begin(a)
	select {
	case <-replace.gone():
	case s := <-signals:
		a.log.Info("stopping", "signal", s)
	}
	end()
	if replace.abort() {
		return nil // nothing is ended, and nobody told: another process serves
	}
	tellStopping(a.log, a.config.Grace)
	stop(a.config.Grace, a.proxy, a.log, signals)
	return nil
}

// adminOptions are what an admin API tells and does.
func adminOptions(a *around, started time.Time, again *reloader) admin.Options {
	replace, p := again.replacer(), a.proxy
	status := func() proxy.Status {
		s := p.Status()
		s.Version, s.Started, s.Reload = versionText(), started, again.state()
		return s
	}
	return admin.Options{
		Status:    func() any { return status() },
		Failovers: func() any { return status().Failovers },
		Metrics:   a.meters.page,
		Cookies:   cookies(p),
		Drains:    drains(p),
		Chaos:     chaosAPI(p),
		Rehearse:  rehearsals(p),
		Upgrade:   replace.asked(p),
		Successor: replace.succeeds(),
		Reload:    again.wanted(),
		Log:       a.log.Named("admin"),

		Handlespace: p.Handlespace(),
	}
}

// stop stops the proxy. Its sessions may go on for the grace, or until another signal.
func stop(grace time.Duration, p running, log hclog.Logger, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				log.Warn("stopping at once", "signal", s)
				cancel()
			}
		}
	}()
	p.Stop(ctx)
	log.Info("stopped")
}
