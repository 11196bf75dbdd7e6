//go:build linux

package test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// loadingRedis starts a server that takes seconds to load what is in dir, once that has something in it.
func loadingRedis(t *testing.T, name, address, dir string) *process {
	t.Helper()
	ip, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return startProcess(t, command{name: name, args: []string{"redis-server", "--dir", dir, "--bind", ip, "--port", port, "--save", "",
		"--enable-debug-command", "yes", "--unixsocket", filepath.Join(dir, "s"), "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"}})
}

// TestRedisLoading: a server is killed and started again, and while it loads the other one is killed. Who is connected waits until it has
// loaded, and never hears that it does. A client beside poolproxy does.
func TestRedisLoading(t *testing.T) {
	needs(t, false, "redis-server")
	addresses := []string{porttest.FreeString(t), porttest.FreeString(t)}
	dirs := []string{t.TempDir(), t.TempDir()}
	f := &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t), plan: plan{mapping: "tcp", protocol: "  protocol \"redis\" {}\n"}}
	var servers []*process
	for i, address := range addresses {
		servers = append(servers, loadingRedis(t, "redis-"+string(rune('a'+i)), address, dirs[i]))
		awaitRedis(t, address, "the server to serve", func(err error) bool { return err == nil })
		fillRedis(t, address)
		f.elements = append(f.elements, &element{name: string(rune('a' + i)), address: address, listen: porttest.FreeString(t)})
		f.startSidecar(i)
	}
	f.user = f.run("user", f.userConfig())
	f.user.waitListening(t, f.listen)
	var clients []redis.Conn
	for range 8 {
		c, err := redis.Dial("tcp", f.listen, redis.DialReadTimeout(patience))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	says := func() {
		t.Helper()
		for i, c := range clients {
			if reply, err := c.Do("INCR", i); err != nil {
				t.Errorf("client %d: %v, %v", i, reply, err)
			}
		}
	}
	says()
	servers[0].kill()
	loadingRedis(t, "redis-a-again", addresses[0], dirs[0])
	awaitRedis(t, addresses[0], "the first server to load", isLoading)
	says()
	servers[1].kill()
	awaitRedis(t, addresses[0], "the first server to be loading still", isLoading)
	says()
}

func isLoading(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "LOADING ") }

// awaitRedis asks the server itself until what it says is as expected.
func awaitRedis(t *testing.T, address, what string, is func(error) bool) {
	t.Helper()
	waitFor(t, what, func() bool {
		c, err := redis.Dial("tcp", address, redis.DialReadTimeout(patience))
		if err != nil {
			return is(err)
		}
		defer c.Close()
		_, err = c.Do("GET", "x")
		return is(err)
	})
}

// fillRedis has the server write what it will load for seconds.
func fillRedis(t *testing.T, address string) {
	t.Helper()
	c, err := redis.Dial("tcp", address, redis.DialReadTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, words := range [][]any{{"DEBUG", "POPULATE", 8000}, {"SAVE"}} {
		if _, err := c.Do(words[0].(string), words[1:]...); err != nil {
			t.Fatal(words, err)
		}
	}
}
