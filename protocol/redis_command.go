package protocol

import "strings"

// redisKind says how a command is answered, or what its lost reply means.
type redisKind uint8

const (
	redisPlainKind redisKind = iota
	redisSubscribe           // one confirmation for each channel
	redisHello               // its reply tells the version of the protocol
	redisReset
	redisMonitor
	redisExec
	redisEnd // it only ends something, as the loss of the connection does
)

// redisDetail is Request.Detail. nil stands for that of a plain command. The outcome is filled in by the parser of replies.
type redisDetail struct {
	kind    redisKind
	confirm string // redisSubscribe: the first word of its confirmations
	count   int64  // redisSubscribe: how many there will be; 0: as many as the connection has channels of this kind
	unit    *Unit
	changes []StateChange
	blocks  bool
	outcome Outcome
}

func (d *redisDetail) Changes() []StateChange { return d.changes }
func (d *redisDetail) Unit() *Unit            { return d.unit }
func (d *redisDetail) Outcome() Outcome       { return d.outcome }
func (d *redisDetail) Blocks() bool           { return d.blocks }

var _ Connection = (*redisDetail)(nil)

// redisDetailOf is never nil.
func redisDetailOf(req *Request) *redisDetail {
	if req != nil {
		if d, ok := req.Detail.(*redisDetail); ok {
			return d
		}
	}
	return &redisDetail{}
}

// redisCommand is a command that is to be judged.
type redisCommand struct {
	argc  int64
	name  string // lower case
	label string
	words *redisWords
}

// sub is the second word in lower case, if it may be a subcommand.
func (c *redisCommand) sub() string { return redisPlain(c.words.word(1)) }

// blocking reports whether BLOCK is among the words. A key of that name counts, too, and so may what was too long to be kept: then
// its silence is only not counted.
func (c *redisCommand) blocking() bool {
	for i := 1; i < len(c.words.ends); i++ {
		if c.words.is(i, "block") {
			return true
		}
	}
	return c.words.short
}

// redisConnection is what the client has asked its connection to be. It believes that commands succeed: where one fails, what follows
// in the same mode fails, too, and is paired with its replies all the same.
type redisConnection struct {
	multi   bool // commands are queued
	off     bool // CLIENT REPLY OFF
	skip    bool // CLIENT REPLY SKIP came just before
	resp3   bool // HELLO 3
	monitor bool // MONITOR
	channel bool // it has subscribed; not taken back before RESET
	closing bool // the server closes behind the current command
	opaque  bool // the current command begins a stream
	once    bool // the command before concerns this one only
	unit    *Unit
	pending []StateChange // of the queued commands
}

// judge says all that is known of a command, and notes what it does to the connection.
func (k *redisConnection) judge(r *redis, c *redisCommand, req *Request) error {
	silent := k.off || k.skip
	if k.skip && c.argc == 0 { // that is what is skipped
		k.once = false
		k.endUnit()
	}
	k.skip = false
	k.closing = false
	if c.argc == 0 {
		req.Safe, req.Expect, req.Label = true, ExpectNone, "empty command"
		return nil
	}
	once := k.once
	k.once = false
	req.Label = c.label
	if silent {
		req.Expect = ExpectNone
	}
	switch c.name {
	case "post", "host:":
		return errRedis("request", "this is HTTP")
	case "sync", "psync":
		req.Expect, k.opaque = ExpectUnknown, true
		return nil
	case "multi", "exec", "discard", "watch":
		if k.monitor && c.name == "multi" {
			return errRedis("request", "MULTI behind MONITOR is not possible here: servers write lines of MONITOR into EXEC's reply")
		}
		k.transaction(c, req)
		return nil
	case "quit", "reset":
		if silent && !k.off && c.name == "reset" {
			return errRedis("request", "RESET behind CLIENT REPLY SKIP is not possible here: nobody could tell when it happened")
		}
		k.leave(c, req)
		return nil
	}
	if k.multi {
		return k.queue(r, c, req)
	}
	if err := k.mute(c, silent); err != nil {
		return err
	}
	k.ordinary(r, c, req)
	if once {
		k.second(c, req)
	}
	return nil
}

// mute refuses what servers of different age answer differently, with or without a reply: subscriptions without replies, and, in
// RESP2 with subscriptions, commands that switch replies off; and a repeated MONITOR.
func (k *redisConnection) mute(c *redisCommand, silent bool) error {
	switch {
	case c.name == "hello" && c.argc > 1:
		k.resp3 = string(c.words.word(1)) == "3"
	case strings.HasSuffix(c.name, "subscribe"):
		if k.channel = true; silent {
			return errRedis("request", "%s while CLIENT REPLY is off is not possible here: servers differ in whether they confirm it", c.label)
		}
	case c.name == "monitor" && c.argc == 1:
		if silent {
			return errRedis("request", "MONITOR while CLIENT REPLY is off is not possible here: nobody could tell its lines from replies")
		}
		if k.monitor {
			return errRedis("request", "a second MONITOR is not possible here: servers do not answer it if the first was carried out")
		}
		k.monitor = true
	case c.name == "client" && c.sub() == "reply" && k.channel && !k.resp3 && !c.words.is(2, "on"):
		return errRedis("request", "CLIENT REPLY with subscriptions is not possible here in RESP2")
	}
	return nil
}

