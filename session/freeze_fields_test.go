package session

import (
	"path/filepath"
	"testing"

	"github.com/poolproxy/poolproxy/freeze/freezetest"
)

// notFrozen are the fields that do not leave their process, with the reason.
var notFrozen = map[string]string{
	"Session.u": "the new process's", "Session.requests": "", "Session.opaque": "the protocol says it", "Session.done": "who has ended is not frozen",
	"Session.silence": "", "Session.script": "it is dropped: whoever is served by another process is not recorded from the beginning", "Session.out": "",
	"Session.entered": "ThawSession finds it", "Session.inLine": "it looks for an element anew", "Session.letIn": "it loses its turn",
	"userLeg.s": "", "userLeg.link": "legPlace", "userLeg.stream": "of the association", "userLeg.waits": "of the association", "userLeg.owes": "of the association",
	"userLeg.lastUnsafe": "goOn finds it", "userLeg.leaving": "User.Drains finds it", "userLeg.stays": "User.Drains finds it", "userLeg.inVain": "User.Drains finds it",
	"userLeg.unready": "within an event", "Session.unready": "pauses begin anew", "userLeg.since": "that of its association", "userLeg.reached": "it counts from there",
	"userLeg.stuck": "User.Drains finds it", "userLeg.heldSince": "User.Drains finds it", "userLeg.over": "the session's leg is not over", "userLeg.heard": "the session's leg is not over",
	"restore.asking": "it is asked again", "step.expect": "asks", "plan.losses": "it is carried out", "plan.units": "it is carried out", "plan.dropped": "it is carried out",
	"Record.Unprotected": "who has ended is not frozen",
	"Leg.e":              "the new process's", "Leg.link": "of the association", "Leg.stream": "of the association", "Leg.owes": "of the association", "Leg.endSent": "of the association",
	"Leg.waits": "of the association", "Leg.used": "the credit goes on from what is written", "Leg.over": "who has ended is not frozen", "Leg.heard": "who has ended is not frozen", "Leg.cookieOwed": "resumed finds it",
	"Leg.sent": "of the association", "Leg.timer": "heldUntil",
	"outlet.socket": "the new process's", "outlet.pool": "the new process's", "outlet.one": "scratch", "outlet.gathering": "within an event",
}

// A field that somebody adds is frozen, or it is said why it is not.
func TestEveryFieldIsFrozen(t *testing.T) {
	names, err := filepath.Glob("*freeze*.go")
	if err != nil {
		t.Fatal(err)
	}
	freezetest.Fields(t, append(names, "thaw_user.go", "thaw_element.go"), notFrozen,
		Session{}, userLeg{}, restore{}, step{}, plan{}, span{}, request{}, state{}, states{}, history{}, Record{}, Leg{}, reading{}, outlet{}, endings{})
}
