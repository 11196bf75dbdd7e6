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

// inFailover and misplacedInUser say where names belong that are looked for in other blocks.
const inFailover = "the failover block of a pool_user"

// inChaos is where it stands whether something may be disturbed.
const inChaos = "a pool or a pool_element"

var misplacedInUser = map[string]string{
	"health_check": inElement,
	"chaos":        "its pool",
	"callback":     "its failover block", "fence": "its failover block", "on_server_close": "its failover block",
}

func (r *reader) readFailover(u *userBlock, b *hclsyntax.Block) {
	f := &u.Failover
	u.failover = r.block(b, &shape{
		what: "a failover block",
		attributes: map[string]setter{
			"replay": word(r, &f.Replay, []choice[session.Replay]{
				{"none", session.ReplayNone}, {"unacked", session.ReplayUnacked}, {"session", session.ReplaySession},
			}),
			"ack": word(r, &f.Ack, []choice[session.Ack]{
				{"reply", session.AckReply}, {"read", session.AckRead}, {"delivered", session.AckDelivered},
			}),
			"unsafe":   word(r, &f.Unsafe, []choice[session.Unsafe]{{"refuse", session.UnsafeRefuse}, {"replay", session.UnsafeReplay}}),
			"resume":   r.duration(&f.Resume, 0, mostTime),
			"fence":    r.duration(&f.Fence, 0, mostTime),
			"deadline": r.duration(&f.Deadline, 100*time.Millisecond, mostTime),
			"attempts": r.integer(&f.Attempts, 1, 1000),

			"reply_timeout": r.duration(&f.ReplyTimeout, 0, mostTime),
			"on_server_close": word(r, &f.OnServerClose, []choice[session.ServerClose]{
				{"auto", session.CloseAuto}, {"close", session.CloseIsClose}, {"failover", session.CloseIsFailed},
			}),
		},
		many:      map[string]func(*hclsyntax.Block){"callback": func(b *hclsyntax.Block) { r.readCallback(u, b) }},
		misplaced: map[string]string{"fence_exec": inElement, "health_check": inElement, "state": "the protocol block", "chaos": inChaos},
	})
}

// settle sets what the protocol decides where the failover block is silent, and checks that the two agree. A pool_user whose protocol
// could not be read is left as it is.
func (r *reader) settle(u *userBlock) {
	f := &u.Failover
	if u.kind != "" {
		r.settleProtocol(u)
	}
	if u.kind == "stream" {
		// Replies are hashed where a new server's have to be compared with them, and the session's own history does not do it.
		u.Protocol = protocol.NewStream(protocol.StreamConfig{NoJoin: f.Replay != session.ReplayUnacked})
	}
	if at, set := u.failover["unsafe"]; set && f.Unsafe == session.UnsafeReplay && f.Replay == session.ReplayNone {
		r.fail(at, `unsafe = "replay" contradicts replay = "none"`,
			`With replay = "none" no request is sent twice: write replay = "unacked", or leave unsafe out.`)
	}
	r.settleTimes(u)
	r.settleCallbacks(u)
	r.idle(u)
}

// idle warns of settings that do nothing beside others.
func (r *reader) idle(u *userBlock) {
	f := &u.Failover
	if at, set := u.spoken["lost"]; set && f.Replay == session.ReplaySession {
		r.warn(at, `"lost" has no effect with replay = "session"`,
			"A session that is repeated as a whole has no place for an error in it, and ends (abort): leave lost out.")
	}
	if at, set := u.spoken["sync"]; set && u.replies && f.Replay != session.ReplaySession {
		r.warn(at, `"sync" has no effect without replay = "session"`,
			`Only there is anything kept that a point of rest could end: write failover { replay = "session" }, or leave sync out.`)
	}
	if at, set := u.failover["replay"]; set && f.Replay == session.ReplaySession && f.Unsafe == session.UnsafeRefuse && u.allUnsafe() {
		r.warn(at, `replay = "session" moves next to no session here: all requests are unsafe`,
			fmt.Sprintf(`A session with one unsafe request cannot be repeated, and this protocol %s calls none safe: write what may be repeated `+
				`into safe, or unsafe = "replay" if everything may.`, u.kind))
	}
	if at, set := u.failover["on_server_close"]; set && f.OnServerClose == session.CloseIsFailed && u.kind == "stream" && f.Replay == session.ReplayNone {
		r.warn(at, `on_server_close = "failover" has next to no effect here`,
			`Protocol stream is not moved with replay = "none", its default: write replay = "session" if the servers answer alike, or leave it out.`)
	}
}

