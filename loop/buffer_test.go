package loop

import (
	"sync/atomic"
	"testing"
)

func TestPool(t *testing.T) {
	var p Pool
	for _, c := range []struct{ ask, size int }{{0, SmallBuffer}, {1, SmallBuffer}, {SmallBuffer, SmallBuffer},
		{SmallBuffer + 1, LargeBuffer}, {LargeBuffer, LargeBuffer}} {
		b := p.Get(c.ask)
		if len(b.Bytes) != c.size || p.Out() != c.size {
			t.Errorf("asked for %d: got %d bytes, %d out", c.ask, len(b.Bytes), p.Out())
		}
		b.Hold()
		b.Drop()
		if p.Out() != c.size {
			t.Error("came back while it had a holder")
		}
		b.Drop()
		if p.Out() != 0 {
			t.Errorf("%d bytes out, though all came back", p.Out())
		}
	}
	first := p.Get(1)
	if second := p.Get(1); second == first {
		t.Error("one block was handed out twice")
	}
	first.Drop()
	if again := p.Get(1); again != first {
		t.Error("a block that came back was not used again")
	}
}

func TestPoolMistakesPanic(t *testing.T) {
	var p Pool
	dropped := p.Get(1)
	dropped.Drop()
	for name, mistake := range map[string]func(){
		"too large":     func() { p.Get(LargeBuffer + 1) },
		"dropped twice": dropped.Drop,
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			mistake()
		}()
	}
}

func TestPoolKeepsABoundedNumber(t *testing.T) {
	var p Pool
	out := make([]*Buffer, keepFree+10)
	for i := range out {
		out[i] = p.Get(1)
	}
	for _, b := range out {
		b.Drop()
	}
	if len(p.small) != keepFree || p.Out() != 0 {
		t.Errorf("%d kept, %d bytes out", len(p.small), p.Out())
	}
}

// Pools that share a total know what all of them have handed out, as exactly as was promised, and all that has come back.
func TestPoolsShare(t *testing.T) {
	var total atomic.Int64
	pools := make([]Pool, 3)
	for i := range pools {
		pools[i].Share(&total)
	}
	out := int64(0)
	wrong := func() {
		for i := range pools {
			if d := pools[i].Total() - out; d < -2*TellEvery || d > 2*TellEvery {
				t.Errorf("pool %d: %d bytes, %d are out", i, pools[i].Total(), out)
			}
		}
	}
	var buffers []*Buffer
	for i := range 300 {
		buffers = append(buffers, pools[i%3].Get(1+i%2*SmallBuffer))
		out += int64(len(buffers[i].Bytes))
		wrong()
	}
	for _, b := range buffers {
		out -= int64(len(b.Bytes))
		b.Drop()
		wrong()
	}
	if d := total.Load(); d <= -3*TellEvery || d >= 3*TellEvery {
		t.Errorf("%d bytes at the end", d)
	}
}
