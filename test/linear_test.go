//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

const (
	linearClients = 30
	linearKeys    = 20
	linearQuota   = 10 // operations of each client from one kill to the next
)

// linearLost is the protocol's word for an operation of which nobody knows whether it was, or will be, carried out.
const linearLost = "ERR in doubt"

// linearClient asks one operation after another, and keeps what it was told. It belongs to its goroutine until that has ended.
type linearClient struct {
	number  int
	conn    *net.TCPConn
	in      *bufio.Reader
	random  *rand.Rand
	tokens  chan struct{}     // one for each operation; closed: it is over
	seen    map[string]string // the last value of each key
	done    *atomic.Int64     // operations of all clients
	history []porcupine.Operation
	doubts  int
}

// run ends when the tokens do.
func (c *linearClient) run() error {
	for range c.tokens {
		o := c.choose()
		began := now()
		if _, err := io.WriteString(c.conn, o.line()+"\n"); err != nil {
			return fmt.Errorf("client %d: %s: %w", c.number, o.line(), err)
		}
		reply, err := c.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("client %d: %s: %q: %w", c.number, o.line(), reply, err)
		}
		if err := c.note(o, began, now(), strings.TrimSuffix(reply, "\n")); err != nil {
			return err
		}
		c.done.Add(1)
	}
	return nil
}

// choose makes up an operation. Every value is another one, so that what is read tells who has written.
func (c *linearClient) choose() operation {
	o := operation{key: fmt.Sprintf("k%d", c.random.IntN(linearKeys)), value: fmt.Sprintf("%d.%d,", c.number, len(c.history))}
	switch n := c.random.IntN(10); {
	case n < 4:
		o.verb = "GET"
	case n < 7:
		o.verb = "APPEND"
	case n < 8:
		o.verb = "SET"
	default:
		o.verb, o.old = "CAS", noValue
		if v, ok := c.seen[o.key]; ok {
			o.old = v
		}
	}
	return o
}

// note keeps what an operation was answered.
func (c *linearClient) note(o operation, began, ended time.Duration, answer string) error {
	h := porcupine.Operation{ClientId: c.number, Input: o, Output: answer, Call: int64(began), Return: int64(ended)}
	value, isValue := strings.CutPrefix(answer, "=")
	switch {
	case answer == linearLost && o.verb == "GET":
		return fmt.Errorf("client %d: %s, which is safe, was answered by an error", c.number, o.line())
	case answer == linearLost:
		h.Output, h.Return = unknown, math.MaxInt64
		c.doubts++
	case isValue:
		c.seen[o.key] = value
	case answer == "ok" || answer == "yes":
		c.seen[o.key] = o.value
	case answer != "no":
		return fmt.Errorf("client %d: %s: %q", c.number, o.line(), answer)
	}
	c.history = append(c.history, h)
	return nil
}

// linearRun is clients at work on one store, while the servers in front of it are killed.
type linearRun struct {
	f       *fleet
	clients []*linearClient
	done    atomic.Int64
	given   int64 // tokens
	running sync.WaitGroup
	failed  chan error
}

func newLinearRun(t *testing.T, mapping, safe, failover string) *linearRun {
	t.Helper()
	store := porttest.FreeString(t)
	startProcess(t, command{name: "store", role: "store", args: []string{"-listen", store}}).waitListening(t, store)
	front := "front -store " + store
	f := launch(t, plan{mapping: mapping, servers: []string{front, front},
		protocol: fmt.Sprintf("  protocol \"line\" {\n    safe = [%q]\n    lost = %q\n  }", safe, linearLost+"\n"),
		failover: failover})
	r := &linearRun{f: f, failed: make(chan error, linearClients)}
	for i := range linearClients {
		conn := f.dial()
		c := &linearClient{number: i, conn: conn, in: bufio.NewReader(conn), random: rand.New(rand.NewPCG(uint64(i), 3)),
			tokens: make(chan struct{}, linearQuota), seen: make(map[string]string), done: &r.done}
		r.clients = append(r.clients, c)
		r.running.Go(func() {
			if err := c.run(); err != nil {
				r.failed <- err
			}
		})
	}
	t.Cleanup(func() { // also when the test gives up in the middle
		for _, c := range r.clients {
			close(c.tokens)
			c.conn.Close()
		}
		r.running.Wait()
	})
	return r
}

// round kills a server, kill -9, in the midst of the clients' operations. All of these end before the server is started again.
func (r *linearRun) round(victim int) {
	r.f.t.Helper()
	for _, c := range r.clients {
		for range linearQuota {
			c.tokens <- struct{}{}
		}
	}
	r.given += linearQuota * linearClients
	r.await(r.given - linearQuota*linearClients*3/4)
	r.f.elements[victim].server.kill()
	r.await(r.given)
	r.f.startServer(victim)
}

// await returns when so many operations have been answered.
func (r *linearRun) await(n int64) {
	r.f.t.Helper()
	waitFor(r.f.t, fmt.Sprintf("%d operations", n), func() bool {
		select {
		case err := <-r.failed:
			r.f.t.Fatal(err)
		default:
		}
		return r.done.Load() >= n
	})
}

// check judges what the clients were told. They have no operation under way: it comes between two rounds.
func (r *linearRun) check(kills int) porcupine.CheckResult {
	r.f.t.Helper()
	var history []porcupine.Operation
	doubts := 0
	for _, c := range r.clients {
		history = append(history, c.history...)
		doubts += c.doubts
	}
	began := time.Now()
	result := porcupine.CheckOperationsTimeout(storeModel, history, patience)
	r.f.t.Logf("%d operations of %d clients on %d keys, %d kills, %d in doubt; checked in %s: %s", len(history), len(r.clients), linearKeys,
		kills, doubts, time.Since(began), result)
	return result
}

// TestLinearizable is issue 3, item 3: to its clients a store behind servers that are killed again and again is one that carries out
// each operation once, at a moment between the question and the answer. An operation answered by the protocol's error may be
// carried out at any time, or never.
func TestLinearizable(t *testing.T) {
	for _, c := range []struct {
		mapping, ack string
		kills        int
	}{{"tcp", "reply", 20}, {"tcp", "read", 20}, {"none", "read", 10}} {
		t.Run(c.mapping+" "+c.ack, func(t *testing.T) {
			kills := c.kills
			if raceDetector {
				kills /= 2
			}
			r := newLinearRun(t, c.mapping, "^GET ", fmt.Sprintf("    ack = %q", c.ack))
			for i := range kills {
				r.round(i % 2)
			}
			if result := r.check(kills); result != porcupine.Ok {
				t.Errorf("the history is not linearizable: %s", result)
			}
		})
	}
}

// TestNotLinearizable is the same with a lie in the configuration, that all operations are safe to repeat: the checker finds it. Were
// it to find nothing, TestLinearizable would prove nothing. Whether a kill comes between what an operation does and its reply is
// chance, so there are as many kills as it takes.
func TestNotLinearizable(t *testing.T) {
	const most = 100
	r := newLinearRun(t, "tcp", ".", "")
	for kills := 1; kills <= most; kills++ {
		r.round(kills % 2)
		if kills%5 == 0 && r.check(kills) == porcupine.Illegal {
			return
		}
	}
	t.Errorf("operations that change something were repeated through %d kills, and the checker found nothing", most)
}
