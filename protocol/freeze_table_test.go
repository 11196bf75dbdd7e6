package protocol

import (
	"errors"
	"testing"

	"github.com/poolproxy/poolproxy/freeze"
)

// What servers have said of their commands is known in another process at once.
func TestFreezeRedisTable(t *testing.T) {
	t1 := NewRedisTable(nil)
	t1.byElement = map[string]*RedisCommands{"a": {flags: map[string]redisFlags{"get": {safe: true}, "blpop": {blocks: true}, "config": {divided: true}}}}
	t1.meet()
	t2 := NewRedisTable(nil)
	if err := t2.Thaw(t1.Freeze(nil)); err != nil {
		t.Fatal(err)
	}
	if safe, known := t2.Safe("get"); !safe || !known || !t2.Blocks("blpop") || !t2.Divided("config") || t2.Blocks("get") {
		t.Errorf("%+v", t2.all.Load())
	}
	if err := t2.Thaw([]byte("PPF")); !errors.Is(err, freeze.Err) {
		t.Error(err)
	}
}
