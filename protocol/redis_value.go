package protocol

import "bytes"

const (
	redisMaxCount = 1<<31 - 1 // elements of one aggregate, or arguments: as in servers
	redisMaxBulk  = 1 << 40   // bytes of one string, which is never kept
	redisMaxDepth = 64        // aggregates within aggregates
	redisMaxLong  = 1 << 20   // bytes of a line that is not text but a number
)

// redisFrame is an open aggregate.
type redisFrame struct {
	left      int64 // elements to come; -1: until the end mark
	attribute bool  // it comes before a value and is none
}

// redisValue finds the end of one RESP value, of which it keeps no more than a few bytes: what is needed to tell pushes from replies.
type redisValue struct {
	typ    byte // of the part that is being read; 0: its first byte is next
	body   int64
	inBody bool // in a string of known length, or the CR LF behind it
	chunks bool // in a string that comes in chunks
	line   redisLine
	stack  []redisFrame
	behind bool  // an attribute has just ended: its value must come
	index  int64 // of the current element of the outermost aggregate

	// What is known of the value, in short.
	first  byte     // its type; attributes before it do not count
	null   bool     // it is a null, in whatever form
	word   [32]byte // a status or an error, or the aggregate's first element, if that is a string: its beginning
	length int      // bytes in word
	named  bool     // word is complete
	number int64    // the aggregate's third element, if that is a number
}

func (v *redisValue) reset() {
	stack := v.stack[:0]
	*v = redisValue{stack: stack}
}

// name is a status, an error, or the aggregate's first element; cut after 32 bytes.
func (v *redisValue) name() []byte { return v.word[:v.length] }

// next takes bytes of the value up to its end.
func (v *redisValue) next(p []byte) (n int, done bool, err error) {
	if len(p) > 0 && v.fresh() {
		if n = v.whole(p); n > 0 {
			return n, true, nil
		}
	}
	for n < len(p) && !done && err == nil {
		switch {
		case v.typ == 0:
			err = v.begin(p[n])
			n++
		case v.inBody:
			var k int
			k, done, err = v.string(p[n:])
			n += k
		default:
			k, end := v.line.take(p[n:])
			n += k
			if (v.typ == '+' || v.typ == '-') && len(v.stack) == 0 {
				v.length = copy(v.word[:], v.line.bytes())
			}
			switch {
			case end:
				done, err = v.header()
				v.line.reset()
			case v.line.size > redisMaxLong && bytes.IndexByte([]byte("+-("), v.typ) < 0:
				err = errRedis("reply", "a line of type %q is longer than %d bytes", v.typ, redisMaxLong)
			}
		}
	}
	return n, done, err
}

// begin takes the first byte of a value or of a part of one.
func (v *redisValue) begin(b byte) error {
	streamed := len(v.stack) > 0 && v.stack[len(v.stack)-1].left < 0
	switch {
	case v.chunks:
		if b != ';' {
			return errRedis("reply", "%q in place of the next chunk of a string", b)
		}
	case b == '.' && streamed && !v.behind:
	case bytes.IndexByte([]byte("+-:$*_#,(!=%~>|"), b) < 0:
		return errRedis("reply", "%q is no type of RESP", b)
	case b == '>' && len(v.stack) > 0:
		return errRedis("reply", "a push within another value")
	}
	if len(v.stack) == 0 && v.first == 0 && b != '|' {
		v.first = b
	}
	v.typ, v.behind = b, false
	return nil
}

// header takes the complete first line of a part.
func (v *redisValue) header() (done bool, err error) {
	typ := v.typ
	v.typ = 0
	switch typ {
	case '$', '!', '=', ';':
		return v.stringHeader(typ)
	case '*', '~', '>', '%', '|':
		return v.aggregate(typ)
	case '.':
		if v.line.size > 0 {
			return false, errRedis("reply", "text behind an end mark")
		}
		return v.closed(), nil
	case ':':
		if number, ok := v.line.number(); ok && v.index == 2 && len(v.stack) == 1 {
			v.number = number
		}
	case '_':
		v.null = len(v.stack) == 0
	case '+':
		v.called(v.line.bytes())
	}
	return v.ended(), nil
}

