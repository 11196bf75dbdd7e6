package whence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func ends(client, dialed string) Ends {
	return Ends{Client: netip.MustParseAddrPort(client), Dialed: netip.MustParseAddrPort(dialed)}
}

// signature is that of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 is a header of version 2 by hand.
func v2(command, family byte, body string) string {
	return string(binary.BigEndian.AppendUint16([]byte(signature+string([]byte{command, family})), uint16(len(body)))) + body
}

const (
	four = "\xc0\x00\x02\x01\x0a\x00\x00\x05\xd4\x31\x00\x50"
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xd4\x31\x01\xbb"
)

var (
	ends4 = ends("192.0.2.1:54321", "10.0.0.5:80")
	ends6 = ends("[2001:db8::1]:54321", "[2001:db8::2]:443")
)

// headers are good ones, and what they say.
var headers = []struct {
	name, header string
	want         Ends
}{
	{"v1, IPv4", "PROXY TCP4 192.0.2.1 10.0.0.5 54321 80\r\n", ends4},
	{"v1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 54321 443\r\n", ends6},
	{"v1, IPv4 in IPv6 clothes", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.5 54321 80\r\n", ends4},
	{"v1, UNKNOWN", "PROXY UNKNOWN\r\n", Ends{}},
	{"v1, UNKNOWN, the longest", "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", Ends{}},
	{"v2, IPv4", v2(0x21, 0x11, four), ends4},
	{"v2, IPv6", v2(0x21, 0x21, six), ends6},
	{"v2, with TLVs", v2(0x21, 0x11, four+"\x04\x00\x03abc"), ends4},
	{"v2, with all that there is room for", v2(0x21, 0x11, four+"\x04"+"\x0f\xe1"+strings.Repeat("x", MaxHeader-16-12-3)), ends4},
	{"v2, LOCAL", v2(0x20, 0x00, ""), Ends{}},
	{"v2, LOCAL with addresses that mean nothing", v2(0x20, 0x11, four), Ends{}},
	{"v2, LOCAL with a part of them", v2(0x20, 0x11, "abc"), Ends{}},
	{"v2, of a unix socket", v2(0x21, 0x31, strings.Repeat("\x00", 216)), Ends{}},
}

func TestParse(t *testing.T) {
	for _, h := range headers {
		for n := range len(h.header) {
			if e, size, err := Parse([]byte(h.header[:n])); err != nil || size != 0 || e != (Ends{}) {
				t.Fatalf("%s, the first %d of %d bytes: %v, %d, %v", h.name, n, len(h.header), e, size, err)
			}
		}
		for _, behind := range []string{"", "GET / HTTP/1.1\r\n", h.header} {
			e, size, err := Parse([]byte(h.header + behind))
			if err != nil || size != len(h.header) || e != h.want {
				t.Errorf("%s: %v, %d of %d, %v", h.name, e, size, len(h.header), err)
			}
		}
	}
}

func TestParseBad(t *testing.T) {
	for _, c := range []struct {
		name, header string
		want         error
		says         string
	}{
		{"a request", "GET / HTTP/1.1\r\n", ErrNoHeader, ""},
		{"TLS", "\x16\x03\x01", ErrNoHeader, ""},
		{"nearly version 1", "PROXZ", ErrNoHeader, ""},
		{"another word", "PROXYING ", ErrNoHeader, ""},
		{"nearly version 2", "\r\n\r\n\x00\r\nQUIT\r", ErrNoHeader, ""},
		{"v1, no end", "PROXY TCP4 " + strings.Repeat("1", 96), ErrHeader, "within 107"},
		{"v1, one byte too long", "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", ErrHeader, "within 107"},
		{"v1, LF alone", "PROXY TCP4 192.0.2.1 10.0.0.5 54321 80\n", ErrHeader, ""},
		{"v1, no addresses", "PROXY TCP4\r\n", ErrHeader, ""},
		{"v1, a word too many", "PROXY TCP4 192.0.2.1 10.0.0.5 54321 80 1\r\n", ErrHeader, ""},
		{"v1, UDP", "PROXY UDP4 192.0.2.1 10.0.0.5 54321 80\r\n", ErrHeader, ""},
		{"v1, the wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 54321 80\r\n", ErrHeader, ""},
		{"v1, a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 54321 80\r\n", ErrHeader, ""},
		{"v1, port 65536", "PROXY TCP4 192.0.2.1 10.0.0.5 65536 80\r\n", ErrHeader, ""},
		{"v1, port -1", "PROXY TCP4 192.0.2.1 10.0.0.5 -1 80\r\n", ErrHeader, ""},
		{"v2, too long", v2(0x21, 0x11, four+strings.Repeat("x", MaxHeader-16-12+1)), ErrHeader, "more than 4096"},
		{"v2, 65535 bytes announced", signature + "\x21\x11\xff\xff", ErrHeader, "more than 4096"},
		{"v2, version 3", v2(0x31, 0x11, four), ErrHeader, ""},
		{"v2, an unknown command", v2(0x22, 0x11, four), ErrHeader, ""},
		{"v2, an unknown family", v2(0x21, 0x41, four), ErrHeader, ""},
		{"v2, no family", v2(0x21, 0x00, ""), ErrHeader, ""},
		{"v2, UDP", v2(0x21, 0x12, four), ErrHeader, "TCP"},
		{"v2, addresses too short", v2(0x21, 0x11, four[:11]), ErrHeader, ""},
	} {
		e, size, err := Parse([]byte(c.header))
		if !errors.Is(err, c.want) || size != 0 || e != (Ends{}) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %d, %v", c.name, e, size, err)
		}
	}
}

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		version Version
		ends    Ends
		want    string
	}{
		{None, ends4, ""},
		{V1, ends4, "PROXY TCP4 192.0.2.1 10.0.0.5 54321 80\r\n"},
		{V1, ends6, "PROXY TCP6 2001:db8::1 2001:db8::2 54321 443\r\n"},
		{V1, ends("192.0.2.1:54321", "[2001:db8::2]:443"), "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 54321 443\r\n"},
		{V1, ends("[fe80::1%eth0]:1", "[fe80::2]:2"), "PROXY TCP6 fe80::1 fe80::2 1 2\r\n"},
		{V1, Ends{}, "PROXY UNKNOWN\r\n"},
		{V1, Ends{Client: ends4.Client}, "PROXY UNKNOWN\r\n"},
		{V2, ends4, v2(0x21, 0x11, four)},
		{V2, ends6, v2(0x21, 0x21, six)},
		{V2, Ends{}, v2(0x20, 0x00, "")},
	} {
		if got := c.version.Append([]byte("before"), c.ends); string(got) != "before"+c.want {
			t.Errorf("%v of %v is %q", c.version, c.ends, got)
		}
	}
}

