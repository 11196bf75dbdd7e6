package protocol

// redisLine collects a short line of RESP: a length, or the beginning of a status. It ends with CR LF.
type redisLine struct {
	text [40]byte // its beginning
	n    int      // bytes in text
	size int64    // bytes of the line so far, without its end
	cr   bool     // the last byte was a CR that may begin the end
}

// take looks for the end of the line. It returns how many bytes of p are the line's. done: its end is among them.
func (l *redisLine) take(p []byte) (n int, done bool) {
	for i, b := range p {
		if l.cr && b == '\n' {
			return i + 1, true
		}
		if l.cr {
			l.put('\r')
		}
		if l.cr = b == '\r'; !l.cr {
			l.put(b)
		}
	}
	return len(p), false
}

func (l *redisLine) put(b byte) {
	if l.n < len(l.text) {
		l.text[l.n] = b
		l.n++
	}
	l.size++
}

func (l *redisLine) reset() { l.n, l.size, l.cr = 0, 0, false }

// bytes is the beginning of the line, all of it if it is not longer than text.
func (l *redisLine) bytes() []byte { return l.text[:l.n] }

// number reads the whole line as servers do (string2ll): decimal, no plus, no leading zeros, no spaces.
func (l *redisLine) number() (v int64, ok bool) {
	p := l.bytes()
	if l.size != int64(l.n) || l.n == 0 {
		return 0, false
	}
	negative := p[0] == '-'
	if negative {
		p = p[1:]
	}
	if len(p) == 0 || len(p) > 18 || p[0] == '0' && (len(p) > 1 || negative) {
		return 0, false
	}
	for _, b := range p {
		if b < '0' || b > '9' {
			return 0, false
		}
		v = v*10 + int64(b-'0')
	}
	if negative {
		v = -v
	}
	return v, true
}
