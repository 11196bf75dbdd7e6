//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// world is the hosts a and b with servers and sidecars, and the pool_user on c, where this runs.
type world struct {
	folder  string
	holds   workload.Holds
	running map[string]*exec.Cmd
	number  uint64
}

var kinds = []workload.Kind{workload.Line, workload.HTTP}

// protocols are the pool_user's blocks.
var protocols = map[workload.Kind]string{
	workload.Line: "protocol \"line\" {\n    safe  = [\"^GET \"]\n    lost  = \"ERR lost\\n\"\n    abort = \"ERR abort\\n\"\n  }",
	workload.HTTP: "protocol \"http\" {}",
}

const admin = "127.0.0.1:7878"

// beat gives a silent peer up after 1.5 s; an emulated machine that gives a sidecar no processor for so long has its sessions moved once more.
const beat = "heartbeat { interval = \"500ms\" }"

func newWorld(folder string) (*world, error) {
	w := &world{folder: folder, holds: workload.Holds{Dir: filepath.Join(folder, "holds")}, running: map[string]*exec.Cmd{}, number: 1 << 24}
	if err := os.MkdirAll(w.holds.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, host := range []string{"a", "b"} {
		for i := range kinds {
			if err := w.server(host, i); err != nil {
				return nil, err
			}
		}
		if err := w.sidecar(host); err != nil {
			return nil, err
		}
	}
	var config strings.Builder
	fmt.Fprintf(&config, "admin { listen = %q }\nlimits { shards = 1 }\n", admin)
	for i, k := range kinds {
		fmt.Fprintf(&config, `pool %q {
  mapping = "sctp"
  policy  = "priority"
  chaos   = true
  element "a" {
    address  = "10.2.1.2:%d"
    paths    = ["10.2.2.2"]
    priority = 2
  }
  element "b" {
    address  = "10.2.1.3:%[2]d"
    paths    = ["10.2.2.3"]
    priority = 1
  }
}
pool_user %[1]q {
  listen = %[3]q
  pool   = %[1]q
  local  = ["10.2.1.1", "10.2.2.1"]
  %[4]s
  %[5]s
}
`, k, 7001+i, client(i), protocols[k], beat)
	}
	return w, w.proxy("c", "user", config.String(), client(len(kinds)-1), admin)
}

func client(kind int) string { return fmt.Sprintf("127.0.0.1:%d", 5001+kind) }

// server starts one of a host's servers.
func (w *world) server(host string, kind int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", 8001+kind)
	return w.start(host, fmt.Sprintf("server-%s-%d", host, kind), listen, self, "serve", string(kinds[kind]), listen, w.journal(host, kind),
		w.holds.Dir, host)
}

func (w *world) journal(host string, kind int) string {
	return filepath.Join(w.folder, fmt.Sprintf("journal-%s-%s", host, kinds[kind]))
}

// sidecar starts a host's pool_elements, in one process.
func (w *world) sidecar(host string) error {
	n := map[string]int{"a": 2, "b": 3}[host]
	config := "admin { listen = \"127.0.0.1:7878\" }\nlimits { shards = 1 }\n"
	for i := range kinds {
		config += fmt.Sprintf("pool_element \"%s%d\" {\n  mapping = \"sctp\"\n  listen  = \"10.2.1.%d:%d\"\n  paths   = [\"10.2.2.%[3]d\"]\n  server  = \"127.0.0.1:%[5]d\"\n  %[6]s\n}\n",
			host, i, n, 7001+i, 8001+i, beat)
	}
	return w.proxy(host, "element-"+host, config, admin)
}

// proxy starts poolproxy on a host.
func (w *world) proxy(host, name, config string, listen ...string) error {
	file := filepath.Join(w.folder, name+".hcl")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	for i, at := range listen {
		args := []string{"poolproxy", "run", "-config", file}
		if i > 0 {
			args = nil // it has been started
		}
		if err := w.start(host, name, at, args...); err != nil {
			return err
		}
	}
	return nil
}

// start starts a process on a host, and waits until somebody listens on the address there.
func (w *world) start(host, name, listen string, args ...string) error {
	if len(args) > 0 {
		log, err := os.OpenFile(filepath.Join(w.folder, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer log.Close()
		cmd := exec.Command("/bin/ip", append([]string{"netns", "exec", host}, args...)...) // which becomes the program
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			return err
		}
		w.running[name] = cmd
	}
	port := listen[strings.LastIndex(listen, ":")+1:]
	var n int
	fmt.Sscan(port, &n)
	want := fmt.Sprintf("0100007F:%04X 00000000:0000 0A", n)
	for limit := time.Now().Add(mostWait); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", w.running[name].Process.Pid))
		if err == nil && bytes.Contains(table, []byte(want)) {
			return nil
		}
	}
	return fmt.Errorf("%s does not listen on %s", name, listen)
}

// kill is kill -9.
func (w *world) kill(name string) {
	w.running[name].Process.Kill()
	w.running[name].Wait() // the error is the signal
}

// run runs a program to its end.
func run(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// step has sessions come into each state, strikes, and judges them.
func (w *world) step(f failure, r *record) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 2*mostWait)
	defer cancel()
	if err := w.serving(ctx); err != nil {
		return err
	}
	var all []*subject
	var running sync.WaitGroup
	for i, k := range kinds {
		for _, state := range states {
			w.number++
			s := newSubject(state, k, client(i), w.number, w.holds)
			all = append(all, s)
			running.Go(func() { s.run(ctx) })
		}
	}
	for _, s := range all {
		if err := s.wait(ctx); err != nil {
			return fmt.Errorf("a session of %s that is to be %s: %w", s.kind, s.state, err)
		}
	}
	if err := atA(ctx, len(all)); err != nil {
		return err
	}
	at := time.Now() // in emulation a strike takes a while, and counts
	heal, err := f.strike(w)
	if err != nil {
		return err
	}
	for _, s := range all {
		s.strike(at)
	}
	if f.lasts > 0 { // it ends by itself, whatever the sessions do
		time.Sleep(f.lasts)
		if err := heal(); err != nil {
			return err
		}
		heal = nil
	}
	running.Wait()
	if heal != nil {
		if err := heal(); err != nil {
			return err
		}
	}
	entries := map[workload.Kind][]workload.Entry{}
	for _, host := range []string{"a", "b"} {
		for i, k := range kinds {
			more, err := workload.ReadJournal(w.journal(host, i))
			if err != nil {
				return err
			}
			entries[k] = append(entries[k], more...)
		}
	}
	r.note(f, all, entries)
	fmt.Printf("%s: %d sessions, from the strike to the next answer: %v; the step took %v\n", f.id, len(all), r.Failures[f.id].Gaps["sctp"], time.Since(began))
	return nil
}

// serving waits until element a, which has the priority, serves in both protocols.
func (w *world) serving(ctx context.Context) error {
	for i, k := range kinds {
		for {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("element a does not serve %s: %w", k, err)
			}
			w.number++
			c := workload.Client{Kind: k, Address: client(i), Session: w.number, Next: workload.Plan{Kind: k, Requests: 1, Small: true}.Next}
			c.Run(ctx)
			if aliveA(ctx, k) {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// ask asks the pool_user's admin API.
func ask(ctx context.Context, method, path, body string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+net.JoinHostPort("127.0.0.1", "7878")+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return http.DefaultClient.Do(request)
}
