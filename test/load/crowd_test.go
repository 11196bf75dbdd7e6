//go:build linux

package load

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// crowd is many clients, each with a goroutine while it waits for something.
type crowd struct{ members []*member }

type member struct {
	id   int
	seq  int
	conn net.Conn
	in   *bufio.Reader
	took time.Duration // from the beginning of the round to the reply
	who  string        // which server has answered
	err  error
}

// opening is how many clients connect at a time.
const opening = 128

// gather connects n clients to the addresses in turn, of which each asks once.
func gather(addresses []string, n int) (*crowd, error) {
	c := &crowd{members: make([]*member, n)}
	places := make(chan struct{}, opening)
	var wait sync.WaitGroup
	for i := range c.members {
		m := &member{id: i}
		c.members[i] = m
		places <- struct{}{}
		wait.Go(func() {
			m.err = m.open(addresses[i%len(addresses)])
			<-places
		})
	}
	wait.Wait()
	return c, c.failed()
}

func (m *member) open(address string) (err error) {
	if m.conn, err = net.Dial("tcp", address); err != nil {
		return err
	}
	m.in = bufio.NewReaderSize(m.conn, 64)
	return m.ask(time.Now())
}

// ask sends one request and awaits its reply. took counts from since on.
func (m *member) ask(since time.Time) error {
	m.seq++
	if _, err := fmt.Fprintf(m.conn, "GET %d-%d\n", m.id, m.seq); err != nil {
		return err
	}
	line, err := m.in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("client %d, request %d: %w", m.id, m.seq, err)
	}
	m.took = time.Since(since)
	f := strings.Fields(line)
	if len(f) != 2 || f[0] != fmt.Sprintf("%d-%d", m.id, m.seq) {
		return fmt.Errorf("client %d, request %d was answered %q", m.id, m.seq, line)
	}
	m.who = f[1]
	return nil
}

// round has all clients ask at once; since is when their time begins.
func (c *crowd) round(since time.Time) error {
	deadline := time.Now().Add(2 * patience)
	var wait sync.WaitGroup
	for _, m := range c.members {
		_ = m.conn.SetDeadline(deadline)
		wait.Go(func() { m.err = m.ask(since) })
	}
	wait.Wait()
	return c.failed()
}

// failed tells of the first clients that have failed, and of how many.
func (c *crowd) failed() error {
	var all []error
	for _, m := range c.members {
		if m.err != nil {
			all = append(all, m.err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d clients failed; the first: %w", len(all), len(c.members), errors.Join(all[:min(len(all), 3)]...))
}

// times are what the last round took each client, in order.
func (c *crowd) times() (all []time.Duration) {
	for _, m := range c.members {
		all = append(all, m.took)
	}
	slices.Sort(all)
	return all
}

// by counts the clients by the server that has answered last.
func (c *crowd) by() map[string]int {
	n := make(map[string]int)
	for _, m := range c.members {
		n[m.who]++
	}
	return n
}

func (c *crowd) leave() {
	for _, m := range c.members {
		if m.conn != nil {
			m.conn.Close()
		}
	}
}

// share is the value that the share q of the times does not exceed.
func share(times []time.Duration, q float64) time.Duration {
	return times[min(int(q*float64(len(times))), len(times)-1)]
}