func (v *redisValue) stringHeader(typ byte) (done bool, err error) {
	if typ == '$' && v.line.size == 1 && v.line.text[0] == '?' {
		v.chunks = true
		return false, nil
	}
	size, ok := v.line.number()
	switch {
	case typ == '$' && ok && size == -1:
		v.null = len(v.stack) == 0
		return v.ended(), nil
	case !ok || size < 0 || size > redisMaxBulk:
		return false, errRedis("reply", "%q is no length of a string", v.line.bytes())
	case typ == ';' && size == 0:
		v.chunks = false
		return v.ended(), nil
	}
	v.typ, v.inBody, v.body = typ, true, size+2
	return false, nil
}

func (v *redisValue) aggregate(typ byte) (done bool, err error) {
	frame := redisFrame{attribute: typ == '|'}
	count, ok := v.line.number()
	switch {
	case v.line.size == 1 && v.line.text[0] == '?' && typ != '|' && typ != '>':
		frame.left = -1
	case typ == '*' && ok && count == -1:
		v.null = len(v.stack) == 0
		return v.ended(), nil
	case !ok || count < 0 || count > redisMaxCount:
		return false, errRedis("reply", "%q is no count of elements", v.line.bytes())
	case typ == '%' || typ == '|':
		frame.left = 2 * count
	default:
		frame.left = count
	}
	if frame.left == 0 {
		v.behind = frame.attribute
		return !frame.attribute && v.ended(), nil
	}
	if len(v.stack) == redisMaxDepth {
		return false, errRedis("reply", "more than %d aggregates within each other", redisMaxDepth)
	}
	v.stack = append(v.stack, frame)
	return false, nil
}

// string takes bytes of a string of known length, and the CR LF behind it.
func (v *redisValue) string(p []byte) (n int, done bool, err error) {
	if v.body > 2 {
		n = int(min(int64(len(p)), v.body-2))
		if v.naming() && v.typ == '$' {
			v.length += copy(v.word[v.length:], p[:n])
		}
		v.body -= int64(n)
	}
	for ; n < len(p) && v.body <= 2 && v.body > 0; n++ {
		if p[n] != "\n\r"[v.body-1] {
			return n, false, errRedis("reply", "%q behind a string, in place of its end", p[n])
		}
		v.body--
	}
	if v.body > 0 {
		return n, false, nil
	}
	v.inBody, v.typ = false, 0
	if v.chunks {
		return n, false, nil
	}
	v.named = v.named || v.naming()
	return n, v.ended(), nil
}

// naming reports whether the first element of the outermost aggregate is being read.
func (v *redisValue) naming() bool {
	return len(v.stack) == 1 && v.index == 0 && !v.stack[0].attribute && !v.named && !v.chunks
}

// called notes a status: the value itself, or the first element of the outermost aggregate.
func (v *redisValue) called(text []byte) {
	if len(v.stack) == 0 || v.naming() {
		v.length, v.named = copy(v.word[:], text), true
	}
}

// ended closes what ends with the value that was just read. It reports whether that is the outermost one.
func (v *redisValue) ended() bool {
	for len(v.stack) > 0 {
		top := &v.stack[len(v.stack)-1]
		if len(v.stack) == 1 && !top.attribute {
			v.index++
		}
		if top.left < 0 {
			return false
		}
		if top.left--; top.left > 0 {
			return false
		}
		if v.behind = top.attribute; v.behind {
			v.stack = v.stack[:len(v.stack)-1]
			return false
		}
		v.stack = v.stack[:len(v.stack)-1]
	}
	return true
}

// closed ends an aggregate of unknown length.
func (v *redisValue) closed() bool {
	v.stack = v.stack[:len(v.stack)-1]
	return v.ended()
}
