package session

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/whence"
)

// token16 is a token of bytes that count up from first.
func token16(first byte) (t Token) {
	for i := range t {
		t[i] = first + byte(i)
	}
	return t
}

// Two clients' connections.
var (
	ends4 = whence.Ends{Client: netip.MustParseAddrPort("192.0.2.1:54321"), Dialed: netip.MustParseAddrPort("10.0.0.5:80")}
	ends6 = whence.Ends{Client: netip.MustParseAddrPort("[2001:db8::1]:54321"), Dialed: netip.MustParseAddrPort("[2001:db8::2]:443")}
)

// golden is a message of every type with its bytes. The same bytes stand in docs/protocol.md.
var golden = []struct {
	name string
	m    message
	hex  string
}{
	{"HELLO", message{typ: typeHello, version: 1, oldest: 1, instance: token16(0x10), credit: 0x10000, silence: 4 * time.Second, text: "b"},
		"01010100 101112131415161718191a1b1c1d1e1f 0000000000010000 00000fa0 62"},
	{"OPEN", message{typ: typeOpen, token: token16(0x20), session: 7, leg: 2, hold: 7500 * time.Millisecond, text: "orders"},
		"02000000 202122232425262728292a2b2c2d2e2f 0000000000000007 00000002 00001d4c 6f7264657273"},
	{"OPEN, with reading", message{typ: typeOpen, token: token16(0x20), session: 7, leg: 2, hold: 7500 * time.Millisecond, reads: true},
		"02000100 202122232425262728292a2b2c2d2e2f 0000000000000007 00000002 00001d4c"},
	{"OPEN, for a client of IPv4", message{typ: typeOpen, token: token16(0x20), session: 7, leg: 2, hold: 7500 * time.Millisecond, text: "orders", ends: ends4},
		"0200000c 202122232425262728292a2b2c2d2e2f 0000000000000007 00000002 00001d4c c0000201 0a000005 d431 0050 6f7264657273"},
	{"OPEN, for a client of IPv6", message{typ: typeOpen, token: token16(0x20), session: 7, leg: 2, hold: 7500 * time.Millisecond, ends: ends6},
		"02000024 202122232425262728292a2b2c2d2e2f 0000000000000007 00000002 00001d4c 20010db8000000000000000000000001 20010db8000000000000000000000002 d431 01bb"},
	{"OPENED", message{typ: typeOpened}, "03000000"},
	{"OPENED, reading is known", message{typ: typeOpened, reads: true}, "03000100"},
	{"REFUSED", message{typ: typeRefused, code: CodeServer, text: "no"}, "04010000 6e6f"},
	{"RESUME", message{typ: typeResume, token: token16(0x20), leg: 2, received: 0x123456789, credit: 0x123466789},
		"05000000 202122232425262728292a2b2c2d2e2f 00000002 0000000123456789 0000000123466789"},
	{"RESUMED", message{typ: typeResumed, received: 300, credit: 65836}, "06000000 000000000000012c 000000000001012c"},
	{"ACK", message{typ: typeAck, received: 300, credit: 65836}, "07000000 000000000000012c 000000000001012c"},
	{"FINISH", message{typ: typeFinish, total: 1<<62 - 1}, "08000000 3fffffffffffffff"},
	{"RESET", message{typ: typeReset, code: CodeAbandoned, text: "bye"}, "09090000 627965"},
	{"LEG-FAILED", message{typ: typeLegFailed, code: CodeServerReset, listens: true, received: 5, text: "x"},
		"0a070100 0000000000000005 78"},
	{"LEG-FAILED, nobody listens", message{typ: typeLegFailed, code: CodeServerEnded, received: 5}, "0a080000 0000000000000005"},
	{"CLOSED", message{typ: typeClosed}, "0b000000"},
	{"HOLD", message{typ: typeHold, total: 300}, "0c000000 000000000000012c"},
	{"GIVE-UP", message{typ: typeGiveUp}, "0d000000"},
	{"DRAIN", message{typ: typeDrain, drains: true, text: "it stops"}, "0e000100 69742073746f7073"},
	{"DRAIN, no more", message{typ: typeDrain}, "0e000000"},
}

func unhex(t testing.TB, s string) []byte {
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGoldenMessages(t *testing.T) {
	seen := make(map[uint8]bool)
	for _, g := range golden {
		want := unhex(t, g.hex)
		if got := g.m.append([]byte("before")); !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Errorf("%s is written as %x, not %x", g.name, got[6:], want)
		}
		var m message
		if err := m.parse(want); err != nil || m != g.m {
			t.Errorf("%s is read as %+v, %v", g.name, m, err)
		}
		if m.terminal() != slices.Contains([]uint8{typeRefused, typeReset, typeLegFailed, typeClosed}, m.typ) {
			t.Errorf("%s: terminal is %v", g.name, m.terminal())
		}
		seen[m.typ] = true
	}
	if len(seen) != len(layout)-1 {
		t.Errorf("%d of %d types have golden bytes", len(seen), len(layout)-1)
	}
}

