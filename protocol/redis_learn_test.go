package protocol

import (
	"fmt"
	"sync"
	"testing"
)

// redisTableReply is a reply to COMMAND with these commands, each with one flag.
func redisTableReply(flags ...string) []byte {
	out := fmt.Appendf(nil, "*%d\r\n", len(flags)/2)
	for i := 0; i < len(flags); i += 2 {
		out = fmt.Appendf(out, "*3\r\n$%d\r\n%s\r\n:1\r\n*1\r\n+%s\r\n", len(flags[i]), flags[i], flags[i+1])
	}
	return out
}

// What one server calls safe is safe once all that have answered call it so; the operator's word comes before theirs.
func TestRedisTable(t *testing.T) {
	table := NewRedisTable([]string{"my.read", "my.own|info"})
	if !table.Divided("my.own") || table.Divided("my.read") {
		t.Error("my.own has a subcommand, my.read has none")
	}
	check := func(when string, want map[string]string) {
		t.Helper()
		for name, want := range want {
			safe, known := table.Safe(name)
			if got := fmt.Sprintf("%v %v %v", safe, known, table.Blocks(name)); got != want {
				t.Errorf("%s: %s is safe, known, blocks: %s; want %s", when, name, got, want)
			}
		}
	}
	learn := func(element string, reply []byte, want int) {
		t.Helper()
		if n, err := table.Learn(element, reply); n != want || (err != nil) != (want == 0) {
			t.Errorf("%d commands from %s, %v; want %d", n, element, err, want)
		}
	}
	check("nothing learned", map[string]string{"get": "false false false", "my.read": "true true false"})
	learn("a", []byte("-NOAUTH Authentication required.\r\n"), 0)
	if table.Known() {
		t.Error("an error reply is known")
	}
	learn("a", redisTableReply("GET", "readonly", "blpop", "blocking", "my.read", "write", "new", "readonly"), 4)
	if !table.Known() {
		t.Error("nothing is known")
	}
	check("a answered", map[string]string{"get": "true true false", "blpop": "false true true", "my.read": "true true false", "new": "true true false"})
	learn("b", redisTableReply("get", "write", "blpop", "write"), 2)
	check("b answered", map[string]string{"get": "false true false", "blpop": "false true true", "new": "false false false"})
	learn("b", []byte("*0\r\n"), 0)
	check("b answered badly", map[string]string{"get": "false true false"})
	learn("b", redisTableReply("get", "readonly"), 1)
	check("b has another version", map[string]string{"get": "true true false", "blpop": "false false false"})

	table.Forget("nobody")
	table.Use("b")
	table.Use("b")
	table.Forget("b")
	check("b is in use on another shard", map[string]string{"new": "false false false"})
	table.Forget("b")
	check("b has left", map[string]string{"new": "true true false", "blpop": "false true true"})
	table.Forget("a")
	check("a has left, and nothing else is known", map[string]string{"new": "true true false"})
	table.Use("a")
	learn("c", redisTableReply("get", "readonly"), 1)
	check("a was back", map[string]string{"get": "true true false", "new": "false false false"})
	table.Forget("c")
	table.Forget("a")
	learn("d", redisTableReply("get", "write", "newest", "readonly"), 2)
	check("a had left", map[string]string{"get": "false true false", "newest": "true true false"})
	if len(table.byElement) != 1 || len(table.uses) != 0 {
		t.Errorf("%d answers are kept, and %d uses", len(table.byElement), len(table.uses))
	}

	if safe, known := new(RedisTable).Safe("get"); safe || known || new(RedisTable).Blocks("get") {
		t.Error("the zero value knows something")
	}
}

// A table is learned while all shards ask it (run with the race detector).
func TestRedisTableShared(t *testing.T) {
	table := NewRedisTable(nil)
	var asking sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					table.Safe("get")
					table.Blocks("get")
				}
			}
		})
	}
	for i := range 200 {
		if _, err := table.Learn(fmt.Sprint(i%3), redisTableReply("get", "readonly")); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	asking.Wait()
	if safe, _ := table.Safe("get"); !safe {
		t.Error("get is not safe")
	}
}

func TestRedisName(t *testing.T) {
	for text, want := range map[string]string{"GET": "get", "Config  get": "config|get", "config|GET": "config|get", "my.cmd": "my.cmd",
		"": "", "a b c": "", "g\x01t": "", "|": ""} {
		if got, ok := RedisName(text); got != want || ok != (want != "") {
			t.Errorf("RedisName(%q) is %q, %v", text, got, ok)
		}
	}
}