func TestWire(t *testing.T) {
	for _, e := range []Ends{{}, ends4, ends6, ends("192.0.2.1:1", "[2001:db8::2]:2")} {
		if got, ok := FromWire(e.Wire(nil)); !ok || got != e {
			t.Errorf("%v has become %v, %v", e, got, ok)
		}
	}
	if _, ok := FromWire(make([]byte, 13)); ok {
		t.Error("13 bytes are addresses")
	}
}

// FuzzParse holds whatever comes to the bounds: no panic, no size beyond what is there, and what was understood can be said again.
func FuzzParse(f *testing.F) {
	for _, h := range headers {
		f.Add([]byte(h.header + "more"))
	}
	f.Add([]byte(signature + "\x21\x11\xff\xff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		e, n, err := Parse(p)
		switch {
		case !bytes.Equal(p, before):
			t.Fatal("the input was changed")
		case n < 0 || n > len(p) || n > MaxHeader:
			t.Fatalf("%d of %d bytes", n, len(p))
		case err != nil && (n != 0 || e != (Ends{}) || !errors.Is(err, ErrHeader) && !errors.Is(err, ErrNoHeader)):
			t.Fatalf("%v, %d, %v", e, n, err)
		case err == nil && n == 0 && len(p) >= MaxHeader:
			t.Fatal("more is wanted than a header can have")
		}
		if n > 0 { // what follows makes no difference
			if e2, n2, err := Parse(p[:n]); e2 != e || n2 != n || err != nil {
				t.Fatalf("alone it is %v, %d, %v", e2, n2, err)
			}
		}
		for _, v := range []Version{V1, V2} {
			header := v.Append(nil, e)
			if again, n, err := Parse(header); again != e || n != len(header) || err != nil {
				t.Fatalf("%q says %v, %d, %v", header, again, n, err)
			}
		}
		if again, ok := FromWire(e.Wire(nil)); !ok || again != e {
			t.Fatalf("%v has become %v", e, again)
		}
	})
}
