package protocol

import "strconv"

// httpFramer continues the framing of the body that the client is reading, whatever framing the new server uses. Replies lets
// the client be only where a framer can go on: between two chunks, or in the data of one (all of which it may have).
type httpFramer struct {
	chunked bool
	open    bool  // in a chunk, whose closing CR LF is not written
	left    int64 // bytes that the open chunk still needs
}

// newFramer starts where the client is that was passed what b walked through and did not hold.
func newFramer(b *httpBody) httpFramer {
	f := httpFramer{chunked: b.kind == bodyChunked}
	if f.chunked && (b.phase == chunkData || b.phase == chunkEnd) {
		f.open, f.left = true, b.left
	}
	return f
}

// write returns data as the client must get it: data itself, or buf with data appended in chunks.
func (f *httpFramer) write(buf, data []byte) []byte {
	if !f.chunked {
		return data
	}
	if len(data) == 0 {
		return buf
	}
	n := min(f.left, int64(len(data)))
	if f.open {
		buf = append(buf, data[:n]...)
		f.left -= n
	}
	if data = data[n:]; len(data) == 0 {
		return buf
	}
	buf = f.shut(buf)
	buf = strconv.AppendInt(buf, int64(len(data)), 16)
	buf = append(buf, "\r\n"...)
	buf = append(buf, data...)
	return append(buf, "\r\n"...)
}

// shut ends a chunk that has all its data.
func (f *httpFramer) shut(buf []byte) []byte {
	if f.open {
		buf = append(buf, "\r\n"...)
	}
	f.open = false
	return buf
}

// finish appends the end of the body to buf, with these trailers (whole lines) where there is a place for them. An open chunk must
// have all its data.
func (f *httpFramer) finish(buf, trailers []byte) []byte {
	if !f.chunked {
		return buf
	}
	buf = append(f.shut(buf), "0\r\n"...)
	buf = append(buf, trailers...)
	return append(buf, "\r\n"...)
}
