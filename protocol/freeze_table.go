package protocol

import (
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
)

const (
	frozenTable        = 't'
	frozenTableVersion = 1
)

// Freeze appends to to what servers have said of their commands, for another process that takes this one's place: until it has asked by
// itself nothing would be safe there.
func (t *RedisTable) Freeze(to []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	to, _ = freeze.Frame(to, frozenTable, frozenTableVersion, time.Unix(0, 0), t.show) // nothing in it can fail
	return to
}

// Thaw takes over what Freeze of another process has written; what was learned here since stands. After an error, which wraps
// freeze.Err, nothing has changed.
func (t *RedisTable) Thaw(from []byte) error {
	var was RedisTable
	if err := freeze.Open(from, frozenTable, frozenTableVersion, time.Unix(0, 0), was.show); err != nil {
		return fmt.Errorf("redis commands: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byElement == nil {
		t.byElement = make(map[string]*RedisCommands)
	}
	for element, answer := range was.byElement {
		if t.byElement[element] == nil {
			t.byElement[element] = answer
		}
	}
	t.meet()
	return nil
}

// show shows the answers. It is called with t.mu held.
func (t *RedisTable) show(c *freeze.Coder) {
	freeze.Map(c, &t.byElement, func(answer **RedisCommands) {
		if c.Thaws() {
			*answer = &RedisCommands{}
		}
		freeze.Map(c, &(*answer).flags, func(f *redisFlags) { c.Bool(&f.safe, &f.blocks, &f.divided) })
	})
}
