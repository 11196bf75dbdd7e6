//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// frozenTimeout is the reply_timeout of the tests in this file. A server that is not frozen has to answer in that time, on a loaded machine, too.
const frozenTimeout = time.Second

// launchJournals starts a fleet of two journal servers, which work on each line for so long.
func launchJournals(t *testing.T, mapping, protocol, failover, element string, work time.Duration) *fleet {
	t.Helper()
	server := "journal -work " + work.String()
	return launch(t, plan{
		mapping:  mapping,
		protocol: protocol,
		failover: fmt.Sprintf("    reply_timeout = %q\n    %s", frozenTimeout, failover),
		servers:  []string{server, server},
		checks:   element,
	})
}

// TestFrozenServer freezes the server that serves (SIGSTOP), again and again: its connections live and its port listens, only its
// silence tells. The client goes on at the other server, and what the frozen one says when it wakes reaches nobody: its connection
// was reset.
func TestFrozenServer(t *testing.T) {
	const rounds, soon = 4, frozenTimeout + 50*time.Millisecond
	for _, c := range []struct{ mapping, ack string }{{"tcp", "reply"}, {"tcp", "read"}, {"none", "read"}} {
		t.Run(c.mapping+" "+c.ack, func(t *testing.T) {
			f := launchJournals(t, c.mapping, `  protocol "line" { safe = ["."] }`+"\n", fmt.Sprintf("ack = %q", c.ack), "", 0)
			client := &visitor{conn: f.dial()}
			client.in = bufio.NewReader(client.conn)
			var waits []time.Duration
			for len(waits) < rounds || slices.Min(waits) > soon && len(waits) < 5*rounds { // a loaded machine has quiet moments
				for range 10 {
					client.ask(t)
				}
				waits = append(waits, f.freezeOne(client))
			}
			records := f.records("moved", len(waits))
			slices.Sort(waits)
			t.Logf("answered after %s (reply_timeout %s): %s", waits, frozenTimeout, records[0].Cause)
			if waits[0] < frozenTimeout {
				t.Errorf("answered after %s, before the server had been silent for long enough", waits[0])
			}
			if waits[0] > soon {
				t.Errorf("the best of %d rounds went on %s after reply_timeout", len(waits), waits[0]-frozenTimeout)
			}
			if len(records) != len(waits) {
				t.Errorf("moved %d times in %d rounds: %+v", len(records), len(waits), records)
			}
			client.quiet(t)
		})
	}
}

// freezeOne freezes the server that serves, asks one question, wakes the server up, and returns how long the answer took. Before the
// frozen server is awake again, its connection has been reset: that is what it finds.
func (f *fleet) freezeOne(client *visitor) time.Duration {
	f.t.Helper()
	frozen := f.elements[f.serving()].server
	resets := countEnds(frozen.journal(f.t), "reset")
	frozen.freeze(f.t)
	began := time.Now()
	client.ask(f.t)
	waited := time.Since(began)
	frozen.thaw(f.t)
	client.ask(f.t)
	frozen.awaitResets(f.t, resets+1)
	return waited
}

// awaitResets returns when so many connections of a journalServer have ended by a reset.
func (p *process) awaitResets(t *testing.T, n int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s to see %d connections reset", p.name, n), func() bool { return countEnds(p.journal(t), "reset") >= n })
}

// countEnds counts the connections that have ended in a way.
func countEnds(journal []entry, how string) (n int) {
	for _, e := range journal {
		if e.what == "ended" && e.text == how {
			n++
		}
	}
	return n
}

// quiet checks that the client has got no byte too many: it says its end, and the end is all that comes back.
func (v *visitor) quiet(t *testing.T) {
	t.Helper()
	if err := v.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(v.in); len(rest) > 0 || err != nil {
		t.Errorf("behind the last reply came %q, error %v", rest, err)
	}
}

