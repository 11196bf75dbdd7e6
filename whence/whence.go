// Package whence says where a client's connection comes from, and reads and writes the header in which one proxy tells it to the next: the
// PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/3.4/doc/proxy-protocol.txt).
//
// The headers themselves are the business of github.com/pires/go-proxyproto, of which only the functions between bytes and structs are
// used: its connections and listeners wait, and here nothing may. What this package adds is where a header ends, so that the library is
// given whole ones only, and bounds.
package whence

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Ends are the two ends of a client's connection, as the client sees them. The zero Ends are not known.
type Ends struct {
	Client netip.AddrPort // its own address
	Dialed netip.AddrPort // where it has connected to
}

// Known reports whether both ends are known.
func (e Ends) Known() bool { return e.Client.IsValid() && e.Dialed.IsValid() }

// Version is a version of the PROXY protocol, as a server is sent it.
type Version uint8

const (
	None Version = iota // no header is sent
	V1                  // a line of text
	V2                  // binary
)

func (v Version) String() string { return [...]string{"none", "v1", "v2"}[v] }

// MaxHeader bounds a header, in bytes. One of version 1 has 107 at most; one of version 2 has 52 and what its sender adds (TLVs).
const MaxHeader = 4096

// maxLine is the longest header of version 1 with its end, in bytes, says the specification (§2.1).
const maxLine = 107

// fixedV2 is the part of a header of version 2 that has the same length in all, in bytes; its last two are the length of the rest.
const fixedV2 = 16

var (
	// ErrNoHeader says that what has come is no header of the PROXY protocol.
	ErrNoHeader = errors.New("it is no PROXY protocol header")

	// ErrHeader is wrapped by the error of a header that cannot be understood, or is too long.
	ErrHeader = errors.New("bad PROXY protocol header")
)

var (
	line  = append(proxyproto.SIGV1[:len(proxyproto.SIGV1):len(proxyproto.SIGV1)], ' ') // what version 1 begins with
	sigV2 = proxyproto.SIGV2                                                            // what version 2 begins with
)

// Parse reads the header that p begins with, and returns how many bytes it has. 0 without an error says that it is not complete. A header
// that names no addresses (version 1: UNKNOWN; version 2: LOCAL, as health checks send it, or unix sockets) has Ends that are not Known:
// those of the connection that it came on count. The errors are ErrNoHeader and ErrHeader. p is not kept.
func Parse(p []byte) (e Ends, n int, err error) {
	if n, err = length(p); n == 0 || err != nil {
		return Ends{}, 0, err
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(p[:n]), n))
	switch {
	case err != nil:
		return Ends{}, 0, fmt.Errorf("%w: %w", ErrHeader, err)
	case h.Command == proxyproto.LOCAL || h.TransportProtocol == proxyproto.UnixStream:
		return Ends{}, n, nil
	}
	from, to, ok := h.TCPAddrs()
	if !ok {
		return Ends{}, 0, fmt.Errorf("%w: it is not about a connection of TCP", ErrHeader)
	}
	return Ends{Client: plain(from), Dialed: plain(to)}, n, nil
}

// length is how long the header is that p begins with; 0 while that is not known, or not all of it is there.
func length(p []byte) (int, error) {
	switch {
	case bytes.HasPrefix(p, sigV2):
		if len(p) < fixedV2 {
			return 0, nil
		}
		n := fixedV2 + int(binary.BigEndian.Uint16(p[fixedV2-2:]))
		if n > MaxHeader {
			return 0, fmt.Errorf("%w: it has %d bytes, more than %d", ErrHeader, n, MaxHeader)
		}
		if len(p) < n {
			return 0, nil
		}
		return n, nil
	case bytes.HasPrefix(p, line):
		end := bytes.IndexByte(p[:min(len(p), maxLine)], '\n')
		if end < 0 && len(p) >= maxLine {
			return 0, fmt.Errorf("%w: it does not end within %d bytes", ErrHeader, maxLine)
		}
		return end + 1, nil
	case bytes.HasPrefix(sigV2, p) || bytes.HasPrefix(line, p):
		return 0, nil
	}
	return 0, ErrNoHeader
}

// plain is an address of the library's; an IPv4 address in IPv6 clothes is shown as IPv4.
func plain(a *net.TCPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Append appends the header in which a server is told of e. Where e is not known the header says just that, so that the server takes the
// address of the connection. An address of IPv4 beside one of IPv6 is written in IPv6 clothes. Zones are lost: there is no place for them.
func (v Version) Append(p []byte, e Ends) []byte {
	if v == None {
		return p
	}
	h := proxyproto.Header{Version: byte(v), Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	if e.Known() {
		h = *proxyproto.HeaderProxyFromAddrs(byte(v), net.TCPAddrFromAddrPort(e.Client), net.TCPAddrFromAddrPort(e.Dialed))
	}
	header, err := h.Format()
	if err != nil {
		panic("whence: a header of valid addresses cannot be written: " + err.Error())
	}
	return append(p, header...)
}