// What a sender of a later minor form may set is ignored, and not kept.
func TestReservedBytesIgnored(t *testing.T) {
	var m message
	if err := m.parse(unhex(t, "0700ffff 000000000000012c 000000000001012c")); err != nil || m.listens {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestTextsAreCut(t *testing.T) {
	long := message{typ: typeReset, text: strings.Repeat("x", 10_000)}
	p := long.append(nil)
	var m message
	if err := m.parse(p); err != nil || len(m.text) != maxText {
		t.Errorf("%d bytes of text, %v", len(m.text), err)
	}
}

func TestBadMessages(t *testing.T) {
	type bad struct{ name, hex, says string }
	table := []bad{
		{"empty", "", "empty"},
		{"type 0", "00000000", "type 0"},
		{"type 15", "0f000000", "type 15"},
		{"type 255", "ff", "type 255"},
		{"offset 2^62", "08000000 4000000000000000", "out of range"},
		{"offset 2^63", "08000000 8000000000000000", "out of range"},
		{"received -1", "07000000 ffffffffffffffff 0000000000000001", "out of range"},
		{"credit -1", "07000000 0000000000000001 ffffffffffffffff", "out of range"},
		{"resumed at 2^62", "06000000 4000000000000000 0000000000000001", "out of range"},
		{"resume at 2^62", "05000000 202122232425262728292a2b2c2d2e2f 00000002 4000000000000000 0000000000000001", "out of range"},
		{"written 2^62", "0a070000 4000000000000000", "out of range"},
		{"first credit", "01010100 101112131415161718191a1b1c1d1e1f 0000000040000001 00000000", "first credit"},
		{"addresses of 11 bytes", "0200000b 202122232425262728292a2b2c2d2e2f 0000000000000007 00000002 00001d4c c0000201 0a000005 d431 00", "addresses of 11 bytes"},
		{"addresses that are not there", "02000024 202122232425262728292a2b2c2d2e2f 0000000000000007 00000002 00001d4c c0000201 0a000005 d431 0050", "has 48 bytes, not 72"},
		{"addresses of 255 bytes", "020000ff 202122232425262728292a2b2c2d2e2f 0000000000000007 00000002 00001d4c" + strings.Repeat("00", 255), "addresses of 255 bytes"},
		{"first credit 2^62", "01010100 101112131415161718191a1b1c1d1e1f 4000000000000000 00000000", "out of range"},
	}
	for _, g := range golden {
		var fixed message
		p := unhex(t, g.hex)
		if err := fixed.parse(p); err != nil {
			t.Fatal(err)
		}
		short, long := p[:layout[p[0]]-1], append(bytes.Clone(p), make([]byte, maxText+1)...)
		table = append(table, bad{g.name + ", a byte short", hex.EncodeToString(short), "bytes"},
			bad{g.name + ", too long", hex.EncodeToString(long), "bytes"})
	}
	for _, b := range table {
		var m message
		if err := m.parse(unhex(t, b.hex)); !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), b.says) {
			t.Errorf("%s: %v, want %q", b.name, err, b.says)
		}
	}
}

func TestWords(t *testing.T) {
	for c := CodeNone; c <= CodeUnauthorized; c++ {
		if strings.HasPrefix(c.String(), "code ") {
			t.Errorf("code %d has no words", c)
		}
	}
	if got := Code(200).String(); got != "code 200" {
		t.Errorf("an unknown code is %q", got)
	}
	if got := token16(0xa0).String(); got != "a0a1a2a3…" {
		t.Errorf("a token shows as %q: it is a secret", got)
	}
}

// canonical is p with everything that a reader ignores set to what a writer sends.
func canonical(p []byte) []byte {
	c := bytes.Clone(p)
	if c[0] != typeOpen {
		c[3] = 0
	}
	flagged := c[0] == typeOpen || c[0] == typeOpened || c[0] == typeLegFailed || c[0] == typeDrain
	if c[0] != typeHello && !(flagged && c[2] == 1) {
		c[2] = 0
	}
	return c
}

// FuzzMessages: whatever comes, nothing panics, and what is accepted is written again as it came, but for what a reader ignores.
func FuzzMessages(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(f, g.hex))
	}
	f.Add(unhex(f, "08000000 4000000000000000"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var m, again message
		if err := m.parse(p); err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatalf("%v does not wrap ErrMessage", err)
			}
			return
		}
		if len(m.text) > maxText || m.received < 0 || m.credit < 0 || m.total < 0 || m.hold < 0 {
			t.Fatalf("out of range: %+v", m)
		}
		q := m.append(nil)
		if !bytes.Equal(q, canonical(p)) {
			t.Fatalf("%x is written again as %x", p, q)
		}
		if err := again.parse(q); err != nil || again != m {
			t.Fatalf("%+v is read again as %+v, %v", m, again, err)
		}
	})
}
