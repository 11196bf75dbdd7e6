//go:build linux

package chaos

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// redisArgs is the command line of a real redis. What it has been told is on the host's disk before it answers.
func (c *column) redisArgs(i int) []string {
	h := c.world.hosts[i]
	return []string{"redis-server", "--bind", h.address.String(), "--port", strconv.Itoa(int(c.port(portServer))), "--protected-mode", "no",
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0",
		"--dir", c.world.diskOf(h), "--appenddirname", c.name, "--daemonize", "no"}
}

// redisAddress is where it listens.
func (c *column) redisAddress(i int) string {
	return fmt.Sprintf("%s:%d", c.world.hosts[i].address, c.port(portServer))
}

// loadRedis waits until it serves what is on its disk, and puts there what clients read.
func (c *column) loadRedis(i int) (err error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	err = eventually("redis on "+c.world.hosts[i].name+" is loaded", func() bool {
		said, failed := c.tellRedis(i, "PING")
		return failed == nil && strings.HasPrefix(said, "+PONG")
	})
	if err == nil {
		c.world.hosts[i].do(func() { err = workload.LoadRedis(ctx, c.redisAddress(i)) })
	}
	return err
}

// tellRedis says a line to the server itself, and returns the first line of its answer.
func (c *column) tellRedis(i int, line string) (string, error) {
	conn, err := c.world.hosts[i].dial(c.redisAddress(i))
	if err != nil {
		return "", err
	}
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
