package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// patience bounds the wait for an event that must come.
const patience = 5 * time.Second

// standIn is a proxy that stops when its context ends.
type standIn struct {
	stopping chan struct{}
	within   time.Duration // how long the context of Stop had
}

func newStandIn() *standIn { return &standIn{stopping: make(chan struct{})} }

func (p *standIn) Status() proxy.Status {
	return proxy.Status{Failovers: []proxy.Record{{User: "web"}}}
}

func (p *standIn) Cookie(_, _ netip.AddrPort) ([]byte, error) { return nil, proxy.ErrNoSession }

func (p *standIn) SetCookie(_, _ netip.AddrPort, _ []byte) error { return session.ErrCookieKey }

func (p *standIn) Handlespace() *handlespace.Handlespace { return nil }

func (p *standIn) Reload(proxy.Config) ([]string, error) { return nil, proxy.ErrStopped }

func (p *standIn) Pools() map[string]*pool.Pool { return nil }

func (p *standIn) Drain(string) error { return proxy.ErrNoElement }

func (p *standIn) Disturb(proxy.Attack) (proxy.Disturbance, error) {
	return proxy.Disturbance{}, proxy.ErrChaosUnknown
}

func (p *standIn) Undisturb(string) error { return proxy.ErrChaosUnknown }

func (p *standIn) Chaos() proxy.ChaosStatus { return proxy.ChaosStatus{} }

func (p *standIn) Undrain(string) error { return nil }

func (p *standIn) Draining(name string) (proxy.Draining, error) {
	return proxy.Draining{Element: name, Sessions: []proxy.StayingHere{{ID: 7, Client: "10.0.0.1:5", Reason: "in a transaction"}}}, nil
}

func (p *standIn) Rehearse(_ context.Context, handle string, w proxy.RehearsalWish) (proxy.RehearsalReport, error) {
	return proxy.RehearsalReport{}, fmt.Errorf("%w: pool %q has no element for rehearsals", proxy.ErrNotRehearsed, handle)
}

func (p *standIn) Stop(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		p.within = time.Until(deadline)
	}
	close(p.stopping)
	<-ctx.Done()
}

// logText is a log that may be written and read at once.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serving runs serve; what it returned comes on the channel.
func serving(p running, c proxy.Config, log io.Writer) (chan<- os.Signal, <-chan error) {
	signals, done := make(chan os.Signal), make(chan error, 1)
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: log})
	meters, err := newMetrics()
	if err != nil {
		done <- err
		return signals, done
	}
	go func() {
		done <- serve(c, &around{proxy: p, log: logger, meters: meters, watched: newObservers()}, signals, nil)
	}()
	return signals, done
}

func await[T any](t *testing.T, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("no ", what)
	}
	return v
}

func send(t *testing.T, signals chan<- os.Signal, s os.Signal) {
	t.Helper()
	select {
	case signals <- s:
	case <-time.After(patience):
		t.Fatal("nobody takes the signal ", s)
	}
}

func TestSignals(t *testing.T) {
	p, log := newStandIn(), &logText{}
	signals, done := serving(p, proxy.Config{Grace: time.Hour}, log)
	send(t, signals, syscall.SIGTERM)
	await(t, "stop", p.stopping)
	if p.within < 59*time.Minute {
		t.Errorf("the grace is %s", p.within)
	}
	select {
	case <-done:
		t.Fatal("the grace has ended")
	default:
	}
	send(t, signals, syscall.SIGINT)
	if err := await(t, "end", done); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"stopping at once", "stopped"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
}

func TestGraceEnds(t *testing.T) {
	p := newStandIn()
	signals, done := serving(p, proxy.Config{Grace: time.Millisecond}, io.Discard)
	send(t, signals, syscall.SIGTERM)
	if err := await(t, "end", done); err != nil {
		t.Error(err)
	}
}

func TestAdminAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := newStandIn()
	c := proxy.Config{Admin: proxy.Admin{Listen: taken.Addr().(*net.TCPAddr).AddrPort()}}
	_, done := serving(p, c, io.Discard)
	await(t, "stop", p.stopping)
	if err := await(t, "end", done); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func TestStatusOfServing(t *testing.T) {
	address := porttest.Free(t)
	p := newStandIn()
	signals, done := serving(p, proxy.Config{Admin: proxy.Admin{Listen: address}}, io.Discard)
	deadline := time.Now().Add(patience)
	var stdout, stderr bytes.Buffer
	for dispatch([]string{"status", "-json", "-admin", address.String()}, &stdout, &stderr) != 0 {
		if time.Now().After(deadline) {
			t.Fatal(stderr.String())
		}
	}
	var status proxy.Status
	if err := json.Unmarshal(stdout.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	if status.Version == "" || status.Started.IsZero() || len(status.Failovers) != 1 {
		t.Errorf("got %+v", status)
	}
	send(t, signals, syscall.SIGTERM)
	if err := await(t, "end", done); err != nil {
		t.Error(err)
	}
}

func TestNewLog(t *testing.T) {
	var text bytes.Buffer
	log := newLog(proxy.Log{Level: "warn", JSON: true}, &text)
	log.Info("quiet")
	log.Warn("loud")
	var line map[string]any
	if err := json.Unmarshal(text.Bytes(), &line); err != nil || line["@message"] != "loud" {
		t.Errorf("got %q, %v", text.String(), err)
	}
}

func TestMetricsPage(t *testing.T) {
	daemon, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	meter, err := newMetrics()
	if err != nil {
		t.Fatal(err)
	}
	sends, err := newStatsd(daemon.LocalAddr().(*net.UDPAddr).AddrPort(), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	meter.send(sends)
	defer meter.send(nil)
	meter.IncrCounterWithLabels([]string{"sessions_refused_total"}, 2, []metrics.Label{{Name: "pool", Value: "p"}, {Name: "pool_user", Value: "u"}, {Name: "reason", Value: "limit"}})
	meter.IncrCounter([]string{"nobodys"}, 1)
	meter.AddSampleWithLabels([]string{"failover_seconds"}, .25, []metrics.Label{{Name: "pool", Value: "p"}, {Name: "pool_user", Value: "u"}, {Name: "kind", Value: "moved"}})
	said := make([]byte, 2000)
	daemon.SetReadDeadline(time.Now().Add(patience))
	n, _, err := daemon.ReadFrom(said)
	if !strings.Contains(string(said[:n]), "poolproxy.failover_seconds.p.u.moved:250.000000|ms\n") || !strings.Contains(string(said[:n]), "poolproxy.sessions_refused_total.p.u.limit:2.000000|c\n") {
		t.Errorf("statsd is told %q, %v", said[:n], err)
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: meter.page}
	defer web.Close()
	go web.Serve(server)
	answer, err := http.Get("http://" + server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	for _, want := range []string{`poolproxy_sessions_refused_total{pool="p",pool_user="u",reason="limit"} 2`, `poolproxy_failover_seconds_bucket{kind="moved",pool="p",pool_user="u",le="0.25"} 1`,
		`poolproxy_info{version=`, "# HELP poolproxy_failover_seconds From noticing"} {
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: no %s in %s, %v", answer.Status, want, body, err)
		}
	}
	if strings.Contains(string(body), "nobodys") {
		t.Error("what is not declared is told")
	}
}
