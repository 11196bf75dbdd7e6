package asap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// wantError checks that an error wraps a sentinel and says something.
func wantError(t *testing.T, what string, err, sentinel error, says string) {
	t.Helper()
	if !errors.Is(err, sentinel) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v; want %q, and %q in it", what, err, sentinel, says)
	}
}

// message is a message of that type, with what is behind the header, padded.
func message(t testing.TB, kind MessageType, rest string) []byte {
	b := append([]byte{byte(kind), 0, 0, 0}, unhex(t, rest)...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Every rule that a message may break, and what is told the sender: nothing, or one cause with a part of the message.
func TestRefused(t *testing.T) {
	const (
		fields = "000000010000000200000003" // of a Pool Element
		sctp   = "0004001000500000" + "00010008c0000201"
		rr     = "0008000800000001"
	)
	unit := func(n int) string { return strings.Repeat("00010008c0000201", n) }
	for _, tt := range []struct {
		name     string
		kind     MessageType
		rest     string
		sentinel error
		says     string
		code     CauseCode
		info     string // of the cause; empty: no report
	}{
		// types, RFC 5354 §3 and §4
		{"message 00", 0x0f, "", ErrUnknown, "message 0x0f: byte 0", 0, ""},
		{"message reserved", 0x00, "", ErrUnknown, "message 0x00", 0, ""},
		{"message 01", 0x40, "deadbeef", ErrUnknown, "message 0x40", CauseUnrecognizedMessage, "40000008deadbeef"},
		{"message 10", 0x80, "", ErrUnknown, "", 0, ""},
		{"message 11", 0xff, "", ErrUnknown, "", 0, ""},
		{"parameter 00", TypeCookie, "00110004000d0004", ErrUnknown, "byte 4: unknown type: parameter 0x0011", 0, ""},
		{"parameter 0", TypeCookie, "00000004000d0004", ErrUnknown, "byte 4", 0, ""},
		{"parameter 01", TypeCookie, "000d000440110005aa000000", ErrUnknown, "byte 8", CauseUnrecognizedParameter, "40110005aa"},
		{
			"parameter 01 in an element", TypeRegistration, echoPoolHex + "000a0014" + fields + "40110004", ErrUnknown,
			"byte 32", CauseUnrecognizedParameter, "40110004",
		},
		{
			"parameter 01 in a transport", TypeServerAnnounce, "00000001" + "0004000c00500000" + "40110004", ErrUnknown,
			"byte 16", CauseUnrecognizedParameter, "40110004",
		},
		{"parameter 01 in an ERROR", TypeError, "40110004", ErrUnknown, "byte 4", 0, ""},
		// lengths
		{"a short header", TypeCookie, "000d", ErrLength, "byte 4: bad length: 2 bytes left", 0, ""},
		{"length 3", TypeCookie, "000d0003", ErrLength, "byte 6: bad length: 3; here it is 4 to 4", 0, ""},
		{"length past the message", TypeCookie, "000d0009aabbccdd", ErrLength, "9; here it is 4 to 8", 0, ""},
		{"length past the element", TypeRegistration, echoPoolHex + "000a0018" + fields + "00040010" + "00500000" + "00010008c0000201", ErrLength,
			"16; here it is 4 to 8", 0, ""},
		{"short element", TypeRegistration, echoPoolHex + "000a000800000001", ErrLength, "Pool Element: bad length: 8; it is at least 16", 0, ""},
		{"short SCTP Transport", TypeServerAnnounce, "0000000100040004", ErrLength, "it is at least 8", 0, ""},
		{"IPv4 of 5 bytes", TypeServerAnnounce, "000000010004001400500000" + "00010009c000020100000000", ErrLength, "it is always 8", 0, ""},
		{"IPv6 of 4 bytes", TypeServerAnnounce, "000000010004001000500000" + "00020008c0000201", ErrLength, "it is always 20", 0, ""},
		{"PE Identifier of 2 bytes", TypeDeregistration, echoPoolHex + "000e000600010000", ErrLength, "byte 16: PE Identifier", 0, ""},
		{"no Server Identifier", TypeServerAnnounce, "", ErrLength, "Server Identifier", 0, ""},
		{"policy without a type", TypeHandleResolutionResponse, echoPoolHex + "00080004", ErrLength, "at least 8", 0, ""},
		{"round robin with a weight", TypeHandleResolutionResponse, echoPoolHex + "0008000c0000000100000001", ErrLength, "of round_robin it is 8", 0, ""},
		{"LUD without degradation", TypeHandleResolutionResponse, echoPoolHex + "0008000c4000000200000001", ErrLength, "it is 16", 0, ""},
		{"short cause", TypeError, "000c00060001", ErrLength, "2 bytes left", 0, ""},
		{"cause past its error", TypeError, "000c000800010005", ErrLength, "5; here it is 4 to 4", 0, ""},
		// values
		{"empty handle", TypeHandleResolution, "00090004", ErrValue, "byte 4: Pool Handle", CauseInvalidValues, "00090004"},
		{"policy 0", TypeHandleResolutionResponse, echoPoolHex + "0008000800000000", ErrValue, "policy 0x00000000", CauseInvalidValues, "0008000800000000"},
		{"adaptive policy 0", TypeHandleResolutionResponse, echoPoolHex + "0008000840000000", ErrValue, "policy 0x40000000", CauseInvalidValues, "0008000840000000"},
		{
			"Transport Use 2", TypeServerAnnounce, "00000001" + "0004001000500002" + "00010008c0000201", ErrValue, "Transport Use 2",
			CauseInvalidValues, "000400100050000200010008c0000201",
		},
		{
			"negative life", TypeRegistration, echoPoolHex + "000a0028" + "0000000100000002fffffffe" + sctp + rr, ErrValue, "Registration Life",
			CauseInvalidValues, "000a0028" + "0000000100000002fffffffe" + sctp + rr,
		},
		{
			"TCP with two addresses", TypeServerAnnounce, "00000001" + "0005001800500000" + unit(2), ErrValue, "2 addresses; it has one",
			CauseInvalidValues, "0005001800500000" + unit(2),
		},
		{
			"ASAP over TCP", TypeRegistration, echoPoolHex + "000a0038" + fields + sctp + rr + "0005001000500000" + "00010008c0000201", ErrValue,
			"TCP Transport as ASAP Transport", CauseInvalidValues, "000a0038" + fields + sctp + rr + "0005001000500000" + "00010008c0000201",
		},
		{
			"Transport Use 2 in an element", TypeRegistration, echoPoolHex + "000a0028" + fields + "0004001000500002" + "00010008c0000201" + rr,
			ErrValue, "byte 32: SCTP Transport: bad value: Transport Use 2", CauseInvalidValues, "000400100050000200010008c0000201",
		},
		// what must be there
		{"no handle", TypeHandleResolution, "", ErrMissing, "byte 4: missing parameter: Pool Handle (RFC 5352 §2.2)", 0, ""},
		{"no PE", TypeDeregistration, echoPoolHex, ErrMissing, "PE Identifier", 0, ""},
		{"no element", TypeRegistration, echoPoolHex, ErrMissing, "Pool Element", 0, ""},
		{"no cookie", TypeCookieEcho, "", ErrMissing, "Cookie", 0, ""},
		{"no error", TypeError, "", ErrMissing, "Operation Error", 0, ""},
		{"no cause", TypeError, "000c0004", ErrMissing, "it holds no cause", 0, ""},
		{"no address", TypeServerAnnounce, "00000001" + "0004000800500000", ErrMissing, "no address", 0, ""},
		{"no transport", TypeRegistration, echoPoolHex + "000a0018" + fields + rr, ErrMissing, "User Transport", 0, ""},
		{"no policy", TypeRegistration, echoPoolHex + "000a0020" + fields + sctp, ErrMissing, "Selection Policy", 0, ""},
		{"neither elements nor error", TypeHandleResolutionResponse, echoPoolHex + rr, ErrMissing, "a positive one has at least one", 0, ""},
		{"card of nobody", TypeBusinessCard, echoPoolHex, ErrMissing, "Pool Element", 0, ""},
		// what must not be there
		{"two handles", TypeHandleResolution, echoPoolHex + echoPoolHex, ErrMisplaced, "byte 16: misplaced parameter: Pool Handle is there twice", 0, ""},
		{"two elements", TypeRegistration, echoPoolHex + elementBHex + elementBHex, ErrMisplaced, "twice", 0, ""},
		{"two options", TypeHandleResolution, echoPoolHex + "803f000800000003803f000800000003", ErrMisplaced, "twice", 0, ""},
		{"a cookie in a resolution", TypeHandleResolution, echoPoolHex + "000d0004", ErrMisplaced, "Cookie has no place", 0, ""},
		{"UDP in an announcement", TypeServerAnnounce, "00000001" + "0006001000500000" + "00010008c0000201", ErrMisplaced, "UDP Transport", 0, ""},
		{"a handle in a transport", TypeServerAnnounce, "00000001" + "0004001400500000" + echoPoolHex, ErrMisplaced, "Pool Handle in SCTP Transport", 0, ""},
		{"two policies", TypeRegistration, echoPoolHex + "000a0030" + fields + sctp + rr + rr, ErrMisplaced, "in Pool Element", 0, ""},
		{"three transports", TypeRegistration, echoPoolHex + "000a0048" + fields + sctp + sctp + rr + sctp, ErrMisplaced, "in Pool Element", 0, ""},
		{"error and elements", TypeHandleResolutionResponse, echoPoolHex + elementBHex + "000c000800090004", ErrMisplaced, "negative", 0, ""},
		// limits
		{"65 addresses", TypeServerAnnounce, "00000001" + "0004021000500000" + unit(65), ErrLimit, "65 addresses", 0, ""},
		{"8000 addresses", TypeServerAnnounce, "00000001" + "0004fa0800500000" + unit(8000), ErrLimit, "65 addresses", 0, ""},
		{"65 transports", TypeServerAnnounce, "00000001" + strings.Repeat(sctp, 65), ErrLimit, "byte 1032", 0, ""},
		{"65 causes", TypeError, "000c0108" + strings.Repeat("00000004", 65), ErrLimit, "65 causes", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, report, err := Parse(message(t, tt.kind, tt.rest))
			wantError(t, tt.name, err, tt.sentinel, tt.says)
			if m != nil || !strings.HasPrefix(err.Error(), "asap: ") {
				t.Errorf("%v, %v", m, err)
			}
			var want OperationError
			if tt.info != "" {
				want = OperationError{{tt.code, unhex(t, tt.info)}}
			}
			if !reflect.DeepEqual(report, want) {
				t.Errorf("the report is %x, want %x", report, want)
			}
		})
	}
}

// A message is delimited before it is looked into.
func TestDelimited(t *testing.T) {
	for _, tt := range []struct {
		wire     string
		sentinel error
		says     string
	}{
		{"", ErrTruncated, "byte 0"},
		{"0b0000", ErrTruncated, "byte 3"},
		{"0b000003", ErrLength, "message length 3"},
		{"0b000008000d00", ErrTruncated, "byte 7"},
		{"0b000009000d0005aa", ErrTruncated, "byte 9"}, // the padding is not there
		{"0b000008000d000400", ErrLength, "byte 8: bad length: 1 bytes behind the message"},
	} {
		_, _, err := Parse(unhex(t, tt.wire))
		wantError(t, tt.wire, err, tt.sentinel, tt.says)
	}
	if n, err := Size(unhex(t, "0b0000")); n != 0 || err != nil {
		t.Errorf("Size of 3 bytes: %d, %v", n, err)
	}
	if n, err := Size(unhex(t, "0b00ffff")); n != 1<<16 || err != nil {
		t.Errorf("Size of the longest: %d, %v", n, err)
	}
	_, err := Size(unhex(t, "0b000000"))
	wantError(t, "Size of nothing", err, ErrLength, "message length 0")
	for _, wire := range []string{"", "000d00"} {
		_, _, err = Dialect{}.ParseParameter(unhex(t, wire))
		wantError(t, "parameter "+wire, err, ErrTruncated, "bytes")
	}
	_, _, err = Dialect{}.ParseParameter(unhex(t, "80110004"))
	wantError(t, "unknown parameter", err, ErrUnknown, "0x8011")
}

// Parameters of unknown types are passed over at every level, if their bits say so, and reported, if their bits say so.
func TestSkipped(t *testing.T) {
	const skip, tell = "80110005aa000000", "c0110005bb000000"
	element := "000a004000000001000000020000000a" + skip + "0005001800500000" + tell + "00010008c0000201" + skip + "0008000800000001"
	m, report, err := Parse(message(t, TypeRegistration, skip+echoPoolHex+tell+element))
	want := Registration{Handle: echoPool, Element: PoolElement{
		ID: 1, Home: 2, Life: 10e9,
		User:   Transport{Protocol: TCP, Port: 80, Addresses: addrs("192.0.2.1")},
		Policy: Policy{Kind: RoundRobin},
	}}
	if err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("parsed %+v, %v, want %+v", m, err, want)
	}
	told := Cause{CauseUnrecognizedParameter, unhex(t, "c0110005bb")}
	if want := (OperationError{told, told}); !reflect.DeepEqual(report, want) {
		t.Errorf("the report is %x, want %x", report, want)
	}
	wire, err := Append(nil, ErrorMessage{Errors: report})
	if want := unhex(t, "0e00001d 000c0019 00010009c0110005bb000000 00010009c0110005bb000000"); err != nil || !bytes.Equal(wire, want) {
		t.Errorf("the report was written as %x, %v, want %x", wire, err, want)
	}
	// an element's own parameters may come in another order, but for its transports
	other, _, err := Parse(message(t, TypeRegistration, elementAHex+echoPoolHex))
	if err != nil || !reflect.DeepEqual(other, Registration{Handle: echoPool, Element: elementA}) {
		t.Errorf("in another order: %+v, %v", other, err)
	}
}