// TestFrozenOrders pipelines unsafe requests to a frozen server. With ack = "read" only the first is in its hands; it may carry that
// out when it wakes, and does. That one is answered by the honest error, all others are carried out once, elsewhere.
func TestFrozenOrders(t *testing.T) {
	const pipeline = 20
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launchJournals(t, mapping, ordersProtocol, `ack = "read"`, "", 0)
			o := newOrders("a", f.dial())
			o.deal(t, 3)
			i := f.serving()
			frozen, other := f.elements[i].server, f.elements[1-i].server
			frozen.freeze(t)
			began := time.Now()
			first := o.order(o.asked)
			o.deal(t, pipeline)
			waited := time.Since(began)
			frozen.thaw(t)
			frozen.awaitResets(t, 1)
			o.deal(t, pipeline)
			t.Logf("%d requests answered within %s (reply_timeout %s); in doubt: %q", pipeline, waited, frozenTimeout, o.doubtful)
			if !o.inDoubt(first) {
				t.Errorf("in doubt are %q, not just the first", o.doubtful)
			}
			if woken := did(frozen.journal(t)); len(woken) != 4 || woken[first] != 1 {
				t.Errorf("the server that was frozen has done %v; it was expected to carry out what was in its queue", woken)
			}
			if n := len(did(other.journal(t))); n != 2*pipeline-1 {
				t.Errorf("the other server has done %d orders", n)
			}
			o.check(t, did(frozen.journal(t), other.journal(t)), 1)
		})
	}
}

// TestFrozenAtWork freezes servers in the midst of pipelined unsafe requests. In doubt is then the one that is in the server's queue, or
// was read and not answered: the next one waits for its answer.
func TestFrozenAtWork(t *testing.T) {
	const rounds, pipeline = 4, 40
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launchJournals(t, mapping, ordersProtocol, `ack = "read"`, "", 2*time.Millisecond)
			o := newOrders("a", f.dial())
			tries := 0
			for round := 0; round < rounds; tries++ {
				if tries == 10*rounds {
					t.Fatalf("in %d tries a server was only %d times frozen at work", tries, round)
				}
				if err := o.send(pipeline); err != nil {
					t.Fatal(err)
				}
				o.collect(t, 5+round)
				i := f.serving()
				frozen := f.elements[i].server
				frozen.freeze(t)
				resets, before := countEnds(frozen.journal(t), "reset"), len(o.doubtful)
				o.collect(t, pipeline-5-round)
				frozen.thaw(t)
				n := len(o.doubtful) - before
				if n == 0 && f.serving() == i {
					continue // it had done all before it was frozen
				}
				if n != 1 {
					t.Errorf("round %d: %d in doubt", round, n)
				}
				frozen.awaitResets(t, resets+1)
				round++
			}
			late := o.check(t, did(f.elements[0].server.journal(t), f.elements[1].server.journal(t)), 1)
			t.Logf("%d requests, %d times a server frozen; %d in doubt, of which %d were carried out", o.asked, rounds, len(o.doubtful), late)
		})
	}
}

// TestFrozenFenced is TestFrozenOrders with a fence_exec that kills the frozen server: then it is certain that not even the first was
// read, and all are carried out once, elsewhere.
func TestFrozenFenced(t *testing.T) {
	const pipeline = 20
	pids := logDir(t)
	// The frozen process is dead when its parent, this test, has waited for it.
	script := fmt.Sprintf("pid=$(cat %s/NAME.pid) && kill -9 $pid && while kill -0 $pid 2>/dev/null; do sleep 0.01; done", pids)
	f := launchJournals(t, "tcp", ordersProtocol, `ack = "read"`, fmt.Sprintf("  fence_exec = [\"/bin/sh\", \"-c\", %q]\n", script), 0)
	for _, e := range f.elements {
		if err := os.WriteFile(filepath.Join(pids, e.name+".pid"), fmt.Append(nil, e.server.cmd.Process.Pid), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := newOrders("a", f.dial())
	o.deal(t, 3)
	i := f.serving()
	frozen, other := f.elements[i].server, f.elements[1-i].server
	frozen.freeze(t)
	began := time.Now()
	o.deal(t, pipeline)
	t.Logf("%d requests answered within %s; in doubt: %q; %s", pipeline, time.Since(began), o.doubtful, f.records("moved", 1)[0].Cause)
	if !o.inDoubt() {
		t.Errorf("in doubt are %q", o.doubtful)
	}
	if status := frozen.wait(t, patience); status != -1 { // -1: by a signal
		t.Errorf("the frozen server has ended with %d", status)
	}
	if n := len(did(frozen.journal(t))); n != 3 {
		t.Errorf("the frozen server has done %d orders", n)
	}
	o.check(t, did(frozen.journal(t), other.journal(t)), 1)
}
