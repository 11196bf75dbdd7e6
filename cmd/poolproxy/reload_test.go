package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
)

// reloading is a stand-in that takes configurations.
type reloading struct {
	*standIn
	taken chan proxy.Config
	err   error
	hold  chan struct{} // a reload waits for it
	now   atomic.Int32  // reloads that go on
}

func (r *reloading) Reload(c proxy.Config) ([]string, error) {
	r.now.Add(1)
	defer r.now.Add(-1)
	r.taken <- c
	<-r.hold
	return []string{"one"}, r.err
}

// aroundOf is what is around a proxy, without anything that listens.
func aroundOf(t *testing.T, p running, log hclog.Logger) *around {
	t.Helper()
	meters, err := newMetrics()
	if err != nil {
		t.Fatal(err)
	}
	a := &around{proxy: p, log: log, meters: meters, watched: newObservers(), options: func() admin.Options { return admin.Options{} }}
	t.Cleanup(a.close)
	return a
}

// Who asks while a reload goes on is heard behind it, once; when the reloader is stopped nothing goes on any more.
func TestReloader(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.hcl")
	if err := os.WriteFile(file, []byte(`admin { listen = "off" }`+"\n"+`dns { listen = "127.0.0.1:0" }`+"\n"+`pool "p" {
  element "a" { address = "127.0.0.1:1" }
}`), 0o600); err != nil {
		t.Fatal(err)
	}
	hangups := make(chan os.Signal, 1)
	p := &reloading{standIn: newStandIn(), taken: make(chan proxy.Config), hold: make(chan struct{})}
	var text logText
	r := newReloader([]string{file}, hangups, hclog.New(&hclog.LoggerOptions{Output: &text}))
	if r.state() != nil {
		t.Error("nobody has asked")
	}
	stop := r.begin(aroundOf(t, p, r.log))
	hangups <- syscall.SIGHUP
	if c := await(t, "reload", p.taken); len(c.Pools) != 1 || len(c.Pools[0].Elements) != 1 {
		t.Errorf("%+v", c)
	}
	for range 50 { // as the system gives signals
		select {
		case hangups <- syscall.SIGHUP:
		default:
		}
	}
	p.hold <- struct{}{}
	await(t, "second reload", p.taken)
	p.err = &proxy.RestartError{Differences: []string{"one thing", "another"}}
	p.hold <- struct{}{}
	for deadline := time.Now().Add(patience); r.state() == nil || r.state().Error == ""; {
		if time.Now().After(deadline) {
			t.Fatal("it is not said why it cannot be")
		}
	}
	if s := r.state(); s.Done == nil || s.Failed == nil || s.Error != "needs a restart: one thing (and 1 more)" {
		t.Errorf("%+v", s)
	}
	stop()
	if p.now.Load() != 0 || len(hangups) != 0 {
		t.Error("there was a third reload")
	}
	for _, want := range []string{"the configuration was reloaded: changes=1", "changed: one\n", "needs a restart: one thing\n", "needs a restart: another\n", "nothing has changed"} {
		if strings.Count(text.String(), want) != 1 {
			t.Errorf("the log has not %q once:\n%s", want, text.String())
		}
	}
}

// A file that is written while the configuration is read, for another reason, is read again if it is watched.
func TestReloaderWatchesMeanwhile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.hcl")
	write := func(name string) {
		t.Helper()
		text := fmt.Sprintf("watch = true\ndns { listen = \"127.0.0.1:0\" }\nadmin { listen = \"off\" }\npool %q {\n  element \"a\" { address = \"127.0.0.1:1\" }\n}\n", name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("p")
	hangups := make(chan os.Signal, 1)
	p := &reloading{standIn: newStandIn(), taken: make(chan proxy.Config), hold: make(chan struct{})}
	r := newReloader([]string{file}, hangups, hclog.NewNullLogger())
	stop := r.begin(aroundOf(t, p, r.log))
	defer stop()
	hangups <- syscall.SIGHUP
	await(t, "reload", p.taken)
	write("other")
	p.hold <- struct{}{}
	select {
	case c := <-p.taken:
		if c.Pools[0].Handle != "other" {
			t.Errorf("%+v", c.Pools)
		}
		p.hold <- struct{}{}
	case <-time.After(6 * patience):
		t.Error("what was written meanwhile is not read")
	}
}

// A configuration with mistakes is not shown to the proxy; each is in the log with its place, and the first in the status.
func TestReloaderMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.hcl")
	if err := os.WriteFile(file, []byte("grace = 7\npool \"p\" {\n  polcy = \"random\"\n}\nlimits { sessions = 0 }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var text logText
	r := newReloader([]string{file}, nil, hclog.New(&hclog.LoggerOptions{Output: &text}))
	r.around = aroundOf(t, newStandIn(), r.log)
	r.reload(t.Context())
	if s := r.state(); s.Error != fmt.Sprintf(`%s:1:9: "grace" must be a string in quotes (and 2 more errors)`, file) || s.Done != nil || s.Failed == nil {
		t.Errorf("%+v", s)
	}
	for _, at := range []string{":1:9", ":3:3", ":5:21"} {
		if !strings.Contains(text.String(), "at="+file+at) {
			t.Errorf("the log does not name %s:\n%s", at, text.String())
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r.reload(t.Context())
	if s := r.state(); !strings.Contains(s.Error, "cannot be read") {
		t.Errorf("%+v", s)
	}
}

func TestPrintReload(t *testing.T) {
	now := time.Now()
	done, failed := now.Add(-time.Hour), now.Add(-time.Minute)
	for _, c := range []struct {
		s    *proxy.ReloadStatus
		want string
	}{
		{nil, ""},
		{&proxy.ReloadStatus{Done: &done, Failed: &failed}, "configuration reloaded 1h ago\n"},
		{&proxy.ReloadStatus{Done: &done, Failed: &failed, Error: "a\x1bb"},
			"configuration reloaded 1h ago\nTHE LAST RELOAD FAILED 1m ago, and has changed nothing: a?b\n"},
	} {
		var text bytes.Buffer
		if printReload(&text, c.s, now); text.String() != c.want {
			t.Errorf("got  %q\nwant %q", text.String(), c.want)
		}
	}
}
