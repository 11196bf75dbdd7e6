package proxy

import (
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/whence"
)

// The server of native pool users is told their address, before what they say.
func TestNativeElementHeader(t *testing.T) {
	for seed := range uint64(20) {
		r := newNativeElementRig(t, seed, Limits{}, framed(t))
		r.side.sendProxy = whence.Version(1 + seed%2)
		u := r.user()
		u.say(testPPID, frame("one"))
		r.until("it has come", func() bool {
			return len(r.conns) == 1 && strings.HasSuffix(string(r.conns[0].got), string(frame("one")))
		})
		ends := whence.Ends{Client: r.only().association.Remote(), Dialed: r.only().association.Local()}
		if want := string(r.side.sendProxy.Append(nil, ends)) + string(frame("one")); string(r.conns[0].got) != want {
			t.Errorf("the server got %q, not %q", r.conns[0].got, want)
		}
	}
}
