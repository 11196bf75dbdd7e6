//go:build linux

package test

import (
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
)

// TestRedisCLI is redis-cli before and behind a kill, on one connection.
func TestRedisCLI(t *testing.T) {
	needs(t, false, "redis-server", "redis-cli")
	pair := newRedisPair(t, "")
	f := launchRedis(t, pair, "tcp", "reply")
	cli := startRedisCLI(t, f.listen)
	cli.ask("SELECT 1", "OK")
	cli.ask("SET greeting hello", "OK")
	cli.ask("LRANGE "+redisList+" 0 0", redisElement(1, 0))
	waitFor(t, "the replica to have it", func() bool {
		pair.replica.do("SELECT", 1)
		text, _ := redis.String(pair.replica.do("GET", "greeting"), nil)
		return text == "hello"
	})
	pair.fail()
	cli.ask("GET greeting", "hello")
	cli.ask("INCR counter", "1")
	cli.ask("LRANGE "+redisList+" 1 1", redisElement(1, 1))
	if n := len(f.recorded("moved")); n != 1 {
		t.Errorf("%d sessions were moved", n)
	}
	if out := strings.Join(cli.end(), " "); strings.Contains(out, "rror") {
		t.Errorf("redis-cli says %q", out)
	}
}

// TestRedisLogin: servers that tell nothing before a login are asked again when a session was moved and has its login again. Until then
// they are served all the same.
func TestRedisLogin(t *testing.T) {
	needs(t, false, "redis-server")
	pair := newRedisPair(t, "secret")
	f := launchRedis(t, pair, "tcp", "reply")
	f.user.said(t, "does not tell which commands may be repeated", 1)
	c, err := redis.Dial("tcp", f.listen, redis.DialReadTimeout(patience), redis.DialDatabase(1), redis.DialClientName("me"),
		redis.DialPassword("secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check := func(want string) {
		t.Helper()
		name, err := redis.String(c.Do("CLIENT", "GETNAME"))
		if element, _ := redis.Strings(c.Do("LRANGE", redisList, 3, 3)); err != nil || name != "me" || strings.Join(element, "") != want {
			t.Fatalf("%q, %v, %q", name, err, element)
		}
	}
	check(redisElement(1, 3))
	if out := f.user.output(t); strings.Contains(out, "the server told its commands") {
		t.Error("a server has told its commands without a login")
	}
	pair.fail()
	check(redisElement(1, 3))
	f.user.said(t, "the server told its commands", 1)
	pair.waitInSync()
	pair.fail()
	check(redisElement(1, 3))
	if out := f.user.output(t) + f.elements[0].sidecar.output(t); strings.Contains(out, "secret") {
		t.Error("the password is in a log")
	}
}
