//go:build linux

package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/proxy"
)

// disturbed is a fleet that poolproxy chaos may disturb, with clients at work that check every reply.
type disturbed struct {
	*fleet
	clients []*lineClient
	failed  chan error
	stop    chan struct{}
	running sync.WaitGroup
	started int // commands, for the names of logs
}

// launchDisturbed starts them.
func launchDisturbed(t *testing.T) *disturbed {
	f := launch(t, plan{mapping: "tcp", admins: true, servers: []string{"line", "line", "line"}, checks: "  chaos = true\n", pool: "  chaos = true\n",
		protocol: `  protocol "line" { safe = ["."] }`, failover: "    replay = \"unacked\"\n    ack = \"reply\"\n    resume = \"1s\""})
	d := &disturbed{fleet: f, stop: make(chan struct{})}
	var killed atomic.Bool
	for i := range 24 {
		d.clients = append(d.clients, &lineClient{number: i, conn: f.dial(), killed: &killed})
	}
	d.failed = make(chan error, len(d.clients))
	for _, c := range d.clients {
		d.running.Go(func() {
			if err := c.run(d.stop); err != nil {
				d.failed <- err
			}
		})
	}
	advance(t, d.clients, 5, d.failed)
	return d
}

// finish ends the clients; all of them must have got all replies.
func (d *disturbed) finish() {
	d.t.Helper()
	close(d.stop)
	d.running.Wait()
	select {
	case err := <-d.failed:
		d.t.Fatal(err)
	default:
	}
}

// admins are the addresses of all processes.
func (d *disturbed) admins() []string {
	all := []string{d.admin}
	for _, e := range d.elements {
		all = append(all, e.admin)
	}
	return all
}

// line is a command line of poolproxy chaos, with all addresses.
func (d *disturbed) line(words ...string) []string {
	args := append([]string{builtBinary(d.t), "chaos"}, words...)
	for _, address := range d.admins() {
		args = append(args, "-admin", address)
	}
	return args
}

// begin starts poolproxy chaos.
func (d *disturbed) begin(words ...string) *process {
	d.t.Helper()
	d.started++
	return startProcess(d.t, command{name: fmt.Sprint("chaos-", d.started), args: d.line(words...)})
}

// chaosRun runs a command to its end.
func chaosRun(t *testing.T, args []string) (status int, stdout, stderr string) {
	t.Helper()
	var out, complaint bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), complaint.String()
}

// chaos is what all processes together say that is, and was, disturbed.
func (d *disturbed) chaos() (sum proxy.ChaosStatus) {
	d.t.Helper()
	client := http.Client{Timeout: patience}
	for _, address := range d.admins() {
		response, err := client.Get("http://" + address + "/v1/chaos")
		if err != nil {
			d.t.Fatal(err)
		}
		var one proxy.ChaosStatus
		err = json.NewDecoder(response.Body).Decode(&one)
		response.Body.Close()
		if err != nil {
			d.t.Fatal(err)
		}
		sum.Active = append(sum.Active, one.Active...)
		sum.Done += one.Done
		sum.Stopped += one.Stopped
	}
	return sum
}

// waitDisturbed waits until something is being disturbed; waitCalm until nothing is.
func (d *disturbed) waitDisturbed() {
	d.t.Helper()
	waitFor(d.t, "a disturbance", func() bool { return len(d.chaos().Active) > 0 })
}

func (d *disturbed) waitCalm() {
	d.t.Helper()
	waitFor(d.t, "the end of all disturbances", func() bool { return len(d.chaos().Active) == 0 })
}

