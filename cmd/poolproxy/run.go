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
	"github.com/poolproxy/poolproxy/admin/board"
	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/dns"
	"github.com/poolproxy/poolproxy/handlespace"
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
	predecessor, err := follow()
	if err != nil {
		fmt.Fprintln(stderr, "poolproxy run:", err)
		return exitFailed
	}
	replace := newReplacer(predecessor)    // at the start: the program may be exchanged on its disk later
	hangups := make(chan os.Signal, 1)     // apart from those that stop it: no number of these takes their place
	signal.Notify(hangups, syscall.SIGHUP) // until the process has ended: one that comes late must not kill it
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
	again := newReloader(*paths, hangups)
	again.replace = replace
	if err := run(loaded.Config, log, signals, again); err != nil {
		_ = predecessor.fail(err) // if it still listens
		log.Error("poolproxy cannot run", "error", err)
		return exitFailed
	}
	if replace.abort() && isFirst() {
		return caretake(log, signals, hangups)
	}
	return exitOK
}

func newLog(c proxy.Log, w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "poolproxy", Level: hclog.LevelFromString(c.Level), JSONFormat: c.JSON, Output: w})
}

// run starts the proxy and what belongs to it, and serves until a signal says to stop. again reads the configuration anew; nil: nobody does.
func run(c proxy.Config, log hclog.Logger, signals <-chan os.Signal, again *reloader) error {
	meter, metricsPage, end, err := newMetrics(c.Metrics, log)
	if err != nil {
		return err
	}
	defer end() // the proxy has ended by then
	adminTLS, err := adminSecrets(&c)
	if err != nil {
		return err
	}
	var endObservers func()
	if c.Observers, endObservers, err = observers(c, log, meter); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	defer endObservers() // likewise
	p, err := again.replacer().start(c, log, meter)
	if err != nil {
		return err
	}
	answerer, err := answerDNS(c, p, log)
	if err != nil && again.replacer().succeeds() { // it has sessions to serve
		log.Error("DNS is not answered", "reason", err)
	} else if err != nil {
		stopNow(p)
		return err
	}
	if answerer != nil {
		defer answerer.Close()
	}
	gate := gate{metrics: metricsPage, tls: adminTLS, refused: func(reason string) { proxy.AdminRefused(meter, reason) }}
	return serve(c, p, gate, log, signals, again)
}

// answerDNS begins to answer questions for the pools; nil: nobody wants that.
func answerDNS(c proxy.Config, p *proxy.Proxy, log hclog.Logger) (*dns.Answerer, error) {
	if !c.DNS.Listen.IsValid() {
		return nil, nil
	}
	a, err := dns.Listen(dns.AnswererConfig{Listen: c.DNS.Listen, TTL: c.DNS.TTL, Pools: p.Pools(),
		Log: func(err error) { log.Error("DNS is not answered any more", "error", err) }})
	if err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	log.Info("answering DNS for the pools", "address", a.Addr(), "names", "<pool>.pool.")
	return a, nil
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
	Reload(c proxy.Config) (pools int, err error)
	Drain(element string) error
	Undrain(element string) error
	Draining(element string) (proxy.Draining, error)
	Stop(ctx context.Context)
}

// serve runs the admin API beside a proxy until a signal says to stop, and stops both. The error is that there can be no admin API.
func serve(c proxy.Config, p running, g gate, log hclog.Logger, signals <-chan os.Signal, again *reloader) error {
	replace, started := again.replacer(), time.Now()
	if c.Admin.On() {
		status := func() proxy.Status {
			s := p.Status()
			s.Version, s.Started, s.Reload = versionText(), started, again.state()
			return s
		}
		o := admin.Options{
			Status:    func() any { return status() },
			Failovers: func() any { return status().Failovers },
			Metrics:   g.metrics,
			Cookies:   cookies(p),
			Drains:    drains(p),
			Board:     board.New(func() board.View { return dashboard(status(), c.Admin) }),
			Upgrade:   replace.asked(p),
			Successor: replace.succeeds(),
			Log:       log.Named("admin"),

			Handlespace: p.Handlespace(),
		}
		api, err := g.start(c.Admin, o)
		switch {
		case err == nil:
			defer api.Close() // after the proxy: it shows how the stop goes
			log.Info("the admin API is ready", "address", api.Where())
		case o.Successor: // it has sessions to serve
			log.Error("there is no admin API", "reason", err)
		default:
			stopNow(p)
			return fmt.Errorf("starting: %w", err)
		}
	}
	replace.unused(log)
	if err := allTaken(); err != nil {
		stopNow(p)
		return err
	}
	log.Info("poolproxy is ready", "version", versionText(), "runs", contents(c))
	tellReady(log, contents(c))
	end := again.begin(p, log)
	select {
	case <-replace.gone():
	case s := <-signals:
		log.Info("stopping", "signal", s)
	}
	end()
	if replace.abort() {
		return nil // nothing is ended, and nobody told: another process serves
	}
	tellStopping(log, c.Grace)
	stop(c.Grace, p, log, signals)
	return nil
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
