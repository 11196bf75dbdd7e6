package asap

import (
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tshark has messages taken apart by tshark, and returns the fields asked for of each. (It is by the authors of rsplib, and knows no
// Opaque Transport.) The test is skipped where tshark is not installed.
func tshark(t *testing.T, messages [][]byte, fields ...string) [][]string {
	t.Helper()
	for _, tool := range []string{"text2pcap", "tshark"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("POOLPROXY_CHECK") != "" {
				t.Fatalf("%s is not installed, and this is make check: %v", tool, err)
			}
			t.Skipf("%s is not installed: %v", tool, err)
		}
	}
	dump, pcap := filepath.Join(t.TempDir(), "messages.hex"), filepath.Join(t.TempDir(), "messages.pcap")
	var text strings.Builder
	for _, wire := range messages {
		fmt.Fprintf(&text, "000000 %s\n", spaced(wire))
	}
	if err := os.WriteFile(dump, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("text2pcap", "-S", "3863,3863,11", dump, pcap).CombinedOutput(); err != nil {
		t.Fatalf("text2pcap: %v\n%s", err, out)
	}
	args := []string{"-r", pcap, "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(messages) {
		t.Fatalf("tshark saw %d messages, want %d:\n%s", len(lines), len(messages), out)
	}
	rows := make([][]string, len(lines))
	for i, line := range lines {
		if rows[i] = strings.Split(line, "|"); len(rows[i]) != len(fields) {
			t.Fatalf("tshark says %q, want %d fields", line, len(fields))
		}
	}
	return rows
}

// Every message that the tests know, as this package writes it in both dialects, is taken apart without complaint, and for what it is.
func TestTsharkTakesAll(t *testing.T) {
	messages := known()
	rows := tshark(t, messages, "asap.message_type", "asap.message_length", "_ws.malformed", "_ws.expert.message", "asap.parameter_type")
	for i, row := range rows {
		wire := messages[i]
		kind, length := fmt.Sprint(wire[0]), fmt.Sprint(int(wire[2])<<8|int(wire[3]))
		empty := wire[0] == byte(TypeServerAnnounce) && len(wire) == 8
		if row[0] != kind || row[1] != length || row[2] != "" || row[3] != "" || (row[4] == "") != empty {
			t.Errorf("%x:\ntshark says %q", wire, row)
		}
	}
}

// tshark reads from a field what was written into it.
func TestTsharkReadsValues(t *testing.T) {
	with := func(p Policy, user Transport) Message {
		e := elementB
		e.Policy, e.User = p, user
		return BusinessCard{Handle: echoPool, Elements: []PoolElement{e}}
	}
	four := addrs("192.0.2.1")
	tests := []struct {
		m     Message
		field string
		want  string
	}{
		{Registration{Handle: goPool, Element: elementGo}, "pool_element_registration_life", "2000"},
		{Registration{Handle: goPool, Element: elementGo}, "transport_use", "1"},
		{Registration{Handle: echoPool, Element: elementA}, "ipv4_address", "192.0.2.1"},
		{Registration{Handle: echoPool, Element: elementA}, "ipv6_address", "2001:db8::1"},
		{Registration{Handle: echoPool, Element: elementA}, "sctp_transport_port", "7777"},
		{EndpointKeepAlive{Home: true, Server: 0xaabbccdd, Handle: echoPool}, "h_bit", "1"},
		{EndpointKeepAlive{Home: true, Server: 0xaabbccdd, Handle: echoPool}, "server_identifier", "0xaabbccdd"},
		{RegistrationResponse{Rejected: true, Handle: echoPool, PE: 7}, "r_bit", "1"},
		{RegistrationResponse{Rejected: true, Handle: echoPool, PE: 7}, "pe_identifier", "0x00000007"},
		{HandleResolution{Handle: echoPool, Items: 3}, "hropt_items", "3"},
		{ErrorMessage{Errors: OperationError{{CauseSecurity, nil}}}, "cause_code", "0x000a"},
		{CookieEcho{Cookie: Cookie("hello")}, "cookie", "68656c6c6f"},
		{with(Policy{Kind: WeightedRoundRobin, Weight: 7}, elementB.User), "pool_member_selection_policy_weight", "7"},
		{with(Policy{Kind: Priority, Priority: 7}, elementB.User), "pool_member_selection_policy_priority", "7"},
		{with(Policy{Kind: LeastUsedDegradation, Degradation: math.MaxUint32}, elementB.User), "pool_member_selection_policy_degradation", "100"},
		{with(Policy{Kind: RandomizedLeastUsed, Load: math.MaxUint32}, elementB.User), "pool_member_selection_policy_load", "100"},
		{with(Policy{Kind: PriorityLeastUsed, Load: 5}, elementB.User), "pool_member_selection_policy_type", "0x40000003"},
		{with(Policy{Kind: Random}, Transport{Protocol: DCCP, Port: 5001, Service: 9, Addresses: four}), "dccp_transport_port", "5001"},
		{with(Policy{Kind: Random}, Transport{Protocol: DCCP, Port: 5001, Service: 9, Addresses: four}), "dccp_transport_service_code", "9"},
		{with(Policy{Kind: Random}, Transport{Protocol: UDP, Port: 5001, Addresses: four}), "udp_transport_port", "5001"},
		{with(Policy{Kind: Random}, Transport{Protocol: UDPLite, Port: 5001, Addresses: four}), "udp_lite_transport_port", "5001"},
	}
	var messages [][]byte
	var fields []string
	for _, tt := range tests {
		wire, err := RSPLIB().Append(nil, tt.m)
		if err != nil {
			t.Fatal(err)
		}
		messages, fields = append(messages, wire), append(fields, "asap."+tt.field)
	}
	for i, row := range tshark(t, messages, fields...) {
		if row[i] != tests[i].want {
			t.Errorf("tshark reads %s %q of %+v, want %q", tests[i].field, row[i], tests[i].m, tests[i].want)
		}
	}
}

// known are the messages of the vectors, and one for each transport and policy, in both dialects.
func known() [][]byte {
	list := make([]Message, 0, 2*len(vectors))
	for _, v := range vectors {
		list = append(list, v.want)
	}
	for _, p := range parameters {
		e := elementB
		switch p := p.want.(type) {
		case Policy:
			e.Policy = p
		case Transport:
			e.User = p
		default:
			continue
		}
		if e.User.Protocol != Opaque {
			list = append(list, BusinessCard{Handle: echoPool, Elements: []PoolElement{e, elementA}})
		}
	}
	var wires [][]byte
	for _, m := range list {
		for _, d := range []Dialect{{}, RSPLIB()} {
			if wire, err := d.Append(nil, m); err == nil { // control over TCP is rsplib's alone
				wires = append(wires, wire)
			}
		}
	}
	return wires
}

// spaced is what text2pcap reads: bytes in hexadecimal, a space between them.
func spaced(b []byte) string {
	var s []string
	for i := range b {
		s = append(s, hex.EncodeToString(b[i:i+1]))
	}
	return strings.Join(s, " ")
}
