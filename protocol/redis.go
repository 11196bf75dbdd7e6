package protocol

import (
	"errors"
	"fmt"
)

// RedisConfig is the setting of protocol redis. Which commands may be repeated is the servers' knowledge, not ours: the
// functions are asked with names in lower case, "get", or "config|get" for a subcommand; they are called from all shards, and
// may learn while the proxy runs (see RedisCommands). What they do not know is unsafe.
type RedisConfig struct {
	// Safe says whether a command may be repeated without harm, and whether it is known at all. nil knows none.
	Safe func(command string) (readonly, known bool)

	// Divided says whether a command has subcommands that Safe may know. nil: any may have.
	Divided func(command string) bool

	// Blocks says whether a command may wait for something to happen before it is answered. nil: none does.
	Blocks func(command string) bool
}

type redis struct{ RedisConfig }

// NewRedis returns protocol redis: RESP2 and RESP3 (the RESP specification of redis.io, and redis 7's networking.c where that
// is silent) as unmodified clients and servers speak it.
//
// A request is one command, inline or an array; bulk strings pass as they come. Every command has one reply, but for CLIENT
// REPLY OFF and SKIP (none), and the SUBSCRIBE family, whose one reply is as many confirmations as it names channels. What a
// server sends unasked (published messages, invalidations, lines of MONITOR) has Cut.Push, and is held until it is complete if
// it is not longer than 64 KiB, so that a leg ends between pushes.
//
// Commands that set the state of their connection (Connection.Changes) are safe: that state is lost with the connection. Those
// of a transaction carry its Unit, and none of them is safe by itself. A SELECT that waits in a transaction changes the state
// when EXEC does: the change is EXEC's. Such a SELECT is not kept by itself, so its change has bytes of its own to send.
//
// Refused as ErrMalformed are, besides what is not RESP: HTTP (as servers do), and inside MULTI CLIENT REPLY and the SUBSCRIBE
// family, since the length of EXEC's reply could not be known then. SYNC and PSYNC make the connection opaque (ExpectUnknown).
func NewRedis(config RedisConfig) Protocol {
	if config.Safe == nil {
		config.Safe = func(string) (bool, bool) { return false, false }
	}
	if config.Divided == nil {
		config.Divided = func(string) bool { return true }
	}
	if config.Blocks == nil {
		config.Blocks = func(string) bool { return false }
	}
	return &redis{config}
}

func (r *redis) Name() string { return "redis" }

func (r *redis) Opaque() bool { return false }

func (r *redis) Requests() Requests { return &redisRequests{redis: r} }

func (r *redis) Replies() Replies { return &redisReplies{} }

// Abort is an error reply.
func (r *redis) Abort(reason string) []byte {
	return fmt.Appendf(nil, "-ERR poolproxy: %s\r\n", plainText(reason))
}

// Lost is an error reply like Abort's, and goes in place of one lost reply: of a pipeline of 50, each of those that are lost
// gets one. An EXEC that no server can have carried out gets EXECABORT, as if one of its commands had been refused. What asks
// for no more than an end gets its OK: the loss of the connection has done it (DISCARD, UNWATCH, QUIT).
func (r *redis) Lost(req *Request, doubt bool, reason string) []byte {
	if req == nil || req.Expect != ExpectOne {
		return nil
	}
	switch d := redisDetailOf(req); {
	case d.kind == redisExec && !doubt:
		return fmt.Appendf(nil, "-EXECABORT Transaction discarded: poolproxy: %s\r\n", plainText(reason))
	case d.kind == redisEnd:
		return []byte("+OK\r\n")
	}
	return r.Abort(reason)
}

var (
	errRedisTorn   = errors.New("protocol redis: a push of more than 64 KiB was cut in the middle, and is sent only once")
	errRedisOpaque = errors.New("protocol redis: nothing is known of replication streams")
)

// Join sends the request again as it was: the new reply must begin with what the client has. req is nil when no request is due and
// the client has part of a push.
func (r *redis) Join(req *Request, _ []byte, d Delivered) ([]byte, Joiner, error) {
	switch {
	case d.Detail == redisTorn{} || req == nil:
		return nil, nil, errRedisTorn
	case req.Expect == ExpectUnknown:
		return nil, nil, errRedisOpaque
	}
	return nil, newRedisJoiner(d, req), nil
}

// errRedis is an ErrMalformed that says where.
func errRedis(where, format string, args ...any) error {
	return fmt.Errorf("%w: redis %s: %s", ErrMalformed, where, fmt.Sprintf(format, args...))
}
