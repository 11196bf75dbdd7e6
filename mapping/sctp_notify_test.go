package mapping

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func TestParseNotification(t *testing.T) {
	path := netip.MustParseAddrPort("10.1.0.2:7001")
	head := func(kind, flags uint16) []byte { return layOut(kind, flags, uint32(0)) }
	for _, tt := range []struct {
		name  string
		bytes []byte
		want  notification
	}{
		{"up", layOut(head(notifyAssociation, 0), uint16(associationUp), uint16(0), uint16(100), uint16(200), uint32(5)),
			notification{kind: notifyAssociation, state: associationUp, out: 100, in: 200}},
		{"lost", layOut(head(notifyAssociation, 0), uint16(associationLost), uint16(12), uint16(0), uint16(0), uint32(5), []byte("chunk")),
			notification{kind: notifyAssociation, state: associationLost, cause: 12}},
		{"path", layOut(head(notifyPath, 0), appendStorage(nil, path), uint32(1), uint32(0), uint32(5)),
			notification{kind: notifyPath, state: 1, path: path}},
		{"send failed", layOut(head(notifySendFailed, 1), uint32(3), uint16(7), uint16(3), uint32(9), uint32(77), uint32(5), uint32(5), []byte("text")),
			notification{kind: notifySendFailed, flags: 1, cause: 3, context: 77, sent: true}},
		{"dry", head(notifyDry, 0), notification{kind: notifyDry}},
		{"unknown", head(0x80ff, 4), notification{kind: 0x80ff, flags: 4}},
	} {
		got, err := parseNotification(tt.bytes)
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
		if _, err := parseNotification(tt.bytes[:7]); !errors.Is(err, errNotification) {
			t.Errorf("%s, cut: %v", tt.name, err)
		}
	}
}

func TestParseSockaddrs(t *testing.T) {
	want := []netip.AddrPort{netip.MustParseAddrPort("10.1.0.2:7001"), netip.MustParseAddrPort("[fd00::1]:7001"),
		netip.MustParseAddrPort("192.0.2.7:7001")}
	var packed []byte
	for _, a := range want {
		size := inet6Size
		if a.Addr().Is4() {
			size = inet4Size
		}
		packed = append(packed, appendStorage(nil, a)[:size]...)
	}
	if got := parseSockaddrs(packed, 3); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := parseSockaddrs(packed[:40], 3); len(got) != 1 {
		t.Errorf("of a list that ends early: %v", got)
	}
}

func FuzzNotification(f *testing.F) {
	f.Add(layOut(uint16(notifyPath), uint16(0), uint32(0), make([]byte, 140)))
	f.Add(layOut(uint16(notifySendFailed), uint16(1), uint32(0), make([]byte, 40)))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parseNotification(b)
		if err == nil && len(b) < notifyHeader || err != nil && !errors.Is(err, errNotification) {
			t.Errorf("%+v, %v", n, err)
		}
		parseSockaddrs(b, len(b))
	})
}
