package config

import (
	"fmt"
	"math"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// The PPIDs of the sidecars themselves: those in use, and as many more.
const (
	firstOwnPPID = mapping.PPIDControl &^ 0xf
	lastOwnPPID  = mapping.PPIDControl | 0xf
)

// peers are the words for who stands at the other end of an association; true is a native peer.
var peers = []choice[bool]{{"sidecar", false}, {"native", true}}

// ppid reads a payload protocol identifier of an application.
func (r *reader) ppid(dst *uint32) setter {
	return func(a *hclsyntax.Attribute) {
		n, ok := r.whole(a.Name, a.Expr, 0, math.MaxUint32)
		switch {
		case !ok:
		case n == asap.PPID:
			r.fail(a.Expr.Range(), "ppid = 11 is that of ASAP", "Peers would take what the application says for messages of RSerPool: write the application's own, or 0 if it has none.")
		case uint32(n) >= firstOwnPPID && uint32(n) <= lastOwnPPID:
			r.fail(a.Expr.Range(), fmt.Sprintf("ppid = %#x is one of poolproxy's own", n), "Write the application's own, or 0 if it has none.")
		default:
			*dst = uint32(n)
		}
	}
}

// checkNativePool checks what a pool says of native peers.
func (r *reader) checkNativePool(p *poolBlock) {
	if p.broken {
		return
	}
	if p.Native && p.Mapping != mapping.SCTP {
		r.fail(p.seen["peer"], `peer = "native" is impossible without mapping sctp`,
			`RSerPool applications speak SCTP: write mapping = "sctp". Plain servers have mapping = "none" and no peer.`)
	} else if at, set := p.seen["ppid"]; set && !p.Native {
		r.fail(at, `"ppid" is impossible without native peers`, `Sidecars have PPIDs of their own: write peer = "native" in the pool, or leave ppid out.`)
	}
}

// checkNative checks a pool_user whose pool has native elements: there are no sidecars that could keep a leg, or know what a server has
// read.
func (r *reader) checkNative(u *userBlock, p *poolBlock) {
	hint := fmt.Sprintf("Pool %q has native elements: each session has an association of its own, and no sidecar keeps it. Leave it out.", p.Handle)
	for _, name := range []string{"resume", "fence"} {
		if at, set := u.failover[name]; set {
			r.fail(at, fmt.Sprintf("%q is impossible with native elements", name), hint)
		}
	}
	if at, set := u.seen["associations"]; set {
		r.fail(at, `"associations" is impossible with native elements`, hint)
	}
	if at, set := u.failover["ack"]; set && u.Failover.Ack == session.AckRead {
		r.fail(at, `ack = "read" is impossible with native elements`,
			"A kernel acknowledges what its process may never read, and nobody else can tell: write reply or delivered.")
	}
	if u.kind == "http" || u.kind == "redis" {
		r.fail(u.seen["protocol"], fmt.Sprintf("protocol %q is impossible with native elements", u.kind),
			"They are sent one message of SCTP for each of the protocol, and are told of no other ends: use line, length or stream.")
	}
	u.Failover.Resume, u.Failover.Fence = 0, 0
}
