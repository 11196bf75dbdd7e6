package proxy

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/whence"
)

// A preface in another process's hands: how long it has waited, and may wait in all, in ns; the ends of the connection, as whence writes them;
// what has come of the header.

// prefaces passes on the connections whose header is awaited, always in the same order.
func (g *giver) prefaces(u *userSide) {
	for _, p := range slices.SortedFunc(maps.Keys(u.prefaces), func(a, b *preface) int { return a.conn.Remote().Compare(b.conn.Remote()) }) {
		what := fmt.Sprintf("the connection of %v to pool_user %q, whose PROXY header has not come,", p.conn.Remote(), u.config.Name)
		g.connection(carried{kind: carriedPreface, block: u.config.Name, state: p.freeze(nil)}, &local{Conn: p.conn}, what)
	}
}

func (p *preface) freeze(to []byte) []byte {
	to = binary.AppendUvarint(to, uint64(max(0, p.side.shard.loop.Now().Sub(p.began))))
	to = binary.AppendUvarint(to, uint64(p.within))
	ends := p.ends.Wire(nil)
	to = append(binary.AppendUvarint(to, uint64(len(ends))), ends...)
	return append(to, p.buffer.Bytes[:p.got]...)
}

// mostPrefaceTime bounds what another process says of a preface's time; the configuration has a narrower bound.
const mostPrefaceTime = 24 * time.Hour

// takePreface takes a connection whose header has not come in full. It waits for that also where the new configuration asks no header of others.
func (u *userSide) takePreface(c *carried, fd int) (err error) {
	r := carriedReader{rest: c.state}
	waited, within := time.Duration(r.number(uint64(mostPrefaceTime))), time.Duration(r.number(uint64(mostPrefaceTime)))
	ends, known := whence.FromWire(r.bytes())
	if r.bad || !known || len(r.rest) > whence.MaxHeader {
		return fmt.Errorf("%w: a connection of pool_user %q whose PROXY header is awaited", errCarried, c.block)
	}
	p := &preface{side: u, ends: ends, got: len(r.rest), began: u.shard.loop.Now().Add(-waited), within: within}
	if p.conn, err = u.shard.connection(c, fd, p); err != nil {
		return err
	}
	p.wait()
	copy(p.buffer.Bytes, r.rest)
	u.shard.common.loads[u.shard.index].sessions.Add(1)
	return nil
}

// abandon lets go of the connection without a word.
func (p *preface) abandon() {
	buffer := p.buffer
	p.forget()
	buffer.Drop()
	if conn, ok := p.conn.(loop.Carrier); ok {
		conn.Abandon()
	}
}
