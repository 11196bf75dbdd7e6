package protocol

import (
	"bytes"
	"strings"
)

// RedisCommandQuery asks a server for its table of commands. The answer is one reply, some 200 KiB from redis 7.
const RedisCommandQuery = "*1\r\n$7\r\nCOMMAND\r\n"

// RedisCommands is what a server says of its commands, those of its modules included. It is immutable.
type RedisCommands struct {
	flags map[string]redisFlags // by the name in lower case; subcommands as "config|get"
}

type redisFlags struct{ safe, blocks, divided bool }

// Safe is RedisConfig.Safe. A command is safe if the server calls it readonly; or, for commands that touch no data and that a server
// therefore calls neither readonly nor write, if it concerns only the connection (ACL category connection) and is nothing for
// administrators: PING, ECHO, CLIENT ID. WAIT is none of these: it asks about what its own connection has written.
func (t *RedisCommands) Safe(command string) (readonly, known bool) {
	f, known := t.flags[command]
	return f.safe, known
}

// Divided is RedisConfig.Divided.
func (t *RedisCommands) Divided(command string) bool { return t.flags[command].divided }

// Blocks is RedisConfig.Blocks.
func (t *RedisCommands) Blocks(command string) bool { return t.flags[command].blocks }

// Len is the number of commands, with subcommands.
func (t *RedisCommands) Len() int { return len(t.flags) }

// Meet is the table of a pool whose servers differ: what is safe for both is safe, what may block on one may block, and what
// one does not know is not known.
func (t *RedisCommands) Meet(other *RedisCommands) *RedisCommands {
	both := &RedisCommands{flags: make(map[string]redisFlags)}
	for name, a := range t.flags {
		if b, ok := other.flags[name]; ok {
			both.flags[name] = redisFlags{safe: a.safe && b.safe, blocks: a.blocks || b.blocks, divided: a.divided || b.divided}
		}
	}
	return both
}

// ParseRedisCommands reads the complete reply to RedisCommandQuery, RESP2 or RESP3. Its form is that of redis 2.8.13 and later:
// entries of a name, an arity, flags, three numbers; from 6.0 on ACL categories; from 7.0 on the subcommands as the tenth
// element. The error wraps ErrMalformed.
func ParseRedisCommands(reply []byte) (*RedisCommands, error) {
	var end redisValue
	n, done, err := end.next(reply)
	switch {
	case err != nil:
		return nil, err
	case !done || n != len(reply):
		return nil, errRedis("command table", "it is not one whole reply: %d bytes, of which %d are used", len(reply), n)
	case end.first != '*' && end.first != '~':
		return nil, errRedis("command table", "a reply of type %q, in place of a list: %.60q", end.first, reply)
	}
	r := redisReader{p: reply}
	t := &RedisCommands{flags: make(map[string]redisFlags)}
	for _, entry := range r.value().items {
		if err := t.add(entry); err != nil {
			return nil, err
		}
	}
	if len(t.flags) == 0 {
		return nil, errRedis("command table", "it has no commands")
	}
	return t, nil
}

// redisRelative are commands of the connection category whose meaning depends on what came before on the same connection: on
// another one WAIT would count the replicas that have nothing, and say that they have what was written on the lost one.
var redisRelative = map[string]bool{"wait": true, "waitaof": true, "asking": true, "client|caching": true}

// add notes an entry and its subcommands. A command with subcommands is not safe itself: the subcommands may be.
func (t *RedisCommands) add(entry redisItem) error {
	if len(entry.items) < 3 || len(entry.items[0].text) == 0 {
		return errRedis("command table", "an entry of %d elements, in place of at least a name, an arity and flags", len(entry.items))
	}
	f := redisFlags{safe: entry.items[2].has("readonly"), blocks: entry.items[2].has("blocking")}
	if len(entry.items) > 6 {
		categories := entry.items[6]
		quiet := !entry.items[2].has("write") && !entry.items[2].has("admin") && !categories.has("@admin") && !categories.has("@dangerous")
		f.safe = f.safe || categories.has("@connection") && quiet
	}
	if len(entry.items) > 9 {
		for _, sub := range entry.items[9].items {
			f.safe, f.divided = false, true
			if err := t.add(sub); err != nil {
				return err
			}
		}
	}
	name := strings.ToLower(string(entry.items[0].text))
	f.safe = f.safe && !redisRelative[name]
	t.flags[name] = f
	return nil
}

// redisItem is a value as a tree.
type redisItem struct {
	text  []byte // of everything that is no aggregate; points into the reply
	items []redisItem
}

func (i redisItem) has(word string) bool {
	for _, item := range i.items {
		if string(item.text) == word {
			return true
		}
	}
	return false
}

// redisReader makes a tree of one whole value that a redisValue has found to be right: its depth is bounded, and no count is
// trusted to allocate.
type redisReader struct{ p []byte }

func (r *redisReader) line() (typ byte, text []byte) {
	var l redisLine
	n, _ := l.take(r.p[1:])
	typ, text = r.p[0], r.p[1:n-1]
	r.p = r.p[1+n:]
	return typ, text
}

func (r *redisReader) value() redisItem {
	typ, text := r.line()
	if len(text) == 1 && text[0] == '?' && bytes.IndexByte([]byte("$*~%"), typ) >= 0 {
		return r.streamed(typ)
	}
	var l redisLine
	for _, b := range text[:min(len(text), len(l.text))] {
		l.put(b)
	}
	count, _ := l.number()
	switch typ {
	case '$', '=', '!':
		if count < 0 {
			return redisItem{}
		}
		text, r.p = r.p[:count], r.p[count+2:]
	case '%', '|', '*', '~', '>':
		if typ == '%' || typ == '|' {
			count *= 2
		}
		var item redisItem
		for range count {
			item.items = append(item.items, r.value())
		}
		if typ == '|' {
			return r.value() // what it says of the value is not ours
		}
		return item
	}
	return redisItem{text: text}
}

// streamed reads what comes in parts.
func (r *redisReader) streamed(typ byte) (item redisItem) {
	for r.p[0] != '.' {
		if typ != '$' {
			item.items = append(item.items, r.value())
			continue
		}
		_, text := r.line()
		if string(text) == "0" {
			return item
		}
		var l redisLine
		for _, b := range text {
			l.put(b)
		}
		size, _ := l.number()
		item.text = append(item.text, r.p[:size]...)
		r.p = r.p[size+2:]
	}
	r.line()
	return item
}
