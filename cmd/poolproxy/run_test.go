package main

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/poolproxy/poolproxy/handlespace"
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

func (p *standIn) Reload(proxy.Config) (int, error) { return 0, proxy.ErrStopped }

func (p *standIn) Drain(string) error { return proxy.ErrNoElement }

func (p *standIn) Undrain(string) error { return nil }

func (p *standIn) Draining(name string) (proxy.Draining, error) {
	return proxy.Draining{Element: name, Sessions: []proxy.StayingHere{{ID: 7, Client: "10.0.0.1:5", Reason: "in a transaction"}}}, nil
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
	go func() { done <- serve(c, p, http.NotFoundHandler(), logger, signals, nil) }()
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

// freeAddress is an address that nothing listens on, for a moment at least.
func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestStatusOfServing(t *testing.T) {
	address := freeAddress(t)
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
	meter, page, err := newMetrics()
	if err != nil || meter == nil || page == nil {
		t.Fatal(meter, page, err)
	}
	meter.IncrCounter([]string{"failovers"}, 1)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: page}
	defer web.Close()
	go web.Serve(server)
	answer, err := http.Get("http://" + server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "failovers") {
		t.Errorf("%s: %s, %v", answer.Status, body, err)
	}
}
