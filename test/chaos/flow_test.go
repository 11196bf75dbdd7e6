//go:build linux

package chaos

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// packet is an IPv4 packet with TCP in it. bytes are the reader's, until it reads the next one.
type packet struct {
	bytes    []byte
	from, to netip.AddrPort
	seq, ack uint32
	flags    byte
	length   uint32 // of what it carries; SYN and FIN count as one each
}

const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// parse reads the two headers. What is not whole, or not IPv4, is none; what is not TCP has no ports.
func parse(b []byte) (*packet, bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return nil, false
	}
	head := int(b[0]&15) * 4
	p := &packet{bytes: b}
	from, to := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	if b[9] != 6 || len(b) < head+20 {
		p.from, p.to = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
		return p, true
	}
	t := b[head:]
	p.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(t))
	p.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(t[2:]))
	p.seq, p.ack, p.flags = binary.BigEndian.Uint32(t[4:]), binary.BigEndian.Uint32(t[8:]), t[13]
	p.length = uint32(max(0, len(t)-int(t[12]>>4)*4))
	if p.flags&(flagSYN|flagFIN) != 0 {
		p.length++
	}
	return p, true
}

// direction is one half of a connection.
type direction struct{ from, to netip.AddrPort }

// position is how far the receiver of a direction has come: what a reset must have as its sequence number.
type position struct {
	next     uint32
	finished bool      // its FIN was seen
	last     time.Time // when its last packet came
	dead     time.Time // when it was reset: whoever still sends is told so. Zero: it was not
}

// forgotten is how long a connection without a packet is remembered: the ends of those whose cable was cut are not seen here.
const forgotten = 2 * time.Minute

// mourned is how long a connection that was reset is remembered. Its ends have noticed by then, or their kernels tell each other.
const mourned = 2 * time.Second

// flows follows the connections that cross the exchange.
type flows struct {
	mu    sync.Mutex
	known map[direction]*position
}

// see notes a packet. If its connection was reset, it answers in place of the other end, and the packet goes nowhere.
func (f *flows) see(p *packet) (answer [][]byte) {
	if p.from.Port() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	here, there := direction{p.from, p.to}, direction{p.to, p.from}
	at := f.known[here]
	switch {
	case p.flags&flagRST != 0:
		delete(f.known, here)
		delete(f.known, there)
		return nil
	case p.flags&flagSYN != 0:
		at = &position{next: p.seq + p.length}
		f.known[here] = at
	case at == nil:
		return nil
	case !at.dead.IsZero():
		return [][]byte{segment(there, p.ack), segment(here, p.seq)}
	case int32(p.seq+p.length-at.next) > 0:
		at.next = p.seq + p.length
	}
	at.last = time.Now()
	at.finished = at.finished || p.flags&flagFIN != 0
	// What the sender acknowledges is where the receiver of the other direction, the sender, stands: exactly, unlike what was sent.
	other := f.known[there]
	if other != nil && p.flags&flagACK != 0 && int32(p.ack-other.next) > 0 {
		other.next = p.ack
	}
	if other != nil && other.finished && at.finished {
		delete(f.known, here)
		delete(f.known, there)
	}
	return nil
}

// reset declares the connections with a port dead, and returns the segments that tell both ends.
func (f *flows) reset(at netip.AddrPort) (packets [][]byte, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for d, p := range f.known {
		switch {
		case !p.dead.IsZero() && now.Sub(p.dead) > mourned || now.Sub(p.last) > forgotten:
			delete(f.known, d)
		case p.dead.IsZero() && (d.to == at || d.from == at):
			p.dead = now
			packets = append(packets, segment(d, p.next))
			if d.to == at {
				n++
			}
		}
	}
	return packets, n
}

// open reports whether there is a connection with a port that can be reset.
func (f *flows) open(at netip.AddrPort) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d, p := range f.known {
		if d.to == at && p.dead.IsZero() && time.Since(p.last) <= forgotten {
			return true
		}
	}
	return false
}

// segment is an IPv4 packet with a RST.
func segment(d direction, seq uint32) []byte {
	b := make([]byte, 40)
	from, to := d.from.Addr().As4(), d.to.Addr().As4()
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], 40)
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], checksum(b[:20], 0))
	t := b[20:]
	binary.BigEndian.PutUint16(t, d.from.Port())
	binary.BigEndian.PutUint16(t[2:], d.to.Port())
	binary.BigEndian.PutUint32(t[4:], seq)
	t[12], t[13] = 5<<4, flagRST
	pseudo := sum(b[12:20]) + 6 + 20
	binary.BigEndian.PutUint16(t[16:], checksum(t, pseudo))
	return b
}

func sum(b []byte) (total uint32) {
	for i := 0; i+1 < len(b); i += 2 {
		total += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return total
}

// checksum is that of IP and TCP (RFC 1071).
func checksum(b []byte, start uint32) uint16 {
	total := start + sum(b)
	for total>>16 != 0 {
		total = total&0xffff + total>>16
	}
	return ^uint16(total)
}
