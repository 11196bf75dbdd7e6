package session

import (
	"fmt"
	"testing"
)

// traps are the 24 things that replay must never do (docs/replay.md), each with a test that makes the situation happen and pulls the
// plug where it hurts.
var traps = []struct {
	name, says string
	try        func(*testing.T)
}{
	{"T1", "Never replay past an in-doubt commit.", trapCommit},
	{"T2", "Never resend a request that was already written to the server unless policy says so.", trapWritten},
	{"T3", "Never re-run one statement of a broken multi-message unit on a fresh connection.", trapUnit},
	{"T4", "Never continue after a mismatch.", trapMismatch},
	{"T5", "Never treat the prefix that the client already has as fresh.", trapPrefix},
	{"T6", "Never restore session state out of order.", trapOrder},
	{"T7", "Never trust text matching to know that the session is clean.", trapMatching},
	{"T8", "Never replay side effects outside the pool.", trapSideEffects},
	{"T9", "Never replay what an operator killed.", trapKilled},
	{"T10", "Never start on the new server before the old one is fenced.", trapFence},
	{"T11", "Never retry a poison request across the pool.", trapPoison},
	{"T12", "Never let buffering be unbounded or implicit.", trapBuffers},
	{"T13", "Never drop unacknowledged data by size while pretending resumability.", trapDropped},
	{"T14", "Never read end of file as death, or death as end of file.", trapEndOfFile},
	{"T15", "Never take sizes or offsets from the peer unchecked.", trapOffsets},
	{"T16", "Never skip authorisation on resume.", trapAuthorisation},
	{"T17", "Never need a first event before resume works.", trapFirstEvent},
	{"T18", "Never resend stale business messages blindly.", trapStale},
	{"T19", "Never cache \"server is down\" longer than the failover takes.", trapCachedFailure},
	{"T20", "Never lie in the error.", trapLie},
	{"T21", "Never ship a failover switch without a test that pulls the plug.", trapSwitches},
	{"T22", "Never fail back automatically under live sessions.", trapFailBack},
	{"T23", "Never release output before it can be reproduced, or state clearly that this mode is not on.", trapOutput},
	{"T24", "Never forget crash timing ambiguity: done, not done, unknown.", trapTiming},
}

func TestTraps(t *testing.T) {
	for i, x := range traps {
		if want := fmt.Sprintf("T%d", i+1); x.name != want {
			t.Errorf("%s stands in the place of %s", x.name, want)
		}
		t.Run(x.name, x.try)
	}
}
