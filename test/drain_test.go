//go:build linux

package test

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// rolling is three redis servers that are restarted one after another while clients are at work that never connect again.
type rolling struct {
	*fleet
	clients int
	stop    atomic.Bool
	rounds  atomic.Int64 // of all clients
	errors  atomic.Int64
	first   atomic.Value // the first error, a string
	running sync.WaitGroup
}

// rollingClients is how many clients a rolling has, if it is not said.
const rollingClients = 50

func launchRolling(t *testing.T, mapping string) *rolling {
	f := &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t), plan: plan{mapping: mapping, protocol: "  protocol \"redis\" {}\n"}}
	r := &rolling{fleet: f, clients: rollingClients}
	for i := range 3 {
		e := &element{name: string(rune('a' + i)), address: porttest.FreeString(t)}
		f.elements = append(f.elements, e)
		r.startRedis(i)
		if mapping != "none" {
			e.listen, e.admin = porttest.FreeString(t), porttest.FreeString(t)
			f.startSidecar(i)
		}
	}
	f.user = f.run("user", f.userConfig())
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	return r
}

func (r *rolling) startRedis(i int) {
	r.t.Helper()
	e := r.elements[i]
	e.starts++
	_, port, _ := net.SplitHostPort(e.address)
	e.server = startProcess(r.t, command{name: fmt.Sprintf("redis-%s-%d", e.name, e.starts), args: []string{"redis-server", "--port", port,
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", logDir(r.t)}})
	e.server.waitListening(r.t, e.address)
}

// restartRedis ends the server of element i in order, as an operator does, and starts another one.
func (r *rolling) restartRedis(i int) {
	r.t.Helper()
	r.elements[i].server.signal(r.t, syscall.SIGTERM)
	r.elements[i].server.wait(r.t, patience)
	r.startRedis(i)
}

// work is one client: one connection, with a name and a database that every server has to be told of. The run waits for it.
func (r *rolling) work(id int, conn redis.Conn) {
	defer conn.Close()
	name := fmt.Sprintf("client-%d", id)
	check := func(want any, reply any, err error) {
		if got := fmt.Sprintf("%s", reply); err != nil || got != fmt.Sprintf("%s", want) {
			r.errors.Add(1)
			r.first.CompareAndSwap(nil, fmt.Sprintf("client %d: %v, %q instead of %q", id, err, got, want))
			r.stop.Store(r.stop.Load() || err != nil)
		}
	}
	ask := func(want, command string, args ...any) {
		reply, err := conn.Do(command, args...)
		check(want, reply, err)
	}
	ask("OK", "CLIENT", "SETNAME", name)
	for n := 0; !r.stop.Load(); n++ {
		text := fmt.Sprintf("%d of %d", n, id)
		switch n % 4 {
		case 0:
			ask(text, "ECHO", text)
		case 1:
			ask("OK", "SET", text, text)
		case 2:
			ask(name, "CLIENT", "GETNAME")
		case 3:
			for i := range 3 {
				if err := conn.Send("ECHO", fmt.Sprint(text, i)); err != nil {
					check(nil, nil, err)
				}
			}
			if err := conn.Flush(); err != nil {
				check(nil, nil, err)
			}
			for i := range 3 {
				reply, err := conn.Receive()
				check(fmt.Sprint(text, i), reply, err)
			}
		}
		r.rounds.Add(1)
	}
}

// under runs what is done while all clients are at work.
func (r *rolling) under(do func()) {
	r.t.Helper()
	r.t.Cleanup(func() { r.stop.Store(true); r.running.Wait() })
	for id := range r.clients {
		conn, err := redis.Dial("tcp", r.listen, redis.DialReadTimeout(time.Minute), redis.DialWriteTimeout(time.Minute))
		if err != nil {
			r.t.Fatal(err)
		}
		r.running.Go(func() { r.work(id, conn) })
	}
	r.further()
	do()
	r.further()
	r.stop.Store(true)
	r.running.Wait()
	if n := r.errors.Load(); n > 0 {
		r.t.Errorf("%d errors at the clients; the first: %v", n, r.first.Load())
	}
}

// further waits until all clients have come further.
func (r *rolling) further() {
	r.t.Helper()
	from := r.rounds.Load()
	waitFor(r.t, "the clients to come further", func() bool { return r.rounds.Load() >= from+20*int64(r.clients) || r.stop.Load() })
}

// moved checks that only drains have moved sessions, and with nothing sent twice.
func (r *rolling) moved() {
	r.t.Helper()
	s := r.status()
	if len(s.Failovers) == 0 {
		r.t.Error("no session was moved")
	}
	for _, x := range s.Failovers {
		if x.Kind != "moved" || x.Detector != "drain" || x.Messages > 0 || x.Bytes > 0 || x.Lost > 0 {
			r.t.Errorf("not a drain: %+v", x)
			return
		}
	}
}

// command runs a command of poolproxy against the pool_user's sidecar.
func (r *rolling) command(args ...string) (string, error) {
	text, err := exec.Command(builtBinary(r.t), append(args, "-admin", r.admin)...).CombinedOutput()
	return string(text), err
}

// TestDrainRolling is issue 7, item 1, its first part: every server of a pool is drained, restarted, and undrained under load, by the command; and
// once more by stopping the sidecar before it. No client sees an error, and none connects again.
func TestDrainRolling(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("there is no redis-server")
	}
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("command "+mapping, func(t *testing.T) {
			r := launchRolling(t, mapping)
			r.under(func() {
				for i, e := range r.elements {
					if text, err := r.command("drain", e.name, "-timeout", "1m"); err != nil || !strings.Contains(text, "no session is left") {
						t.Fatalf("drain %s: %v: %s", e.name, err, text)
					}
					r.restartRedis(i)
					if text, err := r.command("undrain", e.name); err != nil {
						t.Fatalf("undrain %s: %v: %s", e.name, err, text)
					}
					r.further()
				}
				r.moved()
			})
		})
	}
	t.Run("sidecars", func(t *testing.T) {
		r := launchRolling(t, "tcp")
		r.under(func() {
			for i, e := range r.elements {
				e.sidecar.signal(t, syscall.SIGTERM)
				if status := e.sidecar.wait(t, patience); status != 0 {
					t.Errorf("the sidecar of %s has ended with status %d", e.name, status)
				}
				r.restartRedis(i)
				r.startSidecar(i)
				r.further()
			}
			r.moved()
		})
	})
}

// TestDrainStays: a session in a transaction is listed, with the reason, until the command's timeout has passed; and it leaves when it can.
func TestDrainStays(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("there is no redis-server")
	}
	r := launchRolling(t, "tcp")
	conn, err := redis.Dial("tcp", r.listen, redis.DialReadTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, command := range []string{"MULTI", "PING"} {
		if _, err := conn.Do(command); err != nil {
			t.Fatal(err)
		}
	}
	at := r.elements[r.serving()].name
	text, err := r.command("drain", at, "-timeout", "500ms")
	if err == nil || !strings.Contains(text, "1 session left") || !strings.Contains(text, "transaction") {
		t.Errorf("drain: %v: %s", err, text)
	}
	if reply, err := redis.Values(conn.Do("EXEC")); err != nil || len(reply) != 1 {
		t.Errorf("%q, %v", reply, err)
	}
	if text, err = r.command("drain", at, "-timeout", "1m"); err != nil || !strings.Contains(text, "no session is left") {
		t.Errorf("drain: %v: %s", err, text)
	}
	if reply, err := redis.String(conn.Do("PING")); err != nil || reply != "PONG" {
		t.Errorf("%q, %v", reply, err)
	}
	if text, err := r.command("drain", "nobody"); err == nil || !strings.Contains(text, "nobody") {
		t.Errorf("drain: %v: %s", err, text)
	}
}
