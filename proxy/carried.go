package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// What a process hands over to the one that takes its place, in bytes: one piece for each session and leg, and for each side of each shard
// what belongs to all of them. Both processes are of one program, mostly of one version; another one may still read what it finds here, or
// refuses it, and then the old process goes on.

// carriedVersion is the version of the pieces. What is in State has versions of its own.
const carriedVersion = 1

// carriedKind says what a piece is.
type carriedKind byte

const (
	carriedUser         carriedKind = 1 + iota // what sessions of a pool_user have in common, on one shard
	carriedSession                             // a session, with its client's connection
	carriedElement                             // what legs at a pool_element have in common, on one shard; of mapping none too
	carriedLeg                                 // a leg, with its server's connection
	carriedPool                                // what is known of the elements of a pool
	carriedTable                               // what redis servers have said of their commands, to a pool_user
	carriedRegistration                        // an element that was registered with the proxy's Handlespace: JSON of a handlespace.Kept
	carriedPreface                             // a connection to a pool_user whose PROXY header has not come in full
)

// carried is one piece.
type carried struct {
	kind     carriedKind
	shard    int
	block    string         // the name of the pool_user or pool_element; the pool's handle
	server   netip.AddrPort // of an element side with mapping none, which belongs to the pool_user block
	element  string         // its name there
	listener listenerID     // of a leg: what listened when its server was connected to
	ended    bool           // the connection: its end was read
	failed   bool           // it is known to the rules that it is broken
	drained  bool           // an operator has drained it: the pool_element
	conn     []byte         // what was known of it: loop.Kept; nil: there is none
	state    []byte
}

// Bounds of what another process says.
const (
	maxCarriedName  = 4 << 10 // bytes
	maxCarriedState = 64 << 20
)

var errCarried = errors.New("proxy: what the old process hands over is not understood")

// append writes a piece.
func (c *carried) append(to []byte) []byte {
	bits := byte(0)
	if c.ended {
		bits |= 1
	}
	if c.failed {
		bits |= 2
	}
	if c.drained {
		bits |= 4
	}
	to = append(to, carriedVersion, byte(c.kind), bits)
	to = binary.AppendUvarint(to, uint64(c.shard))
	to = binary.AppendUvarint(to, uint64(c.listener))
	server := ""
	if c.server.IsValid() {
		server = c.server.String()
	}
	for _, s := range []string{c.block, server, c.element, string(c.conn)} {
		to = append(binary.AppendUvarint(to, uint64(len(s))), s...)
	}
	return append(to, c.state...)
}

// parse reads a piece, which refers to p afterwards.
func (c *carried) parse(p []byte) error {
	if len(p) < 3 || p[0] != carriedVersion {
		return fmt.Errorf("%w: it is of another version", errCarried)
	}
	*c = carried{kind: carriedKind(p[1]), ended: p[2]&1 != 0, failed: p[2]&2 != 0, drained: p[2]&4 != 0}
	r := carriedReader{rest: p[3:]}
	shard, listener := r.number(MaxShards-1), r.number(1<<32-1)
	c.shard, c.listener = int(shard), listenerID(listener)
	c.block = string(r.bytes())
	server := string(r.bytes())
	c.element = string(r.bytes())
	c.conn = r.bytes()
	c.state = r.rest
	if server != "" && !r.bad {
		var err error
		c.server, err = netip.ParseAddrPort(server)
		r.bad = err != nil
	}
	if r.bad || c.kind == 0 || c.kind > carriedPreface || len(c.state) > maxCarriedState {
		return fmt.Errorf("%w: a piece of kind %d", errCarried, p[1])
	}
	return nil
}

// carriedReader takes one value after another; bad says that one was not there.
type carriedReader struct {
	rest []byte
	bad  bool
}

func (r *carriedReader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > most {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *carriedReader) bytes() []byte {
	n := r.number(maxCarriedName)
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}
