//go:build linux

package test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// checked is a fleet of two line servers, each with these lines in the health_check of its pool_element; in them NAME stands for the
// element's name.
func checked(t *testing.T, lines ...string) *fleet {
	t.Helper()
	return launch(t, plan{mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line", "line"},
		checks: "  health_check {\n    " + strings.Join(lines, "\n    ") + `
    interval = "500ms"
    timeout  = "500ms"
    fall     = 3
  }
`})
}

// visitor is a client of a line server.
type visitor struct {
	conn  *net.TCPConn
	in    *bufio.Reader
	asked int
}

// visitors connects clients. Round robin gives them to the elements in turn.
func (f *fleet) visitors(n int) (all []*visitor) {
	f.t.Helper()
	for range n {
		c := f.dial()
		v := &visitor{conn: c, in: bufio.NewReader(c)}
		v.ask(f.t)
		all = append(all, v)
	}
	return all
}

// ask sends a request and reads its reply.
func (v *visitor) ask(t *testing.T) {
	t.Helper()
	ask(t, v.conn, v.in, v.asked)
	v.asked++
}

// at counts the open sessions that an element serves.
func (f *fleet) at(name string) (n int) {
	f.t.Helper()
	for _, s := range f.status().Sessions {
		if s.State == "open" && s.Element == name {
			n++
		}
	}
	return n
}

// A server that is frozen (SIGSTOP) accepts connections and answers nothing, and no reply_timeout is set. The health check finds it:
// sessions that wait for a reply and idle ones go on elsewhere. When it wakes, what it says reaches nobody; it serves new sessions.
func TestHealthCheckOfFrozenServer(t *testing.T) {
	f := checked(t, `send   = "ping\n"`, `expect = "^did ping\n"`)
	all := f.visitors(10)
	if n := f.at("a"); n != 5 {
		t.Fatalf("%d of %d sessions are at a", n, len(all))
	}
	frozen := f.elements[0]
	frozen.server.freeze(t)
	began := time.Now()
	for _, v := range all[:5] { // both elements have some of these; the others are idle
		v.ask(t)
	}
	t.Logf("answered within %s", time.Since(began))
	waitFor(t, "all sessions to be at b, idle ones too", func() bool { return f.at("b") == len(all) })
	frozen.sidecar.said(t, "server unhealthy", 1)
	for _, r := range f.records("moved", 5) {
		if r.Detector != "health check" || !strings.Contains(r.Cause, "no answer within 500ms") {
			t.Errorf("moved because of: %s: %s", r.Detector, r.Cause)
		}
	}
	frozen.server.thaw(t)
	frozen.sidecar.said(t, "server healthy again", 1)
	for _, v := range all {
		for range 20 {
			v.ask(t)
		}
	}
	if n := f.at("b"); n != len(all) {
		t.Errorf("%d of %d sessions are at b: live ones have moved back", n, len(all))
	}
	f.servesAgain("a")
}

// servesAgain waits until an element gets new sessions.
func (f *fleet) servesAgain(name string) {
	f.t.Helper()
	waitFor(f.t, "new sessions to go to "+name, func() bool {
		f.visitors(1)
		return f.at(name) > 0
	})
}

// A server whose page says that it is ill serves on, and yet its sessions move; when the page is well again, new ones come back.
func TestHealthCheckByHTTP(t *testing.T) {
	var ill atomic.Bool
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health/a" && ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer pages.Close()
	f := checked(t, fmt.Sprintf(`http = "%s/health/NAME"`, pages.URL))
	movesAndReturns(t, f, ill.Store, "the status is 503, not 200 to 399")
}

// The same by a program.
func TestHealthCheckByProgram(t *testing.T) {
	sign := filepath.Join(logDir(t), "ill-a")
	f := checked(t, fmt.Sprintf(`exec = ["/bin/sh", "-c", "if test -e %s; then echo it is ill; exit 3; fi"]`,
		filepath.Join(logDir(t), "ill-NAME")))
	fall := func(ill bool) {
		var err error
		if ill {
			err = os.WriteFile(sign, nil, 0o600)
		} else {
			err = os.Remove(sign)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	movesAndReturns(t, f, fall, `exit status 3: "it is ill"`)
}

// movesAndReturns makes element a ill, and well again.
func movesAndReturns(t *testing.T, f *fleet, fall func(ill bool), reason string) {
	t.Helper()
	all := f.visitors(4)
	if n := f.at("a"); n != 2 {
		t.Fatalf("%d of %d sessions are at a", n, len(all))
	}
	fall(true)
	waitFor(t, "all sessions to be at b", func() bool { return f.at("b") == len(all) })
	for _, r := range f.records("moved", 2) {
		if !strings.Contains(r.Cause, reason) {
			t.Errorf("moved because of: %s: %s", r.Detector, r.Cause)
		}
	}
	all = append(all, f.visitors(4)...)
	for _, v := range all {
		v.ask(t)
	}
	if n := f.at("b"); n != len(all) {
		t.Errorf("%d of %d sessions are at b, the others at an ill server", n, len(all))
	}
	fall(false)
	f.servesAgain("a")
}
