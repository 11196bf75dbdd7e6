//go:build linux

package test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// Bytes of the wire, made here from docs/protocol.md and not by the code under test.
const (
	wireInit    = "01000004"
	ppidSession = 0x70700001
	ppidEnd     = 0x70700003
)

// data is a DATA chunk with all words.
func data(tsn uint32, stream, ssn uint16, ppid uint32, body []byte) []byte {
	p := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(16+len(body)))
	p = binary.BigEndian.AppendUint32(p, tsn)
	p = binary.BigEndian.AppendUint16(p, stream)
	p = binary.BigEndian.AppendUint16(p, ssn)
	p = binary.BigEndian.AppendUint32(p, ppid)
	p = append(p, body...)
	return append(p, make([]byte, -len(p)&3)...)
}

// hello is the first message of the session protocol.
func hello(version, oldest byte) []byte {
	p := append([]byte{1, version, oldest, 0}, bytes.Repeat([]byte{0x5a}, 16)...)
	p = binary.BigEndian.AppendUint64(p, 65536)
	return append(binary.BigEndian.AppendUint32(p, 0), "stranger"...)
}

// open begins leg 1 of a session. Each session needs a token of its own: a leg may be kept for a while after its association.
func open(token byte) []byte {
	p := append([]byte{2, 0, 0, 0}, bytes.Repeat([]byte{token}, 16)...)
	p = binary.BigEndian.AppendUint64(p, 77)
	p = binary.BigEndian.AppendUint32(p, 1)
	p = binary.BigEndian.AppendUint32(p, 1000)
	return append(p, "test"...)
}

// resume asks for leg 1 of a session that the peer does not know.
func resume() []byte {
	p := append([]byte{5, 0, 0, 0}, bytes.Repeat([]byte{0xee}, 16)...)
	p = binary.BigEndian.AppendUint32(p, 1)
	return positions(p, 0, 65536)
}

// positions appends what was received, and the credit.
func positions(p []byte, received, credit uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(p, received), credit)
}

// join puts wire bytes behind an INIT.
func join(parts ...[]byte) []byte {
	p, _ := hex.DecodeString(wireInit)
	return append(p, bytes.Join(parts, nil)...)
}

// control is a message of the session protocol as the first DATA on stream 0.
func control(body []byte) []byte { return data(0, 0, 0, ppidSession, body) }

// hostility is what a stranger sends to a pool_element, and how that must be answered.
type hostility struct {
	name string
	send []byte
	// refusal is the type of the message of the session protocol that refuses (4 refused, 9 reset); 0: the association must end.
	refusal byte
	logged  string // a part of the reason in the log, in lower case
}

func hostilities() []hostility {
	const stream = 1
	good := control(hello(1, 1))
	opened := func(token byte) []byte { return join(good, data(1, stream, 0, ppidSession, open(token))) }
	after := func(token byte, body []byte) []byte {
		return append(opened(token), data(2, stream, 1, ppidSession, body)...)
	}
	return []hostility{
		{"another protocol", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0, "chunk type 71 is not known"},
		{"data before INIT", good, 0, "data before init"},
		{"a long INIT", []byte{1, 0, 0, 8, 0, 0, 0, 0}, 0, "init chunk of length 8"},
		{"two INITs", join([]byte{1, 0, 0, 4}), 0, "second init"},
		{"a chunk shorter than its header", join([]byte{0, 0, 0, 3}), 0, "chunk of length 3"},
		{"a chunk shorter than its words", join([]byte{0, 0, 0, 8, 0, 0, 0, 0}), 0, "chunk of length 8"},
		{"a wrong TSN", join(data(7, 0, 0, ppidSession, hello(1, 1))), 0, "tsn 7, expected 0"},
		{"a heartbeat that lies about its length", join([]byte{4, 0, 0, 8, 0, 1, 0xff, 0xff}), 0, "length 65535 in 4 bytes"},
		{"an ACK of nothing", join([]byte{3, 0, 0, 8, 0, 0, 0, 9}), 0, "ack for tsn 9"},
		{"no HELLO", join(data(0, stream, 0, ppidSession, open(1))), 0, "came before hello"},
		{"a wrong version", join(control(hello(99, 99))), 0, "versions 99 to 99"},
		{"a HELLO cut short", join(control(hello(1, 1)[:20])), 0, "type 1 has 20 bytes"},
		{"an oversized message", join(control(append(hello(1, 1), make([]byte, 65000)...))), 0, "type 1 has 65040 bytes"},
		{"a huge first credit", join(control(append(hello(1, 1)[:20], 0x3f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0))), 0, "first credit"},
		{"an unknown message", join(good, data(1, stream, 0, ppidSession, []byte{200, 0, 0, 0})), 0, "type 200 is not known"},
		{"a resume of another's session", join(good, data(1, stream, 0, ppidSession, resume())), 4, "resume refused"},
		{"an acknowledgement of what was never sent", after(2, positions([]byte{7, 0, 0, 0}, 1<<40, 1<<41)), 9, "acknowledgement of 1099511627776"},
		{"a position beyond all files", after(3, positions([]byte{7, 0, 0, 0}, 1<<63, 1<<63)), 0, "out of range"},
		{"an end before what was sent", slices.Concat(opened(4), data(2, stream, 1, ppidEnd, []byte("some bytes")),
			data(3, stream, 2, ppidSession, binary.BigEndian.AppendUint64([]byte{8, 0, 0, 0}, 3))), 9, "an end at 3"},
	}
}

