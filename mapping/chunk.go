package mapping

import (
	"encoding/binary"
	"fmt"
)

// The chunks of the TCP mapping (draft-ietf-rserpool-tcpmapping-03 §3). On the wire each is
//
//	type u8 | flags u8 | length u16 | value | 0-3 bytes of padding
//
// where length counts header and value, not the padding that fills the chunk up to a multiple of four.
const (
	chunkData         = 0
	chunkInit         = 1
	chunkAck          = 3
	chunkHeartbeat    = 4
	chunkHeartbeatAck = 5
)

const (
	chunkHeader   = 4       // bytes
	maxChunk      = 1 << 16 // bytes on the wire, with padding
	maxData       = 65519   // bytes of user data beside all three words
	dataWords     = 12      // bytes of all three words
	infoHeader    = 4       // bytes of the TLV header in a heartbeat
	infoType      = 1       // TLV type of Heartbeat Info
	flagUnordered = 0x04    // in DATA
)

// words are the flags of INIT: which words the sender of that INIT leaves out of its DATA chunks.
type words uint8

const (
	noTSN    words = 1 << iota // T; also asks that ACKs to the sender carry none
	noStream                   // S; all is stream 0
	noPPID                     // P; the PPID is 0
	allWords = noTSN | noStream | noPPID
)

// size is how many bytes of words a DATA chunk carries.
func (w words) size() int {
	n := dataWords
	for f := noTSN; f < allWords; f <<= 1 {
		if w&f != 0 {
			n -= 4
		}
	}
	return n
}

// chunk is a chunk as it was parsed, or is to be written. Fields that its kind has no use for are zero.
type chunk struct {
	kind      uint8
	init      words  // INIT
	unordered bool   // DATA
	hasTSN    bool   // ACK: the long form
	tsn       uint32 // DATA, ACK
	stream    uint16 // DATA
	ssn       uint16 // DATA: sequence number in the stream
	ppid      uint32 // DATA
	body      []byte // DATA: user data; heartbeats: the whole TLV. Lies in the parsed bytes.
	pages     int    // DATA whose user data lies in a pipe: how long it is; body is nil then
}

// parseChunk reads the chunk at the beginning of b. peer is what the sender's INIT said. n is how many bytes the chunk takes,
// padding included; it is 0 when b does not hold all of it yet. Unspecified flags and the padding are ignored, as the draft asks.
// Errors wrap ErrProtocol.
func parseChunk(b []byte, peer words) (c chunk, n int, err error) {
	if len(b) < chunkHeader {
		return chunk{}, 0, nil
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if err := checkHeader(b[0], length, peer); err != nil {
		return chunk{}, 0, err
	}
	n = padded(length)
	if len(b) < n {
		return chunk{}, 0, nil
	}
	c = chunk{kind: b[0]}
	value := b[chunkHeader:length]
	switch c.kind {
	case chunkInit:
		c.init = words(b[1]) & allWords
	case chunkData:
		c.unordered = b[1]&flagUnordered != 0
		c.parseWords(value, peer)
	case chunkAck:
		if len(value) == 4 {
			c.hasTSN, c.tsn = true, binary.BigEndian.Uint32(value)
		}
	default: // both heartbeats: checkHeader let nothing else through
		c.body = value
		if err := checkInfo(value); err != nil {
			return chunk{}, 0, err
		}
	}
	return c, n, nil
}

// checkHeader rejects a bad chunk by its first four bytes, before the rest is waited for.
func checkHeader(kind uint8, length int, peer words) error {
	bad := false
	switch kind {
	case chunkData:
		bad = length < chunkHeader+peer.size()
	case chunkInit:
		bad = length != chunkHeader
	case chunkAck:
		bad = length != chunkHeader && length != chunkHeader+4
	case chunkHeartbeat, chunkHeartbeatAck:
		bad = length < chunkHeader+infoHeader
	default:
		return fmt.Errorf("%w: chunk type %d is not known", ErrProtocol, kind)
	}
	if bad {
		return fmt.Errorf("%w: %s chunk of length %d", ErrProtocol, kindName(kind), length)
	}
	return nil
}

// checkInfo rejects a heartbeat whose TLV is not one Heartbeat Info. Padding of the TLV may be counted in the chunk's length.
func checkInfo(tlv []byte) error {
	kind, length := binary.BigEndian.Uint16(tlv), int(binary.BigEndian.Uint16(tlv[2:]))
	if kind != infoType || length < infoHeader || length > len(tlv) || len(tlv) > padded(length) {
		return fmt.Errorf("%w: heartbeat with parameter type %d, length %d in %d bytes", ErrProtocol, kind, length, len(tlv))
	}
	return nil
}

func (c *chunk) parseWords(value []byte, peer words) {
	if peer&noTSN == 0 {
		c.tsn, value = binary.BigEndian.Uint32(value), value[4:]
	}
	if peer&noStream == 0 {
		c.stream, c.ssn, value = binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value[2:]), value[4:]
	}
	if peer&noPPID == 0 {
		c.ppid, value = binary.BigEndian.Uint32(value), value[4:]
	}
	c.body = value
}

// appendHead appends the chunk up to where the body begins; the body and its padding must follow. own is what our INIT said.
func (c *chunk) appendHead(dst []byte, own words) []byte {
	length, flags := chunkHeader+len(c.body)+c.pages, uint8(0)
	switch c.kind {
	case chunkInit:
		flags = uint8(c.init)
	case chunkData:
		length += own.size()
		if c.unordered {
			flags = flagUnordered
		}
	case chunkAck:
		if c.hasTSN {
			length += 4
		}
	}
	dst = append(dst, c.kind, flags, byte(length>>8), byte(length))
	if c.hasTSN || c.kind == chunkData && own&noTSN == 0 {
		dst = binary.BigEndian.AppendUint32(dst, c.tsn)
	}
	if c.kind != chunkData {
		return dst
	}
	if own&noStream == 0 {
		dst = binary.BigEndian.AppendUint16(dst, c.stream)
		dst = binary.BigEndian.AppendUint16(dst, c.ssn)
	}
	if own&noPPID == 0 {
		dst = binary.BigEndian.AppendUint32(dst, c.ppid)
	}
	return dst
}

// padding is what fills a chunk up.
var padding [3]byte

// pad returns the padding that follows a chunk with such a body.
func (c *chunk) pad() []byte { return padding[:padded(len(c.body)+c.pages)-len(c.body)-c.pages] }

// append appends the whole chunk.
func (c *chunk) append(dst []byte, own words) []byte {
	dst = c.appendHead(dst, own)
	dst = append(dst, c.body...)
	return append(dst, c.pad()...)
}

func padded(n int) int { return (n + 3) &^ 3 }

func kindName(kind uint8) string {
	switch kind {
	case chunkData:
		return "DATA"
	case chunkInit:
		return "INIT"
	case chunkAck:
		return "ACK"
	case chunkHeartbeat:
		return "HEARTBEAT"
	}
	return "HEARTBEAT ACK"
}
