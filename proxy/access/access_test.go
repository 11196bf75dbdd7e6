package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// rig is a log with what it counts and says.
type rig struct {
	*Log
	t    *testing.T
	path string
	sink *metrics.InmemSink
	said *bytes.Buffer // read it when the log is closed
}

func newRig(t *testing.T, path string) *rig {
	t.Helper()
	r := &rig{t: t, path: path, sink: metrics.NewInmemSink(time.Hour, time.Hour), said: &bytes.Buffer{}}
	meter, err := metrics.New(&metrics.Config{FilterDefault: true}, r.sink)
	if err != nil {
		t.Fatal(err)
	}
	if r.Log, err = Open(proxy.AccessLog{File: path}, hclog.New(&hclog.LoggerOptions{Output: r.said}), meter); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func (r *rig) lost(reason string) int {
	return int(r.sum("access_log_lost_lines_total;reason=" + reason))
}

func (r *rig) sum(counter string) float64 {
	data := r.sink.Data()[0]
	data.RLock()
	defer data.RUnlock()
	if s := data.Counters[counter]; s.AggregateSample != nil {
		return s.Sum
	}
	return 0
}

func numbered(id uint64) proxy.SessionEnd {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return proxy.SessionEnd{Pool: "web", User: "front", Ended: session.Ended{ID: id, Client: "127.0.0.1:40000", Began: began,
		Time: began.Add(1234567 * time.Microsecond), Legs: 2, Elements: []string{"a", "b"}, FromClient: 812, ToClient: 1 << 20, Requests: 3, Replies: 2,
		Failovers: 1, Protection: session.Unprotected, Unprotected: "because", How: session.EndFailed, Why: "because"}}
}

// waitFor polls for what the log's goroutine does, with a deadline.
func (r *rig) waitFor(what string, so func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("never: ", what)
		}
	}
}

func lines(t *testing.T, path string) (ids []uint64) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		var l line
		if err := json.Unmarshal([]byte(x), &l); err != nil {
			t.Fatalf("%v: %q", err, x)
		}
		ids = append(ids, l.Session)
	}
	return ids
}

// A line has all that is known of a session, under the names that docs/accesslog.md has.
func TestLine(t *testing.T) {
	r := newRig(t, filepath.Join(t.TempDir(), "access.log"))
	r.Ended(numbered(17))
	none := numbered(18)
	none.Elements, none.Why, none.Unprotected = nil, "a\nb\"", strings.Repeat("x", 5000)
	r.Ended(none)
	r.Close()
	r.Close()
	text, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"time":"2026-01-02T03:04:06.234Z","pool":"web","pool_user":"front","session":17,"client":"127.0.0.1:40000","element":"b","elements":["a","b"],` +
		`"legs":2,"duration_ms":1234.567,"from_client_bytes":812,"to_client_bytes":1048576,"from_client_messages":3,"to_client_messages":2,"failovers":1,` +
		`"protection":"unprotected","protection_reason":"because","ended":"failed","reason":"because"}` + "\n"
	if !strings.HasPrefix(string(text), want) || strings.Count(string(text), "\n") != 2 || len(text) > len(want)+2000 || !strings.Contains(string(text), `"elements":[]`) {
		t.Errorf("%s", text)
	}
	page, err := os.ReadFile("../../docs/accesslog.md")
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(want), &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/accesslog.md has no %s", name)
		}
	}
}

// Whoever renames the file gets another one, with or without the signal; none of the lines is lost.
func TestRenamedFile(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, filepath.Join(dir, "access.log"))
	for i := range uint64(4) {
		r.Ended(numbered(i))
		r.waitFor("a line", func() bool { s, err := os.Stat(r.path); return err == nil && s.Size() > 0 })
		if err := os.Rename(r.path, filepath.Join(dir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			r.Reopen()
			r.waitFor("the file", func() bool { _, err := os.Stat(r.path); return err == nil })
		}
	}
	for i := range uint64(4) {
		if got := lines(t, filepath.Join(dir, fmt.Sprint(i))); len(got) != 1 || got[0] != i {
			t.Errorf("%d: %v", i, got)
		}
	}
	// A folder that is gone: the lines go on into the file that is open.
	r.Ended(numbered(4))
	r.waitFor("a line", func() bool { s, err := os.Stat(r.path); return err == nil && s.Size() > 0 })
	held, err := os.Open(r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	r.Ended(numbered(5))
	r.Close()
	var two bytes.Buffer
	if _, err := two.ReadFrom(held); err != nil || strings.Count(two.String(), "\n") != 2 {
		t.Errorf("%v %s", err, &two)
	}
	if r.lost(lostWrite)+r.lost(lostQueue) != 0 || strings.Count(r.said.String(), "cannot be opened again") != 1 {
		t.Errorf("%d lost; %s", r.lost(lostWrite), r.said)
	}
}

// What the goroutine writes within one line is put right by the next.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	file, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l := &Log{log: hclog.NewNullLogger(), path: path, file: file, torn: true}
	if _, err := file.WriteString(`{"half`); err != nil {
		t.Fatal(err)
	}
	l.take(numbered(1))
	l.write()
	if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(text), "{\"half\n{\"time\"") || l.torn {
		t.Errorf("%v %s", err, text)
	}
}

func TestOpenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere", "x")
	if _, err := Open(proxy.AccessLog{File: path}, hclog.NewNullLogger(), nil); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "access_log.file") {
		t.Error(err)
	}
}
