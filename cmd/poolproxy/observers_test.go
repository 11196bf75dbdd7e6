//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// spanNames is a collector of OpenTelemetry that has the names of the spans it was sent.
type spanNames struct {
	mu  sync.Mutex
	all []string
}

func (c *spanNames) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	var said collect.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(text, &said) != nil {
		http.Error(w, "that is no OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, from := range said.ResourceSpans {
		for _, scope := range from.ScopeSpans {
			for _, s := range scope.Spans {
				c.all = append(c.all, s.Name)
			}
		}
	}
}

func (c *spanNames) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.all, " ")
}

// until polls with a deadline.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(3 * patience); !so(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

// A running proxy has a line in its access log for a session that has ended, and a trace of its failover; the log's file is opened again on SIGUSR1.
func TestSessionIsAccountedFor(t *testing.T) {
	collector := &spanNames{}
	otlp := httptest.NewServer(collector)
	t.Cleanup(otlp.Close) // behind the proxy
	a, b := newLineServer(t, "a"), newLineServer(t, "b")
	user, file := porttest.Free(t), filepath.Join(t.TempDir(), "access.log")
	runs(t, fmt.Sprintf(`
grace = "100ms"
admin { listen = "off" }
access_log { file = %q }
traces { otlp = %q }
pool "things" {
  policy  = "priority"
  mapping = "none"
  element "a" {
    address  = %q
    priority = 2
  }
  element "b" {
    address  = %q
    priority = 1
  }
}
pool_user "front" {
  listen = %q
  pool   = "things"
  protocol "line" { safe = ["."] }
}
`, file, otlp.URL, a.listener.Addr(), b.listener.Addr(), user))
	var client net.Conn
	until(t, "it listens", func() bool {
		var err error
		client, err = net.Dial("tcp", user.String())
		return err == nil
	})
	said := bufio.NewScanner(client)
	for i, want := range []string{"a", "b"} {
		if i == 1 {
			a.die()
		}
		fmt.Fprintln(client, "hello")
		if !said.Scan() || said.Text() != want {
			t.Fatalf("%q from the server, not %q: %v", said.Text(), want, said.Err())
		}
	}
	until(t, "the trace", func() bool {
		s := collector.String()
		return strings.Contains(s, "connect") && strings.Contains(s, "failover")
	})
	client.Close()
	line := func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			return ""
		}
		return string(text)
	}
	until(t, "a line", func() bool { return strings.HasSuffix(line(), "\n") })
	var has struct {
		Pool, Client, Element, Ended string
		Elements                     []string
		Up                           int64 `json:"from_client_bytes"`
		Requests                     int   `json:"from_client_messages"`
		Replies                      int   `json:"to_client_messages"`
		Failovers                    int
	}
	if err := json.Unmarshal([]byte(line()), &has); err != nil {
		t.Fatal(err)
	}
	if has.Pool != "things" || has.Client != client.LocalAddr().String() || fmt.Sprint(has.Elements) != "[a b]" || has.Ended != "closed" || has.Up != 12 ||
		has.Requests != 2 || has.Replies != 2 || has.Failovers != 1 {
		t.Error(line())
	}
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	until(t, "the file anew", func() bool { _, err := os.Stat(file); return err == nil })
}
