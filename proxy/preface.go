package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/whence"
)

// preface is the connection of a proxy whose header of the PROXY protocol has not come in full. It counts among the sessions, has a small
// buffer, and little time. With the header the session begins, and what has come behind it is the client's first words.
type preface struct {
	side   *userSide
	conn   loop.Conn
	ends   whence.Ends  // of the connection itself: a header without addresses means these
	buffer *loop.Buffer // nil: it is over
	got    int          // bytes in it
	next   loop.Handler // who has the connection behind the header; nil: it has not come
	limit  loop.Timer
	began  time.Time
	within time.Duration // how much time it has, from then on
}

func newPreface(u *userSide, conn loop.Conn, ends whence.Ends) *preface {
	p := &preface{side: u, conn: conn, ends: ends, began: u.shard.loop.Now(), within: u.config.Accept.Timeout}
	p.wait()
	return p
}

// wait gives it a buffer, and begins its time.
func (p *preface) wait() {
	l := p.side.shard.loop
	p.buffer, p.limit.Func = l.Buffers().Get(whence.MaxHeader), p.late
	l.Schedule(&p.limit, p.began.Add(p.within))
	p.side.prefaces[p] = true
}

// Ready reads until the header is there (loop.Handler).
func (p *preface) Ready(ev loop.Event) {
	switch {
	case p.next != nil:
		p.next.Ready(ev)
	case p.buffer != nil:
		p.read()
	}
}

func (p *preface) read() {
	for {
		room := p.buffer.Bytes[p.got:whence.MaxHeader]
		n, err := p.conn.Read(room)
		p.got += n
		ends, size, bad := whence.Parse(p.buffer.Bytes[:p.got])
		switch {
		case errors.Is(bad, whence.ErrNoHeader):
			p.refuse(refusedNoHeader, nil)
		case bad != nil:
			p.refuse(refusedHeader, bad)
		case size > 0:
			p.begin(ends, size)
		case errors.Is(err, loop.ErrAgain):
		case errors.Is(err, io.EOF):
			p.refuse(refusedShort, fmt.Errorf("%d bytes had come", p.got))
		case err != nil:
			p.refuse(refusedShort, err)
		case n == len(room): // more may have come; there is room for a whole header
			continue
		}
		return
	}
}

// begin begins the session, or its handshake; size is the length of the header.
func (p *preface) begin(ends whence.Ends, size int) {
	if !ends.Known() {
		ends = p.ends
	}
	buffer, rest := p.buffer, p.got-size
	copy(buffer.Bytes, buffer.Bytes[size:p.got])
	p.forget()
	if p.side.door != nil {
		p.shake(ends, buffer.Bytes[:rest])
		buffer.Drop()
		return
	}
	client := p.side.serveClient(p.conn, ends)
	p.next = client
	if rest == 0 || !client.rules.Take(buffer, rest) {
		buffer.Drop()
	}
	client.readable = true
	client.read()
}

// shake begins the handshake of a client, whose first bytes are there already.
func (p *preface) shake(ends whence.Ends, first []byte) {
	p.next = p.side.enter(&begun{p.conn, append([]byte(nil), first...)}, ends)
	if p.next == nil {
		p.conn.Reset()
		return
	}
	p.next.Ready(loop.Readable)
	p.side.shard.loop.Post(func() { // a short count has told the reader that there is no more: what is behind the first bytes
		if !p.side.shard.closed {
			p.next.Ready(loop.Readable)
		}
	})
}

// begun is a connection of which something has been read that is for another reader.
type begun struct {
	loop.Conn
	first []byte
}

// Read returns that first.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

func (p *preface) late() {
	p.refuse(refusedLate, fmt.Errorf("%d bytes of it have come in %v", p.got, p.within))
}

// refuse ends a connection that does not become a session.
func (p *preface) refuse(r refusal, why error) {
	p.side.refuse(r, p.conn.Remote(), why)
	p.end()
}

// end ends the connection.
func (p *preface) end() {
	buffer := p.buffer
	p.forget()
	buffer.Drop()
	p.conn.Reset()
	load := &p.side.shard.common.loads[p.side.shard.index]
	load.sessions.Add(-1)
}

func (p *preface) forget() {
	p.side.shard.loop.Cancel(&p.limit)
	delete(p.side.prefaces, p)
	p.buffer = nil
}

// refusal is why a client gets no session.
type refusal int

const (
	refusedLimit refusal = iota
	refusedUntrusted
	refusedNoHeader
	refusedHeader
	refusedShort
	refusedLate
	refusedStranger
)

// refusals are the words for them: in the log, and, the first one, in the status and the metrics.
var refusals = [...]struct{ word, text string }{
	refusedLimit:     {"limit", "limits.sessions is reached"},
	refusedUntrusted: {"untrusted", "it is in none of the networks of proxy_protocol.trusted"},
	refusedNoHeader:  {"no_header", "it sends no PROXY protocol header, which proxy_protocol asks for"},
	refusedHeader:    {"bad_header", "its PROXY protocol header cannot be understood"},
	refusedShort:     {"ended", "the connection ended before its PROXY protocol header had come"},
	refusedLate:      {"late", "its PROXY protocol header does not come (proxy_protocol.timeout)"},
	refusedStranger:  {"no_match", "where it wants to go is in no match of this listener"},
}

// refusedAgain is how often a refusal for the same reason is a warning: anybody can bring them about, as often as they like.
const refusedAgain = time.Second

// refuse counts and logs a client that gets no session.
func (u *userSide) refuse(r refusal, from netip.AddrPort, why error) {
	u.refused[r]++
	u.shard.count(sessionsRefused, u.config.Pool, u.config.Name, refusals[r].word)
	level := hclog.Warn
	if now := u.shard.loop.Now(); now.Sub(u.warned[r]) < refusedAgain {
		level = hclog.Debug
	} else {
		u.warned[r] = now
	}
	args := []any{"pool_user", u.config.Name, "client", from}
	if why != nil {
		args = append(args, "reason", why)
	}
	u.shard.log.Log(level, "client refused: "+refusals[r].text, args...)
}

// trusts reports whether a peer's header is believed.
func (u *userSide) trusts(peer netip.Addr) bool {
	if u.config.Accept == nil {
		return true
	}
	peer = peer.WithZone("")
	for _, network := range u.config.Accept.Trusted {
		if network.Contains(peer) {
			return true
		}
	}
	return false
}
