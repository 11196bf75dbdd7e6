//go:build linux

package dashboard_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// patience bounds the wait for what must come.
const patience = 60 * time.Second

// waitFor polls with a deadline.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

// process is one that runs until the test ends; its log is in the test's if that fails.
type process struct {
	cmd *exec.Cmd
	log bytes.Buffer // read it when it has ended
}

func start(t *testing.T, listens string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(args[0], args[1:]...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(args, " "), &p.log)
		}
	})
	waitFor(t, args[0]+" listens", func() bool {
		conn, err := net.Dial("tcp", listens)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return p
}

// kill is kill -9, and waits until it is gone. Twice is harmless.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait() // the error is the signal, or that it was waited for already
}

// built is the program, which is built once.
func built(t *testing.T) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

var build = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(workdir, "poolproxy")
	text, err := exec.Command("go", "build", "-o", binary, "../../cmd/poolproxy").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return binary, err
})

// workdir is a folder for all tests.
var workdir string

func TestMain(m *testing.M) {
	var err error
	if workdir, err = os.MkdirTemp("", "poolproxy-dashboard-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(workdir)
	os.Exit(status)
}

// fleet is three redis servers and a sidecar before their clients.
type fleet struct {
	t             *testing.T
	dir, binary   string
	names         []string
	servers       map[string]*process
	addresses     map[string]string
	sidecar       *process
	listen, admin string
	clients       []redis.Conn
	within        redis.Conn // the client in a transaction
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t, dir: t.TempDir(), names: []string{"a", "b", "c"}, servers: map[string]*process{}, addresses: map[string]string{}, listen: porttest.FreeString(t), admin: porttest.FreeString(t)}
	f.binary = built(t)
	elements := ""
	for i, name := range f.names {
		f.addresses[name] = porttest.FreeString(t)
		f.restart(name)
		elements += fmt.Sprintf("  element %q {\n    address  = %q\n    priority = %d\n  }\n", name, f.addresses[name], 10-i)
	}
	text := fmt.Sprintf(`
grace = "1s"
admin {
  listen     = %q
  token_file = %q
}
pool "cache" {
  policy  = "priority"
  mapping = "none"
%s}
pool_user "cache" {
  listen = %q
  pool   = "cache"
  protocol "redis" {}
}
`, f.admin, tokenFile(t), elements, f.listen)
	if err := os.WriteFile(filepath.Join(f.dir, "c.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.begin()
	for i := range 20 {
		conn, err := redis.Dial("tcp", f.listen, redis.DialReadTimeout(patience))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		f.clients = append(f.clients, conn)
		f.do(conn, "CLIENT", "SETNAME", fmt.Sprint("client-", i))
	}
	return f
}

func (f *fleet) begin() {
	f.sidecar = start(f.t, f.listen, f.binary, "run", "-config", filepath.Join(f.dir, "c.hcl"))
}

func (f *fleet) restart(name string) {
	_, port, _ := net.SplitHostPort(f.addresses[name])
	f.servers[name] = start(f.t, f.addresses[name], "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", f.dir)
}

func (f *fleet) do(conn redis.Conn, command string, args ...any) {
	f.t.Helper()
	if _, err := conn.Do(command, args...); err != nil {
		f.t.Errorf("%s %v: %v", command, args, err)
	}
}

// get asks the admin API.
func (f *fleet) get(path string) string {
	answer, err := http.Get("http://" + f.admin + path)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// carries out what the script asks for, and answers.
func (f *fleet) carry(what string) string {
	switch what {
	case "kill a":
		f.servers["a"].kill()
		for _, c := range f.clients { // they notice nothing
			f.do(c, "PING")
		}
	case "restart a":
		f.restart("a")
	case "transaction":
		f.within = f.clients[0]
		f.do(f.within, "MULTI")
		f.do(f.within, "PING")
		return f.where()
	case "stays":
		return f.get("/v1/drains/" + f.where())
	case "exec":
		f.do(f.within, "EXEC")
	case "restart the sidecar":
		f.sidecar.kill()
		f.begin()
	default:
		f.t.Errorf("the script asks for %q", what)
	}
	return "done"
}

// where is the element of the session in a transaction.
func (f *fleet) where() (name string) {
	waitFor(f.t, "the transaction is seen", func() bool {
		for _, n := range f.names {
			if strings.Contains(f.get("/v1/sessions?find=in+a+transaction"), fmt.Sprintf(`"element":%q`, n)) {
				name = n
			}
		}
		return name != ""
	})
	return name
}

// The dashboard of real processes: a server is killed, one is drained by the button, the sidecar is started anew. Clients see
// nothing of the first two.
func TestLive(t *testing.T) {
	node, chromium := tools(t)
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, "redis-server")
	}
	f := newFleet(t)
	drive(t, 10, f.carry, node, "live.js", "http://"+f.admin+"/", chromium, shotsFolder(t), secret)
}
