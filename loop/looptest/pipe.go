package looptest

import "fmt"

// packet is what travels. A packet that acknowledges goes the other way than what it acknowledges.
type packet struct {
	kind    kind
	bytes   int  // bytesPacket: how many; ackPacket: how many have arrived
	read    int  // ackPacket: how many were read, so that the window opens by as many
	withFin bool // ackPacket: the FIN has arrived
}

type kind uint8

const (
	synPacket kind = iota
	synAckPacket
	bytesPacket
	finPacket
	rstPacket
	ackPacket
)

func (p packet) String() string {
	switch p.kind {
	case bytesPacket:
		return fmt.Sprintf("%d bytes", p.bytes)
	case ackPacket:
		return fmt.Sprintf("ACK of %d, %d read, fin %t", p.bytes, p.read, p.withFin)
	}
	return [...]string{synPacket: "SYN", synAckPacket: "SYN ACK", finPacket: "FIN", rstPacket: "RST"}[p.kind]
}

// pipe is one direction of a connection: the send buffer, what is in flight, the receive buffer. As bytes only ever move on in
// order, one buffer holds the three, one behind the other, and moving on is counting.
type pipe struct {
	w        *World
	from, to *conn
	size     int // bound of the send buffer, and of the receive buffer

	buf    []byte // from head: received, then in flight, then unsent bytes
	head   int
	broken bool // nobody will receive: bytes are counted, not kept

	received, flight, unsent int

	unacked int // send buffer in use, as the sender knows it
	window  int // room in the receive buffer, as the sender knows it
	unsaid  int // read, and not yet told to the sender

	fin, finSent, finAcked bool // the sender's end of bytes: wanted, sent, known to have arrived
	eof                    bool // the FIN has arrived

	packets queue[packet] // under way; there is one event, or one entry in a list of lost ones, for each
	cut     bool          // nothing arrives any more
	hole    bool          // something was lost for good: only an RST can still be accepted
}

// send puts a packet on its way. Which event brings which packet is settled on arrival: that keeps the order, whatever the delays.
func (p *pipe) send(k packet) {
	if p.from.host.vanished || p.cut {
		return
	}
	p.packets.push(k)
	p.travel()
}

func (p *pipe) travel() {
	p.w.events.add(p, p.w.now+p.w.delay(p.from.host, p.to.host))
}

// fire is the arrival of the oldest packet.
func (p *pipe) fire() {
	if p.cut {
		return
	}
	to := p.to.host
	if path := p.w.path(p.from.host, to); path.stalled {
		path.lost = append(path.lost, p)
		return
	}
	if to.vanished {
		to.lost = append(to.lost, p)
		return
	}
	k := p.packets.pop()
	if p.w.trace != nil {
		p.w.tracef("%v: %v arrives", p.to, k)
	}
	if !p.hole || k.kind == rstPacket {
		p.to.receive(k)
	}
}

// resend is called for each packet that was lost, when there is hope again.
func (p *pipe) resend() {
	if p.cut {
		return
	}
	if !p.from.aborted {
		p.travel()
		return
	}
	p.packets.pop()
	p.hole = true
}

// room is how much the send buffer takes.
func (p *pipe) room() int { return p.size - p.unacked }

// write takes the first n bytes of bufs, which the caller knows to fit.
func (p *pipe) write(bufs [][]byte, n int) {
	p.unsent += n
	p.unacked += n
	if p.broken {
		return
	}
	if p.buf == nil {
		p.buf = p.w.memory()
	}
	if p.head > 0 && len(p.buf)+n > cap(p.buf) {
		p.buf = p.buf[:copy(p.buf, p.buf[p.head:])]
		p.head = 0
	}
	for _, b := range bufs {
		b = b[:min(n, len(b))]
		p.buf = append(p.buf, b...)
		n -= len(b)
	}
}

// read gives the first len(b) received bytes, which the caller knows to be there.
func (p *pipe) read(b []byte) {
	n := copy(b, p.buf[p.head:])
	p.head += n
	p.received -= n
	p.unsaid += n
	if p.head == len(p.buf) {
		p.buf, p.head = p.buf[:0], 0
	}
}

// abandon is called when the receiving end is gone: what has not arrived never will.
func (p *pipe) abandon() {
	if p.broken {
		return
	}
	p.broken = true
	p.buf = p.buf[:p.head+p.received]
}

// release gives the memory back, when nobody will read either.
func (p *pipe) release() {
	p.received = 0
	if p.buf != nil {
		p.w.buffers = append(p.w.buffers, p.buf[:0])
		p.buf, p.head = nil, 0
	}
}

// memory is an empty buffer to append to.
func (w *World) memory() []byte {
	if last := len(w.buffers) - 1; last >= 0 {
		b := w.buffers[last]
		w.buffers = w.buffers[:last]
		return b
	}
	return make([]byte, 0, 512)
}
