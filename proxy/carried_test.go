package proxy

import (
	"bytes"
	"net/netip"
	"testing"
)

func FuzzCarried(f *testing.F) {
	for _, c := range []carried{
		{kind: carriedUser, block: "orders", state: []byte("state")},
		{kind: carriedSession, shard: 3, block: "orders", ended: true, conn: []byte("kept"), state: []byte("state")},
		{kind: carriedLeg, block: "orders", server: netip.MustParseAddrPort("[::1]:80"), element: "a", listener: 4711, failed: true},
	} {
		f.Add(c.append(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var c, again carried
		if c.parse(p) != nil {
			return
		}
		if err := again.parse(c.append(nil)); err != nil || !bytes.Equal(again.append(nil), c.append(nil)) {
			t.Fatalf("%x: %+v, then %+v, %v", p, c, again, err)
		}
		if again.block != c.block || again.server != c.server || again.shard != c.shard || again.listener != c.listener ||
			!bytes.Equal(again.state, c.state) || !bytes.Equal(again.conn, c.conn) {
			t.Fatalf("%+v, then %+v", c, again)
		}
	})
}