// What rsplib adds to two messages is read and kept.
func TestRsplibAdditions(t *testing.T) {
	for wire, want := range map[string]Message{
		"0700001caabbccdd" + echoPEHex: EndpointKeepAlive{Server: 0xaabbccdd, Handle: echoPool, PE: ptr(PEIdentifier(0x11223344))},
		"0d000044" + echoPoolHex + "0008000800000001" + elementBHex: BusinessCard{
			Handle: echoPool, Policy: &Policy{Kind: RoundRobin}, Elements: []PoolElement{elementB},
		},
	} {
		for _, d := range []Dialect{{}, {PaddedLengths: true}} {
			m, _, err := d.Parse(unhex(t, wire))
			if err != nil || !reflect.DeepEqual(m, want) {
				t.Errorf("parsed %+v, %v, want %+v", m, err, want)
			}
			if out, err := d.Append(nil, want); err != nil || !bytes.Equal(out, unhex(t, wire)) {
				t.Errorf("wrote %x, %v, want %s", out, err, wire)
			}
		}
	}
}

// A report never outgrows a message, and is never long for nothing.
func TestReportIsBounded(t *testing.T) {
	_, report, err := Parse(message(t, TypeCookie, "000d0004"+strings.Repeat("c0110004", 8000)))
	if err != nil || len(report) != maxReported {
		t.Errorf("%d causes, %v, want %d", len(report), err, maxReported)
	}
	long := message(t, 0x41, strings.Repeat("00", maxLength-headerSize))
	if _, report, err = Parse(long); !errors.Is(err, ErrUnknown) || report != nil {
		t.Errorf("the longest message: %d causes, %v", len(report), err)
	}
	// two of 28 KiB fit; the longest parameters do not, with the headers that a report puts around them
	big := "c0117000" + strings.Repeat("00", 0x7000-headerSize)
	_, report, err = Parse(message(t, TypeCookie, "000d0004"+big+big))
	if err != nil || len(report) != 2 {
		t.Fatalf("%d causes, %v, want 2", len(report), err)
	}
	if out, err := Append(nil, ErrorMessage{Errors: report}); err != nil || len(out) > 1<<16 {
		t.Errorf("the report has %d bytes, %v", len(out), err)
	}
	big = "c011fff4" + strings.Repeat("00", 0xfff4-headerSize)
	if _, report, err = Parse(message(t, TypeCookie, "000d0004"+big)); err != nil || report != nil {
		t.Errorf("one that does not fit: %d causes, %v", len(report), err)
	}
}

