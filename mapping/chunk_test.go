package mapping

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors holds the vectors computed from draft-ietf-rserpool-tcpmapping-03.
func TestVectors(t *testing.T) {
	cookie := unhex(t, "0b000010000d000968656c6c6f000000")
	info := unhex(t, "0001000c0001020304050607")
	hello := []byte("hello")
	tests := map[string]struct {
		wire string
		peer words
		want chunk
	}{
		"INIT, all words": {"01000004", 0, chunk{kind: chunkInit}},
		"INIT, no words":  {"01070004", 0, chunk{kind: chunkInit, init: allWords}},
		"DATA hello":      {"0000001500000000000100000000000068656c6c6f000000", 0, chunk{kind: chunkData, stream: 1, body: hello}},
		"DATA cookie": {"0000002000000001000000000000000b0b000010000d000968656c6c6f000000", 0,
			chunk{kind: chunkData, tsn: 1, ppid: PPIDASAP, body: cookie}},
		"DATA, flags 5":     {"0000000d0001000068656c6c6f000000", noTSN | noPPID, chunk{kind: chunkData, stream: 1, body: hello}},
		"DATA, flags 7":     {"0000000968656c6c6f000000", allWords, chunk{kind: chunkData, body: hello}},
		"DATA unordered":    {"0004000968656c6c6f000000", allWords, chunk{kind: chunkData, unordered: true, body: hello}},
		"DATA empty":        {"00000004", allWords, chunk{kind: chunkData, body: []byte{}}},
		"ACK TSN 1":         {"0300000800000001", 0, chunk{kind: chunkAck, hasTSN: true, tsn: 1}},
		"ACK short":         {"03000004", 0, chunk{kind: chunkAck}},
		"HEARTBEAT":         {"040000100001000c0001020304050607", 0, chunk{kind: chunkHeartbeat, body: info}},
		"HEARTBEAT ACK":     {"050000100001000c0001020304050607", 0, chunk{kind: chunkHeartbeatAck, body: info}},
		"HEARTBEAT, odd":    {"040000090001000501000000", 0, chunk{kind: chunkHeartbeat, body: []byte{0, 1, 0, 5, 1}}},
		"HEARTBEAT, filled": {"0400000c0001000501000000", 0, chunk{kind: chunkHeartbeat, body: []byte{0, 1, 0, 5, 1, 0, 0, 0}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			wire := unhex(t, tt.wire)
			got, n, err := parseChunk(append(wire, 0xee), tt.peer)
			if err != nil || n != len(wire) {
				t.Fatalf("took %d of %d bytes: %v", n, len(wire), err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("parsed %+v, want %+v", got, tt.want)
			}
			if again := tt.want.append(nil, tt.peer); !bytes.Equal(again, wire) {
				t.Fatalf("wrote %x, want %x", again, wire)
			}
			for short := range wire {
				if _, n, err := parseChunk(wire[:short], tt.peer); n != 0 || err != nil {
					t.Fatalf("%d bytes of %d: took %d, %v", short, len(wire), n, err)
				}
			}
		})
	}
}

// TestAllWords has every combination of INIT flags.
func TestAllWords(t *testing.T) {
	for w := words(0); w <= allWords; w++ {
		sent := chunk{kind: chunkData, tsn: 0x01020304, stream: 0x0506, ssn: 0x0708, ppid: 0x090a0b0c, body: []byte("body.")}
		want := sent
		if w&noTSN != 0 {
			want.tsn = 0
		}
		if w&noStream != 0 {
			want.stream, want.ssn = 0, 0
		}
		if w&noPPID != 0 {
			want.ppid = 0
		}
		wire := sent.append(nil, w)
		if len(wire) != chunkHeader+w.size()+8 {
			t.Errorf("flags %d: %d bytes", w, len(wire))
		}
		got, _, err := parseChunk(wire, w)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("flags %d: parsed %+v, %v; want %+v", w, got, err, want)
		}
		hello, _, err := parseChunk([]byte{chunkInit, byte(w) | 0xf8, 0, 4}, 0)
		if err != nil || hello.init != w {
			t.Errorf("INIT with flags %d and all reserved ones: %+v, %v", w, hello, err)
		}
	}
}

func TestBadChunks(t *testing.T) {
	tests := map[string]struct {
		wire string
		peer words
		want string
	}{
		"type 2":             {"02000004", 0, "chunk type 2 is not known"},
		"type 255":           {"ff000004", 0, "chunk type 255 is not known"},
		"length 0":           {"00000000", 0, "DATA chunk of length 0"},
		"length 3":           {"03000003", 0, "ACK chunk of length 3"},
		"DATA, words cut":    {"0000000f", 0, "DATA chunk of length 15"},
		"DATA, one word cut": {"0000000b", noPPID, "DATA chunk of length 11"},
		"long INIT":          {"01000008", 0, "INIT chunk of length 8"},
		"ACK of 6":           {"03000006", 0, "ACK chunk of length 6"},
		"ACK of 12":          {"0300000c", 0, "ACK chunk of length 12"},
		"no TLV":             {"04000004", 0, "HEARTBEAT chunk of length 4"},
		"half a TLV header":  {"05000007", 0, "HEARTBEAT ACK chunk of length 7"},
		"TLV type":           {"0400000800020004", 0, "heartbeat with parameter type 2, length 4 in 4 bytes"},
		"TLV too short":      {"0400000800010003", 0, "heartbeat with parameter type 1, length 3 in 4 bytes"},
		"TLV too long":       {"0400000800010005", 0, "heartbeat with parameter type 1, length 5 in 4 bytes"},
		"more than a TLV":    {"0400000c0001000400000000", 0, "heartbeat with parameter type 1, length 4 in 8 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, n, err := parseChunk(unhex(t, tt.wire), tt.peer)
			if n != 0 || !errors.Is(err, ErrProtocol) {
				t.Fatalf("took %d bytes: %v", n, err)
			}
			if want := ErrProtocol.Error() + ": " + tt.want; err.Error() != want {
				t.Fatalf("error %q, want %q", err, want)
			}
		})
	}
}

// TestLongest: the longest chunk is exactly as long as a large buffer, so the beginning of any chunk fits one.
func TestLongest(t *testing.T) {
	c := chunk{kind: chunkData, body: make([]byte, maxData)}
	wire := c.append(nil, 0)
	if len(wire) != maxChunk {
		t.Fatalf("%d bytes on the wire, want %d", len(wire), maxChunk)
	}
	got, n, err := parseChunk(wire, 0)
	if err != nil || n != len(wire) || len(got.body) != maxData {
		t.Fatalf("took %d bytes, body %d: %v", n, len(got.body), err)
	}
}
