package proxy

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop/looptest"
)

// exec has the pool_element's sidecar replaced by another process, as an upgrade does.
func (r *registerRig) exec() {
	r.Helper()
	h, old := r.shard.loop.(*looptest.Host), r.shard
	inTurn(h, func() {
		var pieces []handedOver
		err := old.freeze(&Frozen{}, func(piece []byte, fd int) error {
			pieces = append(pieces, handedOver{append([]byte{}, piece...), fd})
			return nil
		})
		h.Exec()
		if err == nil {
			r.shard, err = NewVirtualShard(h, old.config, hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Debug}), nil, old.random)
		}
		for _, p := range pieces {
			var c carried
			if err == nil {
				err = c.parse(p.piece)
			}
			if err == nil {
				err = r.shard.take(&c, p.fd)
			}
		}
		if err != nil {
			r.Error(err)
			return
		}
		r.shard.resume()
	})
	r.world.RunFor(3 * time.Second)
}

// A pool_element that its operator has drained is drained in the process that takes over: it says so, does not register itself again, and its
// pool users are told; and it is drained no more when the operator says so there.
func TestUpgradeDrained(t *testing.T) {
	for _, native := range []bool{false, true} {
		r := newRegisterRig(t, func(e *Element) { e.Native = native })
		r.serves(true)
		r.world.RunFor(3 * time.Second)
		r.wants("register a@orders in orders", regRegistered)
		drain := func(on bool) {
			r.shard.loop.(*looptest.Host).Post(func() { r.shard.drain("a", on) })
			r.world.RunFor(3 * time.Second)
		}
		drain(true)
		r.wants("deregister a@orders", regWaiting)
		for range 2 {
			r.exec()
			r.wants("", regWaiting)
			var d Draining
			if !r.shard.draining("a", &d) || !d.Draining {
				t.Errorf("native %t: %+v", native, d)
			}
		}
		drain(false)
		r.wants("register a@orders in orders", regRegistered)
	}
}