// What cannot be read is not written, and dst stays what it was.
func TestNotWritten(t *testing.T) {
	element := func(change func(*PoolElement)) Message {
		e := elementA
		change(&e)
		return Registration{Handle: echoPool, Element: e}
	}
	transport := func(t Transport) Message {
		return element(func(e *PoolElement) { e.User = t })
	}
	one := addrs("192.0.2.1")
	many := make([]Transport, 65)
	for i := range many {
		many[i] = elementB.User
	}
	for _, tt := range []struct {
		name     string
		m        Message
		sentinel error
		says     string
	}{
		{"no handle", HandleResolution{}, ErrValue, "cannot write HANDLE_RESOLUTION: Pool Handle"},
		{"long handle", HandleResolution{Handle: make(PoolHandle, 1<<16)}, ErrTooLong, "65536 bytes"},
		{"long cookie", CookieEcho{Cookie: make(Cookie, maxValue)}, ErrTooLong, "65539 bytes, more than 65535"},
		{"long information", ErrorMessage{Errors: OperationError{{0, make([]byte, 1<<16)}}}, ErrTooLong, "65536"},
		{"no cause", ErrorMessage{}, ErrMissing, "no cause"},
		{"65 causes", ErrorMessage{Errors: make(OperationError, 65)}, ErrLimit, "65 causes"},
		{"no transport", transport(Transport{}), ErrValue, "no transport"},
		{"a handle as transport", transport(Transport{Protocol: Protocol(ParameterPoolHandle), Addresses: one}), ErrValue, "no transport"},
		{"no address", transport(Transport{Protocol: SCTP}), ErrMissing, "no address"},
		{"two addresses", transport(Transport{Protocol: UDP, Addresses: append(one, one...)}), ErrValue, "it has one"},
		{"opaque with an address", transport(Transport{Protocol: Opaque, Addresses: one}), ErrValue, "it has none"},
		{"opaque with a port", transport(Transport{Protocol: Opaque, Port: 1}), ErrValue, "another transport"},
		{"service code of TCP", transport(Transport{Protocol: TCP, Service: 1, Addresses: one}), ErrValue, "another transport"},
		{"data of TCP", transport(Transport{Protocol: TCP, Data: []byte{1}, Addresses: one}), ErrValue, "another transport"},
		{"control over TCP", transport(Transport{Protocol: TCP, Use: DataPlusControl, Addresses: one}), ErrValue, "SCTP only"},
		{"no such use", transport(Transport{Protocol: SCTP, Use: 2, Addresses: one}), ErrValue, "Transport Use 2"},
		{"a zone", transport(Transport{Protocol: SCTP, Addresses: addrs("fe80::1%eth0")}), ErrValue, "fe80::1%eth0"},
		{"address of nothing", transport(Transport{Protocol: SCTP, Addresses: append(addrs("192.0.2.1"), Address{}.Addr)}), ErrValue, "invalid IP"},
		{"no policy", element(func(e *PoolElement) { e.Policy = Policy{} }), ErrValue, "Pool Member Selection Policy"},
		{"ASAP over TCP", element(func(e *PoolElement) { e.ASAP = &elementB.User }), ErrValue, "ASAP Transport"},
		{"bad ASAP Transport", element(func(e *PoolElement) { e.ASAP = &Transport{Protocol: SCTP} }), ErrMissing, "no address"},
		{"65 transports", ServerAnnounce{Transports: many}, ErrLimit, "65 transports"},
		{"UDP registrar", ServerAnnounce{Transports: []Transport{{Protocol: UDP, Addresses: one}}}, ErrMisplaced, "UDP Transport"},
		{"no answer", HandleResolutionResponse{Handle: echoPool}, ErrMissing, "Pool Element"},
		{"two answers", HandleResolutionResponse{Handle: echoPool, Policy: &Policy{Kind: Random}, Errors: OperationError{{}}}, ErrMisplaced, "negative"},
		{"card of nobody", BusinessCard{Handle: echoPool}, ErrMissing, "Pool Element"},
	} {
		out, err := Append([]byte("before"), tt.m)
		wantError(t, tt.name, err, tt.sentinel, tt.says)
		if string(out) != "before" {
			t.Errorf("%s: dst is %x", tt.name, out)
		}
	}
	out, err := Dialect{}.AppendParameter([]byte("before"), ServerInformation{Transport: elementB.User})
	wantError(t, "server over TCP", err, ErrValue, "asap: cannot write Server Information")
	if string(out) != "before" {
		t.Errorf("dst is %x", out)
	}
	if _, err := RSPLIB().Append(nil, transport(Transport{Protocol: TCP, Use: DataPlusControl, Addresses: one})); err != nil {
		t.Errorf("control over TCP, rsplib's way: %v", err)
	}
}

