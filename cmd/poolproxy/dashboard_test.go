package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/admin/board"
	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/internal/porttest"
)

// lineServer answers each line with its name, until it dies.
type lineServer struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	dead     bool
}

func newLineServer(t *testing.T, name string) *lineServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &lineServer{listener: l}
	go s.accept(name)
	t.Cleanup(s.die)
	return s
}

// accept ends when the listener is closed.
func (s *lineServer) accept(name string) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		dead := s.dead
		s.mu.Unlock()
		if dead {
			conn.Close()
			return
		}
		go func() { // ends with the connection
			defer conn.Close()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				fmt.Fprintln(conn, name)
			}
		}()
	}
}

// die resets all connections and refuses others, as a server does that was killed.
func (s *lineServer) die() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	for _, c := range s.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// runs runs the proxy over two servers, until the test ends; its log is in the test's.
func runs(t *testing.T, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.hcl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded := config.Load([]string{file})
	if loaded.Failed() {
		var why bytes.Buffer
		loaded.Write(&why)
		t.Fatal(why.String())
	}
	signals, done, log := make(chan os.Signal), make(chan error, 1), &logText{}
	go func() { done <- run(loaded.Config, hclog.New(&hclog.LoggerOptions{Output: log}), signals, nil) }()
	t.Cleanup(func() {
		select {
		case signals <- syscall.SIGTERM:
			await(t, "end", done)
		case err := <-done:
			t.Errorf("it has ended: %v", err)
		}
		if t.Failed() {
			t.Log(log)
		}
	})
}

// fetched asks the admin API until it answers so.
func fetched(t *testing.T, url string, so func(string) bool) {
	t.Helper()
	var text []byte
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(3 * patience); time.Now().Before(deadline); <-again.C {
		answer, err := http.Get(url)
		if err != nil {
			continue // it comes up
		}
		text, _ = io.ReadAll(answer.Body)
		answer.Body.Close()
		if so(string(text)) {
			return
		}
	}
	t.Fatalf("%s never answers so: %s", url, text)
}

// A failover of a running proxy is in its metrics, and comes to who follows the dashboard's events, with its steps.
func TestFailoverIsSeen(t *testing.T) {
	a, b := newLineServer(t, "a"), newLineServer(t, "b")
	user, api := porttest.Free(t), porttest.Free(t)
	runs(t, fmt.Sprintf(`
grace = "100ms"
admin { listen = %q }
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
pool_user "things" {
  listen = %q
  pool   = "things"
  protocol "line" { safe = ["."] }
}
`, api, a.listener.Addr(), b.listener.Addr(), user))
	page := "http://" + api.String()
	fetched(t, page+"/healthz", func(s string) bool { return s == "ok\n" })
	client, err := net.Dial("tcp", user.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
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
	fetched(t, page+"/metrics", func(s string) bool {
		for _, want := range []string{`poolproxy_failovers_total{kind="moved",pool="things",pool_user="things",reason="`, `poolproxy_failover_seconds_count{kind="moved",pool="things",pool_user="things"} 1`,
			`poolproxy_failover_step_seconds_count{pool="things",pool_user="things",step="connect"} 1`, `poolproxy_sessions{pool="things",pool_user="things"} 1`,
			`poolproxy_pool_elements_alive{pool="things"} 1`, `poolproxy_client_messages_total{pool="things",pool_user="things",protected=`, "poolproxy_buffer_bytes "} {
			if !strings.Contains(s, want) {
				return false
			}
		}
		return true
	})
	answer, err := http.Get(page + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var f board.Failover
	name := ""
	for lines := bufio.NewScanner(answer.Body); f.User == "" && lines.Scan(); {
		name = strings.TrimPrefix(lines.Text(), "event: ")
		if name != "failovers" || !lines.Scan() {
			continue
		}
		var data struct{ Rows [][2]json.RawMessage }
		if err := json.Unmarshal([]byte(strings.TrimPrefix(lines.Text(), "data: ")), &data); err != nil {
			t.Fatal(err)
		}
		if len(data.Rows) == 1 {
			if err := json.Unmarshal(data.Rows[0][1], &f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f.From != "a" || f.To != "b" || f.Kind != "moved" || f.Connect <= 0 || f.Detector == "" {
		t.Errorf("%+v", f)
	}
	fetched(t, page+"/v1/sessions?find=B", func(s string) bool { return strings.Contains(s, `"element":"b"`) })
}
