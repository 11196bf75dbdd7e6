package loop

import "testing"

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