// TestChaosCommand is issue 8: a user pulls plugs in what runs, while clients are at work that notice nothing.
func TestChaosCommand(t *testing.T) {
	d := launchDisturbed(t)
	t.Run("dry run", func(t *testing.T) {
		status, out, complaint := chaosRun(t, d.line("-dry-run", "-for", "20s", "-seed", "3"))
		if c := d.chaos(); status != 0 || !strings.Contains(out, "would hit") || c.Done+c.Stopped > 0 || len(c.Active) > 0 || len(d.recorded("moved")) > 0 {
			t.Fatalf("%d, %+v\n%s%s", status, c, out, complaint)
		}
	})
	t.Run("all kinds", func(t *testing.T) { d.allKinds(t) })
	t.Run("killed", func(t *testing.T) {
		c := d.begin("-kinds", "stall,freeze", "-hold", "2s", "-for", "1m")
		d.waitDisturbed()
		c.kill()
		d.waitCalm()
		if n := d.chaos().Stopped; n > 0 {
			t.Errorf("somebody has undone it (%d times): it was to end by itself", n)
		}
		advance(t, d.clients, 5, d.failed)
	})
	t.Run("stopped from elsewhere", func(t *testing.T) {
		c := d.begin("-kinds", "freeze", "-hold", "5m", "-for", "5m")
		d.waitDisturbed()
		if status, out, complaint := chaosRun(t, d.line("stop")); status != 0 || strings.Count(out, "undone: nothing is disturbed any more") != 4 {
			t.Errorf("%d\n%s%s", status, out, complaint)
		}
		d.waitCalm()
		if status := c.wait(t, patience); status != 0 || !strings.Contains(c.output(t), "somebody has had everything undone") {
			t.Errorf("%d\n%s", status, c.output(t))
		}
	})
	t.Run("stopped by its user", func(t *testing.T) {
		c := d.begin("-kinds", "freeze", "-hold", "5m", "-for", "5m")
		d.waitDisturbed()
		c.signal(t, syscall.SIGINT)
		if status := c.wait(t, patience); status != 0 || len(d.chaos().Active) > 0 {
			t.Errorf("%d, %+v\n%s", status, d.chaos().Active, c.output(t))
		}
		advance(t, d.clients, 5, d.failed)
	})
	d.finish()
}

// chaosReport is what the tests read of the report of poolproxy chaos.
type chaosReport struct {
	Kinds []struct {
		Kind                      string
		Done, Hit, Moved, Resumed int
	}
	Lost []any
}

// allKinds disturbs for some seconds, and reads the report. A machine that is slow has less done in that time: then once more, with another seed.
func (d *disturbed) allKinds(t *testing.T) {
	kinds, done, went := make(map[string]int), 0, 0
	deadline := time.Now().Add(patience)
	for seed := 11; (len(kinds) < 6 || went == 0) && time.Now().Before(deadline); seed++ {
		status, out, complaint := chaosRun(t, d.line("-json", "-for", "5s", "-every", "100ms", "-hold", "50ms..300ms", "-seed", fmt.Sprint(seed), "-overlap", "-radius", "2"))
		advance(t, d.clients, 5, d.failed)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var last struct{ Report chaosReport }
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || status != 0 || len(last.Report.Lost) > 0 {
			t.Fatalf("%d, %v\n%s%s", status, err, out, complaint)
		}
		for _, k := range last.Report.Kinds {
			if k.Done > 0 {
				kinds[k.Kind] += k.Done
			}
			done, went = done+k.Done, went+k.Moved+k.Resumed
		}
	}
	t.Logf("%d disturbances, after which sessions went on %d times: %v", done, went, kinds)
	if len(kinds) < 6 || went == 0 {
		t.Errorf("%v, and sessions went on %d times", kinds, went)
	}
	if c := d.chaos(); int(c.Done) != done || len(c.Active) > 0 {
		t.Errorf("the processes have done %d, and %d go on; %d were reported", c.Done, len(c.Active), done)
	}
}

// TestChaosRefused: where nobody has written chaos = true, nothing is disturbed, and it is said what to write where.
func TestChaosRefused(t *testing.T) {
	f := launch(t, plan{mapping: "none", servers: []string{"line"}, protocol: `  protocol "line" { safe = ["."] }`, failover: "    ack = \"reply\""})
	for words, want := range map[string]string{
		"":                                 `chaos = true    in pool "test", at ` + f.admin,
		"-pool test":                       `chaos = true    in pool "test", at ` + f.admin,
		"-pool other":                      `has pool "other": they have test`,
		"-dry-run":                         "nobody has allowed it",
		"-admin " + porttest.FreeString(t): "nothing listens on",
	} {
		args := append([]string{builtBinary(t), "chaos", "-admin", f.admin}, strings.Fields(words)...)
		if status, out, complaint := chaosRun(t, args); status != 1 || !strings.Contains(complaint, want) || out != "" {
			t.Errorf("%s: %d\n%s%s", words, status, out, complaint)
		}
	}
}
