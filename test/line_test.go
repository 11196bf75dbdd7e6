//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const lineClients = 500

// lineClient is one client in a closed loop of numbered request lines. It belongs to its goroutine until that has ended.
type lineClient struct {
	number int
	conn   *net.TCPConn
	killed *atomic.Bool  // the kill has begun; shared by all clients
	gap    time.Duration // the longest time between two replies of which the second came after the kill
	done   atomic.Int64  // replies; may be read at any time
}

// run sends a request, waits for its reply, and so on until stop is closed. Each reply must be the next one; then the
// end must follow and nothing else.
func (c *lineClient) run(stop <-chan struct{}) error {
	in := bufio.NewReader(c.conn)
	last := time.Now()
	for {
		select {
		case <-stop:
			if err := c.conn.CloseWrite(); err != nil {
				return err
			}
			if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
				return fmt.Errorf("client %d: behind the last reply came %q, error %v", c.number, rest, err)
			}
			return nil
		default:
		}
		request := fmt.Sprintf("%d of client %d\n", c.done.Load(), c.number)
		if _, err := io.WriteString(c.conn, request); err != nil {
			return fmt.Errorf("client %d, request %q: %w", c.number, request, err)
		}
		reply, err := in.ReadString('\n')
		if err != nil || reply != "did "+request {
			return fmt.Errorf("client %d: the reply to %q is %q, error %v", c.number, request, reply, err)
		}
		now := time.Now()
		if c.killed.Load() {
			c.gap = max(c.gap, now.Sub(last))
		}
		last = now
		c.done.Add(1)
	}
}

// TestLineClients is issue 2, item 4: all clients of a killed element go on, each with every reply once and in order.
func TestLineClients(t *testing.T) {
	kills := map[string]func(*element) *process{
		"server killed":  func(e *element) *process { return e.server },
		"sidecar killed": func(e *element) *process { return e.sidecar },
	}
	for name, victim := range kills {
		t.Run(name, func(t *testing.T) {
			f := launch(t, plan{
				mapping:  "tcp",
				protocol: `  protocol "line" { safe = ["."] }`,
				failover: `    replay = "unacked"
    ack    = "reply"
    resume = "1s"`,
				servers: []string{"line", "line"},
			})
			driveLines(t, f, func() { victim(f.elements[0]).kill() })
			if n := len(f.recorded("moved")); n == 0 {
				t.Error("no failover was recorded: nobody was served by the killed element")
			}
		})
	}
}

// driveLines runs all clients, kills in the middle, and lets each get 20 more replies.
func driveLines(t *testing.T, f *fleet, kill func()) {
	t.Helper()
	var killed atomic.Bool
	clients := make([]*lineClient, lineClients)
	for i := range clients {
		clients[i] = &lineClient{number: i, conn: f.dial(), killed: &killed}
	}
	stop := make(chan struct{})
	failed := make(chan error, len(clients))
	var running sync.WaitGroup
	for _, c := range clients {
		running.Go(func() {
			if err := c.run(stop); err != nil {
				failed <- err
			}
		})
	}
	advance(t, clients, 20, failed)
	before := total(clients)
	began := time.Now()
	killed.Store(true)
	kill()
	advance(t, clients, 20, failed)
	rate := float64(total(clients)-before) / time.Since(began).Seconds()
	close(stop)
	running.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	report(t, clients, rate)
}

// advance waits until every client has got n more replies.
func advance(t *testing.T, clients []*lineClient, n int64, failed <-chan error) {
	t.Helper()
	goals := make([]int64, len(clients))
	for i, c := range clients {
		goals[i] = c.done.Load() + n
	}
	waitFor(t, fmt.Sprintf("%d more replies for each of %d clients", n, len(clients)), func() bool {
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
		for i, c := range clients {
			if c.done.Load() < goals[i] {
				return false
			}
		}
		return true
	})
}

// total counts the replies of all clients.
func total(clients []*lineClient) (n int64) {
	for _, c := range clients {
		n += c.done.Load()
	}
	return n
}

// report prints the distribution of each client's longest gap.
func report(t *testing.T, clients []*lineClient, rate float64) {
	t.Helper()
	gaps := make([]time.Duration, len(clients))
	for i, c := range clients {
		gaps[i] = c.gap
	}
	slices.Sort(gaps)
	t.Logf("%d clients, %d replies, %.0f replies/s across the failover; longest gap of a client: median %s, p99 %s, max %s",
		len(clients), total(clients), rate, gaps[len(gaps)/2], gaps[len(gaps)*99/100], gaps[len(gaps)-1])
}
