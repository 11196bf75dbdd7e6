//go:build linux

package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// redisArgs is the command line of a real redis. What it has been told is on the host's disk before it answers.
func (c *column) redisArgs(i int) []string {
	h := c.world.hosts[i]
	return []string{"redis-server", "--bind", h.address.String(), "--port", "0", "--unixsocket", c.redisSocket(i), "--protected-mode", "no",
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0",
		"--dir", c.world.diskOf(h), "--appenddirname", c.name, "--daemonize", "no"}
}

// redisSocket is where it listens before clients may come.
func (c *column) redisSocket(i int) string { return filepath.Join(c.world.dir, c.element(i)+".sock") }

// redisAddress is where it listens for clients.
func (c *column) redisAddress(i int) string {
	return fmt.Sprintf("%s:%d", c.world.hosts[i].address, c.port(portServer))
}

// loadRedis waits until it has read what is on its disk, lets clients in, and puts there what they read. Clients that come while it reads
// are answered by -LOADING, which poolproxy does not pass on (TestRedisLoading), but the workload is to be put there first.
func (c *column) loadRedis(i int) (err error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	err = eventually("redis on "+c.world.hosts[i].name+" has loaded", func() bool {
		conn, err := net.Dial("unix", c.redisSocket(i))
		if err != nil {
			return false
		}
		if c.redisWrote(i) > redisLong {
			_, _ = say(conn, "BGREWRITEAOF") // an error: it is at it
			return false
		}
		said, err := say(conn, fmt.Sprintf("CONFIG SET port %d", c.port(portServer)))
		return err == nil && strings.HasPrefix(said, "+OK")
	})
	if err == nil {
		c.world.hosts[i].do(func() { err = workload.LoadRedis(ctx, c.redisAddress(i)) })
	}
	return err
}

// redisLong is how long the file may be of what a redis has been told until it is written anew, in bytes: the disk holds two, and in an hour
// they would fill it.
const redisLong = 8 << 20

// redisWrote is how long that file is.
func (c *column) redisWrote(i int) (size int64) {
	h := c.world.hosts[i]
	files, _ := filepath.Glob(h.outer(filepath.Join(c.world.diskOf(h), c.name, "*")))
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			size += info.Size()
		}
	}
	return size
}

// tellRedis says a line to the server itself, and returns the first line of its answer.
func (c *column) tellRedis(i int, line string) (string, error) {
	conn, err := c.world.hosts[i].dial(c.redisAddress(i))
	if err != nil {
		return "", err
	}
	return say(conn, line)
}

// say says a line over a connection, which it closes, and returns the first line of the answer.
func say(conn net.Conn, line string) (string, error) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

// holdRedis has it read, and do nothing.
func (c *column) holdRedis(i int) error {
	_, err := c.tellRedis(i, fmt.Sprintf("CLIENT PAUSE %d ALL", held.Milliseconds()))
	return err
}

// redisDid are the unsafe requests that it has carried out since this was asked the last time.
func (c *column) redisDid(i int) (entries []workload.Entry, err error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	c.world.hosts[i].do(func() { entries, err = workload.LoadedRedis(ctx, c.redisAddress(i), c.element(i)) })
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	forget := "DEL"
	for _, e := range entries {
		forget += fmt.Sprintf(" chaos:%x", e.Session)
	}
	_, err = c.tellRedis(i, forget)
	return entries, err
}