// allUnsafe reports whether no request can be safe to repeat. Of a stream no request is known, so none is unsafe either.
func (u *userBlock) allUnsafe() bool {
	return u.Protocol != nil && (u.kind == "line" || u.kind == "length") && !u.safe
}

// settleProtocol is what depends on whether the protocol knows replies.
func (r *reader) settleProtocol(u *userBlock) {
	f := &u.Failover
	if !given(u.failover, "replay") && u.kind == "stream" {
		f.Replay = session.ReplayNone
	}
	if at, set := u.failover["ack"]; !set && !u.replies {
		f.Ack = session.AckDelivered
	} else if f.Ack == session.AckReply && !u.replies {
		r.fail(at, fmt.Sprintf(`ack = "reply" is impossible with this protocol %s`, u.kind),
			`It does not know which reply belongs to which request: write ack = "read" or "delivered".`)
	}
	if at, set := u.failover["reply_timeout"]; set && !u.replies {
		r.fail(at, fmt.Sprintf("reply_timeout is impossible with this protocol %s", u.kind),
			"It does not know when a reply is due: leave reply_timeout out.")
	}
}

// settleTimes makes the durations agree: resume is the first part of what deadline bounds, and an element may not give a leg up that
// its pool user still hopes to resume.
func (r *reader) settleTimes(u *userBlock) {
	f := &u.Failover
	if f.Resume > f.Deadline {
		if at, set := u.failover["resume"]; set {
			r.fail(at, fmt.Sprintf("resume (%s) is longer than deadline (%s)", durationText(f.Resume), durationText(f.Deadline)),
				"The deadline bounds the whole failover, and resuming is its first part.")
		} else {
			f.Resume = f.Deadline // only the default was longer
		}
	}
	at, set := u.failover["fence"]
	switch {
	case !set:
		f.Fence = max(defaultFence, f.Resume)
	case f.Fence >= f.Resume:
	case given(u.failover, "resume"):
		r.fail(at, fmt.Sprintf("fence (%s) is shorter than resume (%s)", durationText(f.Fence), durationText(f.Resume)),
			"The old server's connection would be closed while it is still to be resumed: make fence longer, or resume shorter.")
	default:
		f.Resume = f.Fence // only the default was longer
	}
}

// checkFence is for mapping tcp. Unsafe requests are repeated only when the old leg is certain to be dead, and in the worst case that is
// known only when fence has passed.
func (r *reader) checkFence(u *userBlock) {
	f := &u.Failover
	if f.Unsafe != session.UnsafeReplay || f.Deadline > f.Fence {
		return
	}
	at := u.failover["unsafe"]
	for _, name := range []string{"fence", "deadline"} {
		if set, ok := u.failover[name]; ok {
			at = set
		}
	}
	r.fail(at, fmt.Sprintf(`unsafe = "replay" needs a deadline (%s) that is longer than fence (%s)`, durationText(f.Deadline), durationText(f.Fence)),
		"An unsafe request is repeated only when the old server can certainly receive nothing more, which may take as long as fence.")
}

// checkDirect is for mapping none: there is no association that could be resumed, and no sidecar that could keep a leg.
func (r *reader) checkDirect(u *userBlock, p *poolBlock) {
	hint := fmt.Sprintf("Pool %q has mapping none: there is no association with a sidecar. Leave it out, or use mapping tcp.", p.Handle)
	for _, name := range []string{"resume", "fence"} {
		if at, set := u.failover[name]; set {
			r.fail(at, fmt.Sprintf("%q is impossible without a mapping", name), hint)
		}
	}
	for _, name := range []string{"heartbeat", "associations"} {
		if at, set := u.seen[name]; set {
			r.fail(at, fmt.Sprintf("%q is impossible without a mapping", name), hint)
		}
	}
	u.Failover.Resume, u.Failover.Fence = 0, 0
	r.checkLoop(u, p)
	at, set := u.failover["ack"]
	if !set || u.Failover.Ack != session.AckRead {
		return
	}
	for _, e := range p.elements {
		if own, known := ofThisHost(e.Address.Addr()); e.Address.IsValid() && known && !own {
			r.warn(at, fmt.Sprintf(`ack = "read" is impossible for element %q of pool %q, whose server is on another host (%s)`,
				e.Name, p.Handle, e.Address.Addr()),
				"What its server has read cannot be known here: its sessions have ack = \"delivered\". With mapping tcp its sidecar would know.")
			return
		}
	}
}