// TestHostileUser is the peer's part of issue 2, item 11: a stranger sends bad bytes to a pool_element. Each is refused, the log
// says why, and the session beside it goes on.
func TestHostileUser(t *testing.T) {
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line"}})
	client := f.dial()
	in := bufio.NewReader(client)
	ask(t, client, in, 0)
	for i, h := range hostilities() {
		t.Run(h.name, func(t *testing.T) {
			before := len(f.elements[0].sidecar.output(f.t))
			stranger, err := net.Dial("tcp", f.elements[0].listen)
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close()
			if _, err := stranger.Write(h.send); err != nil {
				t.Fatal(err)
			}
			if err := refused(stranger, h.refusal); err != nil {
				t.Error(err)
			}
			waitFor(t, fmt.Sprintf("the log to say %q", h.logged), func() bool {
				return strings.Contains(strings.ToLower(f.elements[0].sidecar.output(f.t)[before:]), h.logged)
			})
			ask(t, client, in, i+1)
		})
	}
	if n := strings.Count(f.elements[0].sidecar.output(t), "panic"); n > 0 {
		t.Errorf("the sidecar panicked %d times", n)
	}
}

// refused reads chunks until the association ends, or the refusing message comes.
func refused(conn net.Conn, refusal byte) error {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	for {
		header := make([]byte, 4)
		if _, err := io.ReadFull(in, header); err != nil {
			if got := ending(err); refusal != 0 || got == "nothing in time" {
				return fmt.Errorf("the answer was %s", got)
			}
			return nil
		}
		length := int(binary.BigEndian.Uint16(header[2:]))
		if length < len(header) {
			return fmt.Errorf("the answer has a chunk of length %d", length)
		}
		body := make([]byte, (length-len(header)+3)&^3)
		if _, err := io.ReadFull(in, body); err != nil {
			continue // the next read says how it ended
		}
		if header[0] == 0 && len(body) > 12 && refusal != 0 && body[12] == refusal {
			return nil
		}
	}
}

// TestHostileElement is the same the other way round: what the pool names as an element is none. Its session is served by the other.
func TestHostileElement(t *testing.T) {
	strangers := []struct {
		name   string
		says   []byte
		logged string
	}{
		{"another protocol", []byte("SSH-2.0-OpenSSH_9.2\r\n"), "chunk type 83 is not known"},
		{"a wrong version", join(control(hello(99, 99))), "versions 99 to 99"},
		{"a bad message", join(control(hello(1, 1)), data(1, 1, 0, ppidSession, []byte{200, 0, 0, 0})), "type 200 is not known"},
	}
	for _, s := range strangers {
		t.Run(s.name, func(t *testing.T) {
			stranger := startStranger(t, s.says)
			first := true
			f := launch(t, plan{
				mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line", "line"},
				between: func(address string) string {
					if first {
						first = false
						return stranger
					}
					return address
				},
			})
			for i := range 4 { // round robin: some of them go to the stranger first
				client := f.dial()
				ask(t, client, bufio.NewReader(client), i)
			}
			f.user.said(t, s.logged, 1)
		})
	}
}

// startStranger listens, and says the same to everybody. It is closed when the test ends.
func startStranger(t *testing.T, says []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer conn.Close()
				if _, err := conn.Write(says); err == nil {
					io.Copy(io.Discard, conn) // until the other side has had enough
				}
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}
