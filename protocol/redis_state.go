package protocol

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// redisInvalidateAll tells a client that caches that it must forget everything: nobody has told it of changes for a while.
const redisInvalidateAll = ">2\r\n$10\r\ninvalidate\r\n_\r\n"

// redisAllMatters reports whether more than the first two words of such a command must be looked at. The name is in lower case.
func redisAllMatters(name string) bool {
	switch name {
	case "client", "select", "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe":
		return true
	}
	return redisBlocksByWord(name)
}

// redisBlocksByWord reports whether the command waits only if BLOCK is among its words. Servers flag it as blocking with and without.
// Of all that redis 7 flags these are the only ones; the others have a timeout that is not optional.
func redisBlocksByWord(name string) bool { return name == "xread" || name == "xreadgroup" }

// redisStateOf is the detail of a command that sets the state of its connection, nil for others. This is the one list of
// commands that is ours: COMMAND tells what a command does to the data, not what it does to the connection.
func redisStateOf(c *redisCommand) *redisDetail {
	change := func(s StateChange) *redisDetail { return &redisDetail{changes: []StateChange{s}} }
	switch c.name {
	case "auth", "select", "readonly":
		return change(StateChange{Key: c.name})
	case "readwrite":
		return change(StateChange{Key: "readonly", Void: true})
	case "monitor":
		d := change(StateChange{Key: "monitor"})
		d.kind = redisMonitor
		return d
	case "hello":
		// A HELLO may log in and set a name, too. How many words it has tells which: one kind must not replace another.
		d := change(StateChange{Key: fmt.Sprintf("hello %d", c.argc)})
		if d.kind = redisHello; c.argc == 1 {
			d.changes = nil
		}
		return d
	case "subscribe", "psubscribe", "ssubscribe":
		return redisSubscribed(c, c.name, false)
	case "unsubscribe", "punsubscribe", "sunsubscribe":
		return redisSubscribed(c, strings.Replace(c.name, "un", "", 1), true)
	case "client":
		if s, ok := redisClientState(c); ok {
			return change(s)
		}
	}
	return nil
}

// redisClientState is the change that a CLIENT command makes.
func redisClientState(c *redisCommand) (StateChange, bool) {
	s := StateChange{Key: "client " + c.sub()}
	switch c.sub() {
	case "setname", "no-evict", "no-touch":
	case "setinfo":
		s.Key += " " + redisPlain(c.words.word(2))
	case "reply":
		s.Void = c.words.is(2, "on")
		return s, s.Void || c.words.is(2, "off")
	case "tracking":
		if c.words.is(2, "off") {
			s.Void = true
			break
		}
		s.Key = fmt.Sprintf("%s %016x", s.Key, xxhash.Sum64(c.words.text)) // prefixes add up
		s.Tell = []byte(redisInvalidateAll)
		for i := 3; i < len(c.words.ends); i++ {
			if c.words.is(i, "redirect") {
				s.Never = "CLIENT TRACKING with REDIRECT names another connection of the same server"
			}
		}
	default:
		return s, false
	}
	if c.words.short {
		s.Never = "a CLIENT command of more than 64 KiB is not kept"
	}
	return s, true
}

// redisSubscribed is the detail of a command of the SUBSCRIBE family. Each channel is a state of its own, with a command of its own.
func redisSubscribed(c *redisCommand, kind string, void bool) *redisDetail {
	d := &redisDetail{kind: redisSubscribe, confirm: c.name, count: c.argc - 1}
	switch {
	case c.words.short:
		d.changes = []StateChange{{Key: kind + " more", Never: "a list of channels of more than 64 KiB is not kept"}}
	case void && c.argc == 1:
		d.changes = []StateChange{{Key: kind, Void: true}}
	default:
		for i := 1; i < len(c.words.ends); i++ {
			channel := c.words.word(i)
			s := StateChange{Key: fmt.Sprintf("%s %q", kind, channel), Void: void}
			if !void {
				s.Send = redisEncode([]byte(kind), channel)
			}
			d.changes = append(d.changes, s)
		}
	}
	return d
}

// sent returns the changes with bytes to send of their own, for a command that is not kept itself because it waits in a transaction.
func (d *redisDetail) sent(c *redisCommand) []StateChange {
	out := append([]StateChange(nil), d.changes...)
	for i := range out {
		switch s := &out[i]; {
		case s.Void || s.Send != nil || s.Never != "":
		case !c.words.all || c.words.short: // AUTH and HELLO: logins are not copied
			s.Never = c.label + " inside MULTI is not kept"
		default:
			words := make([][]byte, len(c.words.ends))
			for i := range words {
				words[i] = c.words.word(i)
			}
			s.Send = redisEncode(words...)
		}
	}
	return out
}

// redisEncode is a command as bytes.
func redisEncode(words ...[]byte) []byte {
	out := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, word := range words {
		out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(word), word)
	}
	return out
}
