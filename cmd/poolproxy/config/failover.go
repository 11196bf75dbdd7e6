package config

import (
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

func defaultFailover() session.Failover {
	return session.Failover{
		Replay:   session.ReplayUnacked,
		Ack:      session.AckReply,
		Unsafe:   session.UnsafeRefuse,
		Resume:   defaultResume,
		Deadline: defaultDeadline,
		Attempts: defaultAttempts,
	}
}

func (r *reader) readFailover(u *userBlock, b *hclsyntax.Block) {
	f := &u.Failover
	u.failover = r.block(b, &shape{
		what: "a failover block",
		attributes: map[string]setter{
			"replay": word(r, &f.Replay, []choice[session.Replay]{
				{"none", session.ReplayNone}, {"unacked", session.ReplayUnacked}, {"session", session.ReplaySession},
			}),
			"ack":      word(r, &f.Ack, []choice[session.Ack]{{"reply", session.AckReply}, {"delivered", session.AckDelivered}}, "read"),
			"unsafe":   word(r, &f.Unsafe, []choice[session.Unsafe]{{"refuse", session.UnsafeRefuse}, {"replay", session.UnsafeReplay}}),
			"resume":   r.duration(&f.Resume, 0, mostTime),
			"deadline": r.duration(&f.Deadline, 100*time.Millisecond, mostTime),
			"attempts": r.integer(&f.Attempts, 1, 1000),

			"reply_timeout": r.duration(&f.ReplyTimeout, 0, mostTime),
		},
		later: []string{"fence", "fence_exec", "callback", "state", "chaos"},
	})
}

// settle sets what the protocol decides where the failover block is silent, and checks that the two agree. A pool_user whose protocol
// could not be read is left as it is.
func (r *reader) settle(u *userBlock) {
	f := &u.Failover
	if u.kind != "" {
		if _, set := u.failover["replay"]; !set && u.kind == "stream" {
			f.Replay = session.ReplayNone
		}
		if at, set := u.failover["ack"]; !set && !u.replies {
			f.Ack = session.AckDelivered
		} else if f.Ack == session.AckReply && !u.replies {
			r.fail(at, fmt.Sprintf(`ack = "reply" is impossible with this protocol %s`, u.kind),
				`It does not know which reply belongs to which request: write ack = "delivered".`)
		}
	}
	if u.kind == "stream" {
		// Replies are hashed where a new server's have to be compared with them, and the session's own history does not do it.
		u.Protocol = protocol.NewStream(protocol.StreamConfig{NoJoin: f.Replay != session.ReplayUnacked})
	}
	if at, set := u.failover["unsafe"]; set && f.Unsafe == session.UnsafeReplay && f.Replay == session.ReplayNone {
		r.fail(at, `unsafe = "replay" contradicts replay = "none"`,
			`With replay = "none" no request is sent twice: write replay = "unacked", or leave unsafe out.`)
	}
	if at, set := u.failover["reply_timeout"]; set && u.kind != "" && !u.replies {
		r.fail(at, fmt.Sprintf("reply_timeout is impossible with this protocol %s", u.kind),
			"It does not know when a reply is due: leave reply_timeout out.")
	}
	if f.Resume > f.Deadline {
		if at, set := u.failover["resume"]; set {
			r.fail(at, fmt.Sprintf("resume (%s) is longer than deadline (%s)", durationText(f.Resume), durationText(f.Deadline)),
				"The deadline bounds the whole failover, and resuming is its first part.")
		} else {
			f.Resume = f.Deadline // only the default was longer
		}
	}
}
