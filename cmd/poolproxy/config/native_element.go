package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
)

// readElementProtocol reads the protocol of a pool_element, which has one if its pool users are native.
func (r *reader) readElementProtocol(e *elementBlock, b *hclsyntax.Block) {
	switch kind := label(b); kind {
	case "http", "redis":
		r.fail(b.LabelRanges[0], fmt.Sprintf("protocol %q is impossible with native peers", kind),
			"They are sent one message of SCTP for each of the protocol, and are told of no other ends: use line, length or stream.")
		return
	}
	var u userBlock
	r.readProtocol(&u, b)
	e.ProtocolDigest = u.ProtocolDigest
	if e.Protocol = u.Protocol; u.kind == "stream" {
		e.Protocol = protocol.NewStream(protocol.StreamConfig{NoJoin: true})
	}
	for _, name := range []string{"safe", "sync", "state", "transaction", "abort", "lost"} {
		if at, set := u.spoken[name]; set {
			r.fail(at, fmt.Sprintf("%q has no effect in a pool_element", name),
				"Native pool users repeat by themselves what they need to, and nothing is said in the server's place: leave it out.")
		}
	}
}

// checkNativeElement checks what a pool_element says of native peers.
func (r *reader) checkNativeElement(e *elementBlock) {
	if e.broken {
		return
	}
	if !e.Native {
		for _, name := range []string{"ppid", "protocol"} {
			if at, set := e.seen[name]; set {
				r.fail(at, fmt.Sprintf("%q is impossible without native peers", name),
					`Between sidecars the pool_user has it: write peer = "native" in the pool_element, or leave it out.`)
			}
		}
		return
	}
	if at := e.seen["peer"]; e.Mapping != mapping.SCTP {
		r.fail(at, `peer = "native" is impossible without mapping sctp`, `Only SCTP has it: write mapping = "sctp", or leave it out.`)
	} else if e.Protocol == nil {
		r.fail(at, `peer = "native" needs a protocol`,
			`It says where the server's messages end, each of which is one of SCTP. Add: protocol "line" {}, or length, or stream.`)
	}
	if at, set := e.seen["business_card"]; set {
		r.fail(at, `"business_card" is impossible with native peers`, "Native pool users are not sent one in this version: leave it out.")
	}
	if at, set := e.seen["cookie_key_file"]; set {
		r.fail(at, `"cookie_key_file" is impossible with native peers`, "They know nothing of signatures, so their cookies have none: leave it out.")
	}
	for _, name := range []string{"hold", "fence_exec"} {
		if at, set := e.seen[name]; set {
			r.fail(at, fmt.Sprintf("%q is impossible with native peers", name),
				"A session of theirs ends with its association, and they go on at another element by themselves: leave it out.")
		}
	}
}
