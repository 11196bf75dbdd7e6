//go:build linux

package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// With ack = "read" one request at most is in doubt when a server dies, also when the client is slow to read: then the replies to
// many requests that were carried out are still in the server's memory, behind a large one.
func TestRedisSlowReader(t *testing.T) {
	needs(t, false, "redis-server")
	for _, mapping := range []string{"tcp", "none"} {
		t.Run(mapping, func(t *testing.T) {
			pair := newRedisPair(t, "")
			f := launchRedis(t, pair, mapping, "read")
			c, err := redis.Dial("tcp", f.listen, redis.DialReadTimeout(patience))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
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
