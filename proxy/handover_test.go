//go:build linux

package proxy

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// What somebody wants changed while the proxy is handed over waits for the end of that. It is not said to be done if another process goes on,
// which knows nothing of it.
func TestChangeWhileHandedOver(t *testing.T) {
	x := newReloadRig(t, mapping.None, pool.Element{Name: "a", Address: netip.MustParseAddrPort("127.0.0.1:9")})
	for _, leaves := range []bool{false, true} {
		frozen, err := x.proxy.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		answers := make(chan error)
		go func() { answers <- x.proxy.Drain("a") }()
		if !leaves {
			frozen.Thaw()
			if err := <-answers; err != nil {
				t.Errorf("it goes on: %v", err)
			}
			continue
		}
		frozen.Leave()
		if err := <-answers; !errors.Is(err, ErrReplaced) {
			t.Errorf("another process goes on: %v", err)
		}
		if _, err := x.proxy.Reload(x.config); !errors.Is(err, ErrReplaced) {
			t.Errorf("another process goes on: %v", err)
		}
		x.proxy.letGo() // the test ends, not the process
	}
}
