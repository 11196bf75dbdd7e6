package config

import (
	"fmt"
	"math"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// What is recorded of a session by default, and of how many.
const (
	defaultRecord = 1 << 20
	defaultSample = math.MaxUint32 / 100
)

// readRehearsal reads what is recorded of sessions so that they can be rehearsed.
func (r *reader) readRehearsal(u *userBlock, b *hclsyntax.Block) {
	u.Rehearsal = &proxy.Rehearsal{Memory: defaultRecord, Sample: defaultSample}
	r.block(b, &shape{
		what: "a rehearsal block",
		attributes: map[string]setter{
			"memory": size(r, &u.Rehearsal.Memory, leastMemory, mostRecord),
			"sample": r.share(&u.Rehearsal.Sample),
		},
	})
}

// mostRecord is the longest record of one session, in bytes.
const mostRecord = 64 << 20

// checkRehearsal checks that the sessions of a pool_user can be rehearsed, if they are to be.
func (r *reader) checkRehearsal(u *userBlock, p *poolBlock) {
	at, set := u.seen["rehearsal"]
	switch {
	case !set:
	case len(p.rehearsals) == 0:
		r.fail(at, fmt.Sprintf("Pool %q has no element for rehearsals", p.Handle),
			`Add to the pool: element "r" { address = "host:port", rehearsal = true }, each on its own line. It gets no client's session.`)
	case p.Native:
		r.fail(at, `"rehearsal" is impossible with native elements`, "They keep the state of their sessions in cookies, which a rehearsal has not: leave it out.")
	case u.kind == "stream" && u.Failover.Replay != session.ReplaySession:
		r.fail(at, `A rehearsal of protocol stream needs replay = "session"`, "Of a stream nothing is known: it is repeated only where you have said that this "+
			`does no harm. Write failover { replay = "session" }, or leave rehearsal out.`)
	case u.kind != "" && u.kind != "stream" && !u.replies:
		r.fail(at, fmt.Sprintf("A rehearsal is impossible with this protocol %s", u.kind), "It does not know which reply belongs to which request, so there is nothing to compare: leave rehearsal out.")
	case leastSessions*(int64(u.Memory)+int64(u.Rehearsal.Memory)) > r.config.Limits.Memory:
		r.fail(at, fmt.Sprintf("The record of one session may take %s, all sessions together only %s", sizeText(int64(u.Rehearsal.Memory)), sizeText(r.config.Limits.Memory)),
			fmt.Sprintf("Make limits.memory at least %d times retrieval.memory and rehearsal.memory together.", leastSessions))
	}
}

// checkRehearsals checks the elements of a pool that are there for rehearsals.
func (r *reader) checkRehearsals(p *poolBlock) {
	if len(p.rehearsals) > 1 {
		r.fail(p.rehearsals[1].seen["rehearsal"], fmt.Sprintf("Pool %q has several elements for rehearsals", p.Handle), "One is enough: leave the others out.")
	}
	for _, e := range p.rehearsals {
		for _, value := range policyValues {
			if at, set := e.seen[value.name]; set {
				r.fail(at, fmt.Sprintf("%q has no effect on an element for rehearsals", value.name), "No policy ever names it: leave it out.")
			}
		}
	}
	if p.Native && len(p.rehearsals) > 0 {
		r.fail(p.rehearsals[0].seen["rehearsal"], `"rehearsal" is impossible with native elements`, "Leave that element out.")
		return
	}
	for _, u := range r.users {
		if u.Pool == p.Handle && u.Rehearsal != nil {
			return
		}
	}
	if len(p.rehearsals) > 0 {
		r.warn(p.rehearsals[0].seen["rehearsal"], fmt.Sprintf("Nothing is rehearsed at element %q of pool %q", p.rehearsals[0].Name, p.Handle),
			"No pool_user of the pool here records sessions: write rehearsal { } in one, or have one elsewhere.")
	}
}
