package mapping

import (
	"bytes"
	"reflect"
	"testing"
)

// hello is INIT, a message of ASAP's, and one of ours on stream 0.
const hello = "01000004" + "00000012" + "00000000" + "00000000" + "0000000b" + "6162" + "0000" +
	"00000013" + "00000001" + "00000001" + "70700001" + "010203" + "00"

func TestFirstMessage(t *testing.T) {
	want := Message{PPID: PPIDSession, Data: []byte{1, 2, 3}}
	wire := unhex(t, hello)
	for n := range wire {
		if m, done := (TCPMapping{}).FirstMessage(wire[:n]); done {
			t.Errorf("done with %d bytes: %+v", n, m)
		}
	}
	if m, done := (TCPMapping{}).FirstMessage(append(wire, "more"...)); !done || !reflect.DeepEqual(m, want) {
		t.Errorf("%v, %+v", done, m)
	}
	for name, wire := range map[string]string{
		"no INIT": "0000001000000000000000000000000b", "a second INIT": "0100000401000004", "an ACK": "010000040300000800000001",
		"a heartbeat": "01000004040000100001000c0001020304050607", "an unknown type": "0100000409000004", "a length too small": "0100000400000005",
	} {
		if m, done := (TCPMapping{}).FirstMessage(unhex(t, wire)); !done || !reflect.DeepEqual(m, Message{}) {
			t.Errorf("%s: %v, %+v", name, done, m)
		}
	}
}

// FuzzFirstMessage looks at arbitrary bytes. It must not panic; what was decided with a part of them holds for all; and the message is the
// one that a machine gives out first.
func FuzzFirstMessage(f *testing.F) {
	f.Add(unhex(f, hello), uint16(20))
	f.Add(unhex(f, "010700040000000968656c6c6f00000000000004"), uint16(1))
	f.Fuzz(func(t *testing.T, wire []byte, part uint16) {
		m, done := TCPMapping{}.FirstMessage(wire)
		if early, was := (TCPMapping{}).FirstMessage(wire[:min(int(part), len(wire))]); was && (!done || !reflect.DeepEqual(early, m)) {
			t.Fatalf("%+v with %d bytes; %v, %+v with %d", early, part, done, m, len(wire))
		}
		got, _, err := feed(t, wire, len(wire)+1)
		for len(got) > 0 && got[0].PPID == PPIDASAP {
			got = got[1:]
		}
		if err != nil || len(got) == 0 {
			return
		}
		if first := got[0]; done && m.PPID != 0 && (first.PPID != m.PPID || first.Stream != m.Stream || !bytes.Equal(first.Data, m.Data)) {
			t.Fatalf("%+v, the machine gives %+v", m, first)
		}
	})
}
