//go:build linux

package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/session"
)

// fenced is a fence on a loop, whose program is a shell script.
type fenced struct {
	*owner
	fence *fence
}

func newFenced(t *testing.T, script string, timeout time.Duration) *fenced {
	o := newOwner(t)
	s := &Shard{loop: o.loop, log: hclog.New(&hclog.LoggerOptions{Output: &o.log})}
	f := &fenced{o, newFence(s, Element{Name: "a", Server: netip.MustParseAddrPort("127.0.0.1:6379"),
		FenceExec: []string{"/bin/sh", "-c", script}, FenceTimeout: timeout}, new(atomic.Uint64))}
	t.Cleanup(func() { o.do(f.fence.close) })
	return f
}

// leg is a leg with a connection, numbered now.
func (f *fenced) leg(number uint64) *session.Leg {
	leg := &session.Leg{Session: number}
	f.do(func() { f.fence.connected(leg) })
	return leg
}

func (f *fenced) ask(leg *session.Leg) <-chan error {
	answers := make(chan error, 2)
	f.do(func() { f.fence.ask(leg, func(err error) { answers <- err }) })
	return answers
}

func (f *fenced) answer(answers <-chan error) error {
	f.Helper()
	select {
	case err := <-answers:
		return err
	case <-time.After(patience):
		f.Fatal("the fence has not answered")
		return nil
	}
}

// A frozen server with bytes in its queue is dead when the fence answers.
func TestFenceStopsAFrozenServer(t *testing.T) {
	r := startReader(t, "127.0.0.1:0")
	c := call(t, r.at)
	r.freeze()
	c.write(1)
	f := newFenced(t, fmt.Sprintf("kill -9 %d", r.process.Pid), 0)
	if err := f.answer(f.ask(f.leg(7))); err != nil {
		t.Fatal(err)
	}
	if err := c.hear(); err == nil {
		t.Error("the connection goes on")
	}
}

// Requests at the same time share a run, and so do later ones about connections that are older than it. One about a newer
// connection, to a server that was started meanwhile, has a run of its own.
func TestFenceIsShared(t *testing.T) {
	dir := t.TempDir()
	f := newFenced(t, "cat >>"+dir+"/runs; echo >>"+dir+"/runs; while [ ! -e "+dir+"/go ]; do sleep 0.01; done", patience)
	runs := func() []string {
		text, _ := os.ReadFile(filepath.Join(dir, "runs"))
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	var old []*session.Leg
	for i := range 51 {
		old = append(old, f.leg(uint64(i)))
	}
	var answers []<-chan error
	for _, leg := range old[1:] {
		answers = append(answers, f.ask(leg))
	}
	eventually(t, "the program runs", func() bool { return len(runs()[0]) > 0 })
	newer := f.leg(99)
	waits := f.ask(newer)
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if err := f.answer(a); err != nil {
			t.Error(err)
		}
	}
	if err := f.answer(waits); err != nil {
		t.Error(err)
	}
	if err := f.answer(f.ask(old[0])); err != nil {
		t.Error(err)
	}
	if err := f.answer(f.ask(newer)); err != nil {
		t.Error(err)
	}
	if got := runs(); len(got) != 2 {
		t.Fatalf("%d runs: %q", len(got), got)
	}
	for i, want := range []fenceInput{{"a", "127.0.0.1:6379", 1}, {"a", "127.0.0.1:6379", 99}} {
		var in fenceInput
		if err := json.Unmarshal([]byte(runs()[i]), &in); err != nil || in != want {
			t.Errorf("run %d: %q (%v)", i, runs()[i], err)
		}
	}
	for _, key := range []string{`"pool_element":"a"`, `"server":"127.0.0.1:6379"`, `"session":1`} {
		if !strings.Contains(runs()[0], key) {
			t.Errorf("%s is not in %s", key, runs()[0])
		}
	}
}

// A fence that fails proves nothing: each later request has it run again.
func TestFenceFails(t *testing.T) {
	runs := filepath.Join(t.TempDir(), "runs")
	f := newFenced(t, "echo >>"+runs+"; if [ $(wc -l <"+runs+") = 3 ]; then exit 0; fi; echo 'no such unit' >&2; exit 4", patience)
	leg := f.leg(1)
	for range 2 {
		if err := f.answer(f.ask(leg)); err == nil || !strings.Contains(err.Error(), "exit status 4: no such unit") {
			t.Errorf("%v", err)
		}
	}
	if err := f.answer(f.ask(leg)); err != nil {
		t.Error(err)
	}
	slow := newFenced(t, "sleep 1000", 20*time.Millisecond)
	if err := slow.answer(slow.ask(slow.leg(1))); err == nil || !strings.Contains(err.Error(), "not ended within 20ms") {
		t.Errorf("%v", err)
	}
}

func TestFenceOfNoConnection(t *testing.T) {
	f := newFenced(t, "exit 0", 0)
	if err := f.answer(f.ask(&session.Leg{})); !errors.Is(err, errNotConnected) {
		t.Errorf("never connected: %v", err)
	}
	leg := f.leg(1)
	f.do(func() { f.fence.closed(leg) })
	if err := f.answer(f.ask(leg)); !errors.Is(err, errNotConnected) {
		t.Errorf("closed: %v", err)
	}
	f.do(func() {
		if n := len(f.fence.numbers); n != 0 {
			t.Errorf("%d connections are remembered", n)
		}
	})
}

// Once it is closed nothing runs and nobody is answered.
func TestFenceCloses(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	f := newFenced(t, "echo $$ >>"+pids+"; exec sleep 1000", 0)
	first := f.ask(f.leg(1))
	second := f.ask(f.leg(2)) // waits for a run of its own
	pid := pidFrom(t, pids)
	f.do(f.fence.close)
	if !gone(pid) {
		t.Error("the program lives")
	}
	f.do(func() {})
	if len(first)+len(second) > 0 || len(numbers(pids)) != 1 {
		t.Errorf("answers or runs after close: %d, %d, %v", len(first), len(second), numbers(pids))
	}
}
