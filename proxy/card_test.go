package proxy

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// The bytes that stand in docs/protocol.md, made by another program; and what differs over SCTP.
func TestCardBytes(t *testing.T) {
	const want = "0d000034 0009000777656200 000a0028 0000000000000000ffffffff 000500101b590000 000100080a000002 0008000800000001"
	c := &Card{Pool: "web", Order: []netip.AddrPort{netip.MustParseAddrPort("[::ffff:10.0.0.2]:7001")}}
	p, err := asap.Append(nil, *c.message(mapping.TCP))
	if err != nil || hex.EncodeToString(p) != strings.ReplaceAll(want, " ", "") {
		t.Errorf("%x, %v", p, err)
	}
	if to := c.message(mapping.SCTP).Elements[0].User; to.Protocol != asap.SCTP || to.Use != asap.DataPlusControl {
		t.Errorf("over SCTP: %+v", to)
	}
	if (*Card)(nil).message(mapping.TCP) != nil {
		t.Error("no card is one")
	}
}

// The longest card that the configuration takes can be written.
func TestLongestCard(t *testing.T) {
	c := &Card{Pool: strings.Repeat("p", 255)}
	for i := range 16 {
		c.Order = append(c.Order, netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}), 7001))
	}
	p, err := asap.Append(nil, *c.message(mapping.SCTP))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := asap.Parse(p); err != nil {
		t.Error(err)
	}
}
