package proxy

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/mdlayher/netlink"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// FuzzKernelAnswer: whatever the kernel writes, it is an answer to the question, or an error; and what an answer tells lies in it.
func FuzzKernelAnswer(f *testing.F) {
	at := netip.MustParseAddrPort("127.0.0.1:80")
	message := make([]byte, diagMessageSize)
	message[0], message[1] = 2, tcpListen
	for _, m := range []netlink.Message{
		{Header: netlink.Header{Length: netlinkHeader + diagMessageSize, Type: sockDiagByFamily, Sequence: 7}, Data: message},
		{Header: netlink.Header{Length: netlinkHeader + 20, Type: netlink.Error, Sequence: 7}, Data: append([]byte{0xfe, 0xff, 0xff, 0xff}, make([]byte, 16)...)},
		{Header: netlink.Header{Length: netlinkHeader + 4, Type: netlink.Done, Sequence: 7}, Data: make([]byte, 4)},
	} {
		b, err := m.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := parseAnswer(b, 7)
		if err != nil {
			return
		}
		m, err := answered(answer)
		if err != nil || m == nil {
			return
		}
		m.state()
		m.is(at, at)
		if m.inode() != binary.NativeEndian.Uint32(b[netlinkHeader+68:]) || m.received() != binary.NativeEndian.Uint32(b[netlinkHeader+56:]) {
			t.Fatalf("inode %d, received %d of %x", m.inode(), m.received(), b)
		}
	})
}

// FuzzProc: what /proc says of processes and of their descriptors. The name of a process is its own choice.
func FuzzProc(f *testing.F) {
	f.Add("redis-server", []byte(" S 1 2 3 4 5 4194560 0"), []byte("socket:[4711]"))
	f.Add("a) Z 1 2 3 4 5 4 6 (b", []byte(" R 1 2 3 4 5 4194308 0"), []byte("socket:[99999999999]"))
	f.Add("", []byte(" X"), []byte("socket:["))
	f.Fuzz(func(t *testing.T, name string, rest, link []byte) {
		if bytes.IndexByte(rest, ')') < 0 {
			plain := leaving(append([]byte("4711 (x)"), rest...))
			if named := leaving(append([]byte("4711 ("+name+")"), rest...)); named != plain {
				t.Fatalf("a process called %q is taken to leave: %v, another one: %v", name, named, plain)
			}
		}
		leaving(rest)
		if id, is := socketOf(link); is && !bytes.HasPrefix(link, []byte("socket:[")) {
			t.Fatalf("%q is socket %d", link, id)
		}
	})
}

// FuzzLoadOutput: what the program that tells the load has written.
func FuzzLoadOutput(f *testing.F) {
	for _, seed := range []string{"42", " 99.5 %\n", "100", "-0", "NaN", "1e-400", "0x1p4", "101", "%", "7 of 9"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, output []byte) {
		load, err := parseLoad(output)
		if err != nil && (load != 0 || len(err.Error()) > 4*shownLoad+60) {
			t.Fatalf("%d, and the error has %d bytes: %v", load, len(err.Error()), err)
		}
	})
}

// FuzzNewcomer: what is looked at of a connection to find out which shard is to have it names the one whose rules then take its HELLO.
func FuzzNewcomer(f *testing.F) {
	hello := []byte{1, 1, 1, 0, 16: 7, 31: 0}
	f.Add(append([]byte{1, 0, 0, 4, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0x70, 0x70, 0, 1}, hello...))
	f.Add([]byte{1, 0, 0, 4, 4, 0, 0, 8, 0, 1, 0, 4})
	f.Fuzz(func(t *testing.T, wire []byte) {
		first := wire[:min(len(wire), mostFirst)]
		m, done := mapping.TCPMapping{}.FirstMessage(first)
		instance, ok := session.PeerInstance(m)
		if ok && (!done || m.Stream != 0 || m.PPID != mapping.PPIDSession) {
			t.Fatalf("%x is taken for a HELLO: %+v", first, m)
		}
		if n := instance.Spread(3); n < 0 || n > 2 {
			t.Fatalf("shard %d", n)
		}
		if more, _ := (mapping.TCPMapping{}).FirstMessage(wire[:len(first)/2]); ok && len(more.Data) > 0 && !bytes.Equal(more.Data, m.Data) {
			t.Fatalf("half of it is another message: %x, %x", more.Data, m.Data)
		}
	})
}
