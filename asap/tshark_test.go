package asap

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every message that the tests know, as this package writes it in both dialects, is taken apart by tshark without complaint, and for what
// it is. (It is by the authors of rsplib, and knows no Opaque Transport.)
func TestTshark(t *testing.T) {
	for _, tool := range []string{"text2pcap", "tshark"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: %v", tool, err)
		}
	}
	dump, pcap := filepath.Join(t.TempDir(), "messages.hex"), filepath.Join(t.TempDir(), "messages.pcap")
	messages := known()
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
	out, err := exec.Command("tshark", "-r", pcap, "-T", "fields", "-E", "separator=|", "-e", "asap.message_type", "-e", "asap.message_length",
		"-e", "_ws.malformed", "-e", "asap.parameter_type", "-e", "_ws.expert.message").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(messages) {
		t.Fatalf("tshark saw %d messages, want %d:\n%s", len(lines), len(messages), out)
	}
	for i, line := range lines {
		f, wire := strings.Split(line, "|"), messages[i]
		want := fmt.Sprintf("%d|%d", wire[0], int(wire[2])<<8|int(wire[3]))
		if len(f) != 5 || f[0]+"|"+f[1] != want || f[2] != "" || f[4] != "" || wire[0] != byte(TypeServerAnnounce) && f[3] == "" {
			t.Errorf("%x:\ntshark says %q, want %s", wire, line, want)
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