// ordinary judges a command that is carried out at once.
func (k *redisConnection) ordinary(r *redis, c *redisCommand, req *Request) {
	d := redisStateOf(c)
	switch {
	case d != nil:
		req.Safe, req.Detail = true, d
	case c.name == "unwatch" && c.argc == 1:
		d = &redisDetail{kind: redisEnd}
		req.Detail = d
		k.join(d)
		k.endUnit()
	default:
		k.look(r, c, req)
		if k.prefix(c) && k.unit == nil {
			req.Detail, req.Safe, k.once = &redisDetail{}, false, true
			k.begin(redisDetailOf(req))
		}
	}
	if c.name == "client" {
		req.Label = c.label + " " + c.sub()
		k.client(c, req)
	}
}

// prefix reports whether the command changes nothing but how the next one is carried out, or answered. The next one by itself would
// be another command: the two are a unit.
func (k *redisConnection) prefix(c *redisCommand) bool {
	return c.argc == 1 && c.name == "asking" ||
		c.argc == 3 && c.name == "client" && (c.sub() == "caching" || c.sub() == "reply" && c.words.is(2, "skip") && !k.off)
}

// second judges the command behind a prefix, once it has been judged as if it stood alone.
func (k *redisConnection) second(c *redisCommand, req *Request) {
	if k.unit == nil {
		return // it was an end
	}
	d := redisDetailOf(req)
	req.Detail = d
	k.unit.Unsafe = k.unit.Unsafe || !req.Safe
	req.Safe = false
	k.join(d)
	if k.once = k.prefix(c); !k.once {
		k.endUnit()
	}
}

// client follows CLIENT REPLY.
func (k *redisConnection) client(c *redisCommand, req *Request) {
	switch {
	case c.sub() != "reply" || c.argc != 3:
	case c.words.is(2, "on"):
		k.off, req.Expect = false, ExpectOne
	case c.words.is(2, "off"):
		k.off, req.Expect = true, ExpectNone
	case c.words.is(2, "skip"):
		k.skip, req.Expect, req.Safe = !k.off, ExpectNone, k.off
	}
}

// look asks the table of commands.
func (k *redisConnection) look(r *redis, c *redisCommand, req *Request) {
	name := c.name
	safe, _ := r.Safe(name)
	if !safe && c.argc > 1 && r.Divided(name) {
		if sub := c.sub(); sub != "" {
			ok, known := r.Safe(name + "|" + sub)
			if safe = ok && known; known {
				name = name + "|" + sub
				req.Label += " " + sub
			}
		}
	}
	req.Safe = safe
	if r.Blocks(name) && !(redisBlocksByWord(name) && !c.blocking()) {
		req.Detail = &redisDetail{blocks: true}
	}
}

// queue judges a command inside MULTI: by itself it is never safe.
func (k *redisConnection) queue(r *redis, c *redisCommand, req *Request) error {
	d := redisStateOf(c)
	switch {
	case d != nil && d.kind == redisSubscribe, c.name == "client" && c.sub() == "reply":
		return errRedis("request", "%s %s inside MULTI is not possible here: the length of EXEC's reply could not be known", c.label, c.sub())
	case d != nil:
		k.pending = append(k.pending, d.sent(c)...)
	default:
		k.look(r, c, req)
		k.unit.Unsafe = k.unit.Unsafe || !req.Safe
	}
	req.Safe, req.Label = false, req.Label+" in MULTI"
	d = &redisDetail{}
	req.Detail = d
	k.join(d)
	return nil
}

// transaction judges what begins and ends one. With the wrong number of arguments these commands do nothing.
func (k *redisConnection) transaction(c *redisCommand, req *Request) {
	d := &redisDetail{}
	req.Detail = d
	k.join(d)
	switch {
	case c.name == "watch" && c.argc > 1 && !k.multi:
		k.begin(d)
		k.unit.Watched = true
	case c.name == "multi" && c.argc == 1 && !k.multi:
		k.begin(d)
		k.multi, k.unit.Begun = true, true
	case k.multi && c.name == "exec" && c.argc == 1:
		d.kind, d.changes = redisExec, k.pending
		k.endUnit()
	case k.multi && c.name == "discard" && c.argc == 1:
		d.kind = redisEnd
		k.endUnit()
	}
}

// leave judges QUIT and RESET, which are never queued.
func (k *redisConnection) leave(c *redisCommand, req *Request) {
	d := &redisDetail{kind: redisEnd}
	if c.name == "quit" {
		k.closing = true
		req.Safe = true
	} else if c.argc == 1 {
		d.kind, d.changes = redisReset, []StateChange{{Void: true}}
		if k.off {
			req.Expect = ExpectOne
		}
		req.Safe = true
		k.off, k.resp3, k.channel, k.monitor = false, false, false, false
	} else {
		return
	}
	req.Detail = d
	k.join(d)
	k.endUnit()
}

// begin begins a unit with d if there is none.
func (k *redisConnection) begin(d *redisDetail) {
	if k.unit == nil {
		k.unit = &Unit{}
		k.join(d)
	}
}

// join makes d a part of the unit, if there is one.
func (k *redisConnection) join(d *redisDetail) {
	if k.unit != nil {
		d.unit = k.unit
		k.unit.Members++
	}
}

func (k *redisConnection) endUnit() {
	if k.unit != nil {
		k.unit.Ended = true
	}
	k.unit, k.multi, k.pending = nil, false, nil
}
