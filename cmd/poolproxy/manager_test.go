//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/internal/sockets"
	"github.com/poolproxy/poolproxy/proxy"
)

// manager is the end of sd_notify(3) that systemd has.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	at := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	l, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("NOTIFY_SOCKET", at.Name)
	return l
}

// told is the next message, as its lines.
func told(t *testing.T, l *net.UnixConn) []string {
	t.Helper()
	text := make([]byte, 4096)
	if err := l.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := l.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text[:n]), "\n")
}

func TestServiceManagerIsTold(t *testing.T) {
	l, address := manager(t), porttest.Free(t)
	signals, done := serving(newStandIn(), proxy.Config{Admin: proxy.Admin{Listen: address}, Grace: time.Minute}, io.Discard)
	if got, want := told(t, l), []string{"READY=1", "STATUS=0 pools, 0 pool_users, 0 pool_elements", fmt.Sprint("MAINPID=", os.Getpid())}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	answer, err := http.Get("http://" + address.String() + "/healthz") // all was listening by then
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	tellReloading(hclog.NewNullLogger())
	if got := told(t, l); got[0] != "RELOADING=1" || !strings.HasPrefix(got[1], "MONOTONIC_USEC=") {
		t.Errorf("%q", got)
	}
	tellReloaded(hclog.NewNullLogger())
	if got := told(t, l); got[0] != "READY=1" {
		t.Errorf("%q", got)
	}
	send(t, signals, syscall.SIGTERM)
	if got := told(t, l); got[0] != "STOPPING=1" || got[1] != "EXTEND_TIMEOUT_USEC=90000000" {
		t.Errorf("%q", got)
	}
	send(t, signals, syscall.SIGTERM)
	if err := await(t, "end", done); err != nil {
		t.Error(err)
	}
}

// TestSocketOfNobody: who starts us has opened a socket on which nothing listens by the configuration.
func TestSocketOfNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	if err := sockets.Given.Add(f); err != nil {
		t.Fatal(err)
	}
	defer func() { sockets.Given.TCP(l.Addr().(*net.TCPAddr).AddrPort()).Close() }()
	m, p := manager(t), newStandIn()
	_, done := serving(p, proxy.Config{}, io.Discard)
	await(t, "stop", p.stopping)
	if err := await(t, "end", done); err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "ListenStream") {
		t.Errorf("%v", err)
	}
	if err := m.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, _ := m.Read(make([]byte, 1)); n > 0 {
		t.Error("the service manager was told that all is well")
	}
}
