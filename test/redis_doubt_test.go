//go:build linux

package test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// dialReadingRedis starts two servers with sidecars before them that go by what a server has read, and connects to them.
func dialReadingRedis(t *testing.T, mapping string) (*redisPair, redis.Conn) {
	pair := newRedisPair(t, "")
	f := launchRedis(t, pair, mapping, "read")
	c, err := redis.Dial("tcp", f.listen, redis.DialReadTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return pair, c
}

// With ack = "read" one request at most is in doubt when a server dies, also when the client is slow to read: then the replies to
// many requests that were carried out are still in the server's memory, behind a large one.
func TestRedisSlowReader(t *testing.T) {
	needs(t, false, "redis-server")
	for _, mapping := range []string{"tcp", "none"} {
		t.Run(mapping, func(t *testing.T) {
			pair, c := dialReadingRedis(t, mapping)
			const large, small = 60, 10
			for range large {
				c.Send("GET", redisBig)
			}
			for i := range small {
				c.Send("INCR", fmt.Sprintf("counter:%d", i))
			}
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the first counter to be counted", func() bool {
				n, _ := redis.Int(pair.primary.do("EXISTS", "counter:0"), nil)
				return n == 1
			})
			for until := time.Now().Add(time.Second / 2); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
				n, _ := redis.Int(pair.primary.do("EXISTS", fmt.Sprintf("counter:%d", small-1)), nil)
				if n == 1 { // all of them
					break
				}
			}
			pair.fail()
			for range large {
				if got, err := redis.String(c.Receive()); err != nil || got != redisBigValue(0) {
					t.Fatalf("GET: %d bytes, %v", len(got), err)
				}
			}
			var errors []error
			for range small {
				n, err := redis.Int(c.Receive())
				if err != nil {
					errors = append(errors, err)
				} else if n != 1 {
					t.Errorf("an INCR answered %d", n)
				}
			}
			if len(errors) != 1 {
				t.Errorf("%d errors: %v", len(errors), errors)
			}
			for key, n := range pair.record().carriedOut {
				if n > 1 {
					t.Errorf("%s was changed %d times", key, n)
				}
			}
		})
	}
}

// busyFor is a script that does nothing for two seconds and changes nothing: EVAL_RO is readonly, so it is repeated elsewhere. It says in the
// server's log that it has begun.
const busyFor = `redis.log(redis.LOG_WARNING, 'busy from now on')
local function now() local t = redis.call('TIME'); return t[1] * 1000000 + t[2] end
local till = now() + 2000000
while now() < till do end
return 'done'`

// TestRedisBusy kills a redis that has read an unsafe command and not answered it, since it is still at work on what it has read with it: it
// answers at the end of a round. What it has read does not let the next unsafe command go, which would be in doubt, too: there is more
// behind it, and of what a dead server has left unread only the last byte is certain.
func TestRedisBusy(t *testing.T) {
	needs(t, false, "redis-server")
	for _, mapping := range []string{"tcp", "none"} {
		t.Run(mapping, func(t *testing.T) {
			pair, c := dialReadingRedis(t, mapping)
			if _, err := c.Do("GET", "nothing"); err != nil { // from here on it is known which commands are safe
				t.Fatal(err)
			}
			c.Send("INCR", "one")
			c.Send("EVAL_RO", busyFor, 0)
			c.Send("INCR", "two")
			c.Send("GET", "two")
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			pair.primary.server.said(t, "busy from now on", 1)
			for until := time.Now().Add(time.Second / 2); time.Now().Before(until) && !unreadAt(t, pair.primary.address); {
				time.Sleep(5 * time.Millisecond)
			}
			pair.fail()
			var answers []string
			for range 4 {
				answer, err := c.Receive()
				switch {
				case err == nil:
					if b, ok := answer.([]byte); ok {
						answer = string(b)
					}
					answers = append(answers, fmt.Sprint(answer))
				case strings.HasPrefix(err.Error(), "ERR poolproxy"):
					answers = append(answers, "lost")
				default:
					t.Fatal(err)
				}
			}
			if got := fmt.Sprint(answers); got != "[lost done 1 1]" {
				t.Errorf("answered %s", got)
			}
			if n := pair.record().carriedOut["two"]; n != 1 {
				t.Errorf("the second INCR was carried out %d times", n)
			}
		})
	}
}

// unreadAt reports whether something lies in the receive queue of a connection with a server.
func unreadAt(t *testing.T, server string) bool {
	t.Helper()
	_, port, _ := strings.Cut(server, ":")
	var number int
	fmt.Sscan(port, &number)
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line) // 0: 0100007F:1F90 0100007F:C3A6 01 00000000:0000002A …
		if len(words) > 4 && words[3] == "01" && strings.HasSuffix(words[1], fmt.Sprintf(":%04X", number)) && !strings.HasSuffix(words[4], ":00000000") {
			return true
		}
	}
	return false
}
