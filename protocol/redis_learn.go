package protocol

import (
	"strings"
	"sync"
	"sync/atomic"
)

// RedisTable is what is known of the commands of one pool, while it is learned. Its methods may be called from any goroutine;
// Safe, Divided and Blocks, which are asked for every command, take no lock. The zero value knows nothing.
type RedisTable struct {
	always  map[string]bool // safe by the word of the operator; not changed
	divided map[string]bool // has subcommands there

	mu        sync.Mutex
	byElement map[string]*RedisCommands     // guarded by mu: the last answer of each pool element
	uses      map[string]int                // guarded by mu: how many have sessions there (Use)
	left      string                        // guarded by mu: the pool element of the only answer has left the pool; "": it has not
	all       atomic.Pointer[RedisCommands] // what holds for all of them; nil: nothing is known
}

// NewRedisTable returns a table in which only the commands of these names, as RedisName gives them, are known: they are safe
// whatever servers say.
func NewRedisTable(safe []string) *RedisTable {
	t := &RedisTable{always: make(map[string]bool), divided: make(map[string]bool)}
	for _, name := range safe {
		t.always[name] = true
		if command, _, divided := strings.Cut(name, "|"); divided {
			t.divided[command] = true
		}
	}
	return t
}

// RedisName is the name of a command or subcommand as the functions of RedisConfig are asked for it: "get" for "GET",
// "config|get" for "CONFIG GET" or "config|get". ok is false if no command can be called so.
func RedisName(text string) (name string, ok bool) {
	words := strings.Fields(strings.ReplaceAll(text, "|", " "))
	if len(words) < 1 || len(words) > 2 {
		return "", false
	}
	for i, word := range words {
		if words[i] = redisPlain([]byte(word)); words[i] == "" {
			return "", false
		}
	}
	return strings.Join(words, "|"), true
}

// Learn takes a pool element's complete reply to RedisCommandQuery in the place of its last one, and returns how many commands
// it tells of. After an error nothing has changed; it says what was wrong, be it an error reply or no table.
func (t *RedisTable) Learn(element string, reply []byte) (commands int, err error) {
	answer, err := ParseRedisCommands(reply)
	if err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byElement == nil {
		t.byElement = make(map[string]*RedisCommands)
	}
	t.byElement[element] = answer
	if t.left != "" && t.left != element {
		delete(t.byElement, t.left)
	}
	t.left = ""
	t.meet()
	return answer.Len(), nil
}

// meet finds what holds for all pool elements. It is called with t.mu held.
func (t *RedisTable) meet() {
	var all *RedisCommands
	for _, one := range t.byElement {
		if all == nil {
			all = one
		} else {
			all = all.Meet(one)
		}
	}
	t.all.Store(all)
}

// Use says that one more (a shard) may have sessions at the pool element.
func (t *RedisTable) Use(element string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.uses == nil {
		t.uses = make(map[string]int)
	}
	t.uses[element]++
	if t.left == element { // it is there again
		t.left = ""
	}
}

// Forget says that one of those has none any more, and will have none: the element has left the pool. When it is the last, what the element
// has said is forgotten. If nothing else is known it stays until somebody else has answered: without it nothing would be safe.
func (t *RedisTable) Forget(element string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.uses[element] > 1 {
		t.uses[element]--
		return
	}
	delete(t.uses, element)
	switch {
	case t.byElement[element] == nil:
	case len(t.byElement) == 1:
		t.left = element
	default:
		delete(t.byElement, element)
		t.meet()
	}
}

// Known reports whether any pool element has answered.
func (t *RedisTable) Known() bool { return t.all.Load() != nil }

// Safe is RedisConfig.Safe, for the whole pool: see RedisCommands.Meet.
func (t *RedisTable) Safe(command string) (readonly, known bool) {
	if t.always[command] {
		return true, true
	}
	if all := t.all.Load(); all != nil {
		return all.Safe(command)
	}
	return false, false
}

// Divided is RedisConfig.Divided, for the whole pool.
func (t *RedisTable) Divided(command string) bool {
	all := t.all.Load()
	return t.divided[command] || all != nil && all.Divided(command)
}

// Blocks is RedisConfig.Blocks, for the whole pool.
func (t *RedisTable) Blocks(command string) bool {
	all := t.all.Load()
	return all != nil && all.Blocks(command)
}