// The message that holds the most elements costs what the docstring of Parse says.
func TestCostIsBounded(t *testing.T) {
	const smallest = "000a001c" + "000000010000000200000003" + "00100004" + "0008000800000001"
	wire := message(t, TypeHandleResolutionResponse, echoPoolHex+strings.Repeat(smallest, 2339))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, _, err := Parse(wire)
	runtime.ReadMemStats(&after)
	if err != nil || len(m.(HandleResolutionResponse).Elements) != 2339 {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 2<<20 {
		t.Errorf("%d bytes allocated for %d", got, len(wire))
	}
}

// The largest cookie fits to the byte.
func TestLongest(t *testing.T) {
	const most = maxLength - 2*headerSize
	out, err := Append(nil, CookieMessage{Cookie: make(Cookie, most)})
	if err != nil || len(out) != 1<<16 {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
	if m, _, err := Parse(out); err != nil || len(m.(CookieMessage).Cookie) != most {
		t.Errorf("it was not read: %v", err)
	}
	_, err = RSPLIB().Append(nil, CookieMessage{Cookie: make(Cookie, most)})
	wantError(t, "with its padding counted", err, ErrTooLong, "65536 bytes")
}

func TestNames(t *testing.T) {
	for want, p := range map[string]PolicyType{
		"round_robin": RoundRobin, "weighted_round_robin": WeightedRoundRobin, "random": Random, "weighted_random": WeightedRandom,
		"priority": Priority, "least_used": LeastUsed, "least_used_degradation": LeastUsedDegradation,
		"priority_least_used": PriorityLeastUsed, "randomized_least_used": RandomizedLeastUsed, "policy 0xb0001003": 0xb0001003,
	} {
		if p.String() != want {
			t.Errorf("%q, want %q", p, want)
		}
	}
	for got, want := range map[string]string{
		TypeEndpointKeepAliveAck.String():                  "ENDPOINT_KEEP_ALIVE_ACK",
		MessageType(0).String():                            "message 0x00",
		MessageType(0xff).String():                         "message 0xff",
		ParameterUDPLiteTransport.String():                 "UDP-Lite Transport",
		ParameterResolutionOption.String():                 "Handle Resolution Option",
		ParameterType(0).String():                          "parameter 0x0000",
		ParameterType(0x8011).String():                     "parameter 0x8011",
		CauseSecurity.String():                             "rejected due to security considerations",
		CauseCode(0xb).String():                            "cause 0x000b",
		OperationError{{Code: 9}, {Code: 0xf007}}.String(): "unknown pool handle, cause 0xf007",
		OperationError(nil).String():                       "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
