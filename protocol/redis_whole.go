package protocol

import "bytes"

// Most commands and most replies come in one piece and are short: they are read here in one pass. What is not whole, or odd in any way,
// is left to the parsers that take a byte at a time, which also have the words for what is wrong.

// redisMaxWhole bounds the arguments of a command that is read in one pass.
const redisMaxWhole = 1 << 10

// whole takes a complete command off the front of p, between two commands. n is 0 if there is none.
func (r *redisRequests) whole(p []byte) (n int) {
	argc, n := redisHeader(p, '*')
	if argc < 1 || argc > redisMaxWhole {
		return 0
	}
	for i := range int64(argc) {
		size, k := redisHeader(p[n:], '$')
		end := n + k + size
		if k == 0 || end+2 > len(p) || p[end] != '\r' || p[end+1] != '\n' {
			r.words.reset()
			return 0
		}
		r.words.begin(i, int64(size))
		r.words.add(p[n+k : end])
		r.words.end()
		if i == 0 {
			r.words.all = redisAllMatters(r.name())
		}
		n = end + 2
	}
	r.argc = int64(argc)
	return n
}

// redisHeader reads a line of a type and a number at the beginning of p. n is how many bytes it takes, 0 if it is not one of the usual
// form: at most 9 digits, no zero in front, CR LF.
func redisHeader(p []byte, typ byte) (number, n int) {
	if len(p) < 4 || p[0] != typ {
		return 0, 0
	}
	for i, c := range p[1:min(len(p)-1, 11)] {
		switch {
		case c >= '0' && c <= '9':
			number = number*10 + int(c-'0')
		case c != '\r' || i == 0 || i > 1 && p[1] == '0' || p[i+2] != '\n':
			return 0, 0
		default:
			return number, i + 3
		}
	}
	return 0, 0
}

// whole takes a complete value off the front of p: a short status, error or number, or a string. n is 0 if there is none.
func (v *redisValue) whole(p []byte) (n int) {
	switch p[0] {
	case '$':
		size, k := redisHeader(p, '$')
		end := k + size
		if k == 0 || end+2 > len(p) || p[end] != '\r' || p[end+1] != '\n' {
			return 0
		}
		n = end + 2
	case '+', '-', ':':
		end := bytes.IndexByte(p[:min(len(p), len(v.line.text))], '\n')
		if end < 1 || p[end-1] != '\r' {
			return 0
		}
		if p[0] != ':' {
			v.called(p[1 : end-1])
		}
		n = end + 1
	default:
		return 0
	}
	v.first = p[0]
	return n
}

// fresh reports whether a value begins.
func (v *redisValue) fresh() bool {
	return v.typ == 0 && v.first == 0 && len(v.stack) == 0 && !v.chunks && !v.behind
}
