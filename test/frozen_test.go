//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// frozenTimeout is the reply_timeout of the tests in this file.
const frozenTimeout = 300 * time.Millisecond

// launchJournals starts a fleet of two journal servers, which work on each line for so long.
func launchJournals(t *testing.T, mapping, protocol, failover, element string, work time.Duration) *fleet {
	t.Helper()
	server := "journal -work " + work.String()
	return launch(t, plan{
		mapping:  mapping,
		protocol: "  protocol \"line\" { " + protocol + " }",
		failover: fmt.Sprintf("    reply_timeout = %q\n    %s", frozenTimeout, failover),
		servers:  []string{server, server},
		checks:   element,
	})
}

// TestFrozenServer freezes the server that serves (SIGSTOP), again and again: its connections live and its port listens, only its
// silence tells. The client goes on at the other server, and what the frozen one says when it wakes reaches nobody: its connection
// was reset.
func TestFrozenServer(t *testing.T) {
	const rounds = 6
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launchJournals(t, mapping, `safe = ["."]`, "", "", 0)
			client := &visitor{conn: f.dial()}
			client.in = bufio.NewReader(client.conn)
			var waits []time.Duration
			for range rounds {
				for range 10 {
					client.ask(t)
				}
				waits = append(waits, f.freezeOne(client))
			}
			records := f.records("moved", rounds)
			slices.Sort(waits)
			t.Logf("answered after %s (reply_timeout %s): %s", waits, frozenTimeout, records[0].Cause)
			if waits[0] < frozenTimeout {
				t.Errorf("answered after %s, before the server had been silent for long enough", waits[0])
			}
			if best := waits[0] - frozenTimeout; best > 50*time.Millisecond {
				t.Errorf("the best of %d rounds went on %s after reply_timeout", rounds, best)
			}
			if len(records) != rounds {
				t.Errorf("moved %d times in %d rounds: %+v", len(records), rounds, records)
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
	waitFor(f.t, frozen.name+" to find its connection reset", func() bool {
		return countEnds(frozen.journal(f.t), "reset") > resets
	})
	return waited
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

// frozenDoubt is the protocol's word for a request of which nobody knows.
const frozenDoubt = "ERR in doubt"

// orders are unsafe requests, each with a number of its own, that one client pipelines.
type orders struct {
	t        *testing.T
	conn     *net.TCPConn
	in       *bufio.Reader
	asked    int
	done     []string // answered by their server
	doubtful []string // answered by the honest error
}

func newOrders(f *fleet) *orders {
	c := f.dial()
	return &orders{t: f.t, conn: c, in: bufio.NewReader(c)}
}

// send pipelines n orders in one write, and returns the first.
func (o *orders) send(n int) (first string) {
	o.t.Helper()
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "order %d\n", o.asked+i)
	}
	if _, err := io.WriteString(o.conn, all.String()); err != nil {
		o.t.Fatal(err)
	}
	first = fmt.Sprintf("order %d", o.asked)
	o.asked += n
	return first
}

// receive takes the answers to the next n orders.
func (o *orders) receive(n int) {
	o.t.Helper()
	for range n {
		order := fmt.Sprintf("order %d", len(o.done)+len(o.doubtful))
		reply, err := o.in.ReadString('\n')
		switch {
		case err == nil && reply == "did "+order+"\n":
			o.done = append(o.done, order)
		case err == nil && reply == frozenDoubt+"\n":
			o.doubtful = append(o.doubtful, order)
		default:
			o.t.Fatalf("the answer to %s is %q, error %v", order, reply, err)
		}
	}
}

// compare checks what the client was told against what the servers did.
func (o *orders) compare(f *fleet) {
	o.t.Helper()
	counts := did(f.elements[0].server.journal(o.t), f.elements[1].server.journal(o.t))
	for _, order := range o.done {
		if counts[order] != 1 {
			o.t.Errorf("%s was answered, and carried out %d times", order, counts[order])
		}
	}
	for _, order := range o.doubtful {
		if counts[order] > 1 {
			o.t.Errorf("%s, answered by the error, was carried out %d times", order, counts[order])
		}
	}
}

// TestFrozenOrders pipelines unsafe requests to a frozen server. With ack = "read" only the first is in its hands; it may carry that
// out when it wakes, and does. That one is answered by the honest error, all others are carried out once, elsewhere.
func TestFrozenOrders(t *testing.T) {
	const pipeline = 20
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launchJournals(t, mapping, fmt.Sprintf("lost = %q", frozenDoubt+"\n"), `ack = "read"`, "", 0)
			o := newOrders(f)
			o.send(3)
			o.receive(3)
			i := f.serving()
			frozen, other := f.elements[i].server, f.elements[1-i].server
			frozen.freeze(t)
			began := time.Now()
			first := o.send(pipeline)
			o.receive(pipeline)
			waited := time.Since(began)
			frozen.thaw(t)
			waitFor(t, "the frozen server to find its connection reset", func() bool {
				return countEnds(frozen.journal(t), "reset") == 1
			})
			o.send(pipeline)
			o.receive(pipeline)
			t.Logf("%d requests answered within %s; in doubt: %q", pipeline, waited, o.doubtful)
			if !slices.Equal(o.doubtful, []string{first}) {
				t.Errorf("in doubt are %q, not just the first", o.doubtful)
			}
			if woken := did(frozen.journal(t)); len(woken) != 4 || woken[first] != 1 {
				t.Errorf("the server that was frozen has done %v; it was expected to carry out what was in its queue", woken)
			}
			if n := len(did(other.journal(t))); n != 2*pipeline-1 {
				t.Errorf("the other server has done %d orders", n)
			}
			o.compare(f)
		})
	}
}

// TestFrozenAtWork freezes servers in the midst of pipelined unsafe requests. In doubt is then, beside the one in the server's queue,
// what it had read and not answered, which is one, too.
func TestFrozenAtWork(t *testing.T) {
	const rounds, pipeline = 5, 40
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launchJournals(t, mapping, fmt.Sprintf("lost = %q", frozenDoubt+"\n"), `ack = "read"`, "", 2*time.Millisecond)
			o := newOrders(f)
			for round := range rounds {
				o.send(pipeline)
				o.receive(5 + round)
				frozen := f.elements[f.serving()].server
				frozen.freeze(t)
				resets := countEnds(frozen.journal(t), "reset")
				before := len(o.doubtful)
				o.receive(pipeline - 5 - round)
				frozen.thaw(t)
				if n := len(o.doubtful) - before; n < 1 || n > 2 {
					t.Errorf("round %d: %d in doubt", round, n)
				}
				waitFor(t, "the frozen server to find its connection reset", func() bool {
					return countEnds(frozen.journal(t), "reset") > resets
				})
			}
			t.Logf("%d requests, %d times a server frozen; in doubt: %q", o.asked, rounds, o.doubtful)
			o.compare(f)
		})
	}
}
