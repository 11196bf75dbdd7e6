//go:build linux

package test

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

const redisChannel = "poolproxy-test:news"

// redisPublisher publishes numbers on a connection of its own.
type redisPublisher struct {
	run  *redisRun
	conn redis.Conn
	stop atomic.Bool
	sent atomic.Int64 // the last number
}

// publish runs until stop, or until its connection is lost. The run waits for it.
func (p *redisPublisher) publish() {
	defer p.conn.Close()
	for n := int64(1); !p.stop.Load(); n++ {
		p.sent.Store(n)
		_, err := p.conn.Do("PUBLISH", redisChannel, n)
		if err != nil && !strings.HasPrefix(err.Error(), "ERR poolproxy") {
			p.run.problem("publisher: %v", err)
			return
		}
		time.Sleep(time.Millisecond) // not to be most of the load
	}
}

// redisSubscriber listens on a connection of its own.
type redisSubscriber struct {
	run     *redisRun
	conn    redis.PubSubConn
	pattern bool // it has subscribed to a pattern
	closing atomic.Bool
	over    atomic.Bool
	got     atomic.Int64 // the last number
	count   int
}

func (s *redisSubscriber) subscribe() error {
	if s.pattern {
		return s.conn.PSubscribe(strings.TrimSuffix(redisChannel, "ews") + "*")
	}
	return s.conn.Subscribe(redisChannel)
}

// listen runs until the connection is closed. Messages may be missing, those published while it was moved; none may come twice,
// or late, and nothing else may come but the confirmation, once. The run waits for it.
func (s *redisSubscriber) listen() {
	defer s.over.Store(true)
	confirmed := 0
	for {
		switch m := s.conn.ReceiveWithTimeout(0).(type) {
		case redis.Subscription:
			confirmed++
			if confirmed > 1 || m.Count != 1 {
				s.run.problem("subscriber: %+v is its %dth confirmation", m, confirmed)
			}
		case redis.Message:
			n, err := strconv.ParseInt(string(m.Data), 10, 64)
			if last := s.got.Load(); err != nil || n <= last || m.Channel != redisChannel || (m.Pattern != "") != s.pattern {
				s.run.problem("subscriber: %+v behind message %d", m, last)
			}
			s.count++
			s.got.Store(n)
		case error:
			if !s.closing.Load() {
				s.run.problem("subscriber: the connection is lost: %v", m)
			}
			return
		}
	}
}

// redisCLI is a redis-cli that reads its commands from a pipe.
type redisCLI struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan string // closed when it has ended
}

// startRedisCLI starts redis-cli. It is killed when it has taken too long altogether.
func startRedisCLI(t *testing.T, address string) *redisCLI {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	_, port, _ := strings.Cut(address, ":")
	cmd := exec.CommandContext(ctx, "redis-cli", "-p", port)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &redisCLI{t: t, in: in, lines: make(chan string, 100)}
	go c.read(out, cmd)
	return c
}

// read passes lines on until redis-cli ends, which ask and end wait for by the closed channel.
func (c *redisCLI) read(out io.Reader, cmd *exec.Cmd) {
	defer close(c.lines)
	for in := bufio.NewScanner(out); in.Scan(); {
		if in.Text() != "" {
			c.lines <- in.Text()
		}
	}
	_ = cmd.Wait() // what it had to say it has written
}

// ask has redis-cli ask for something, and waits for one line that must be the answer.
func (c *redisCLI) ask(command, want string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, command+"\n"); err != nil {
		c.t.Fatal(err)
	}
	if got := <-c.lines; got != want {
		c.t.Fatalf("redis-cli: %s: %q, not %q", command, got, want)
	}
}

// end lets redis-cli end, and returns what it has still said.
func (c *redisCLI) end() (rest []string) {
	c.t.Helper()
	if err := c.in.Close(); err != nil {
		c.t.Error(err)
	}
	for line := range c.lines {
		rest = append(rest, line)
	}
	return rest
}
