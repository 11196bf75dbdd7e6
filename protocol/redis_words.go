package protocol

import (
	"bytes"
	"strings"
)

// redisWords is what is kept of the arguments of a command: the first two if they are short, or all where they matter.
type redisWords struct {
	all   bool // up to redisMaxWords bytes
	text  []byte
	ends  []int // of the words in text
	skip  bool  // the current argument is not kept
	short bool  // an argument that matters was not kept
}

func (w *redisWords) reset() {
	*w = redisWords{text: w.text[:0], ends: w.ends[:0]}
	if cap(w.text) > 4<<10 { // an idle session keeps little
		w.text, w.ends = nil, nil
	}
}

// begin announces argument i, of size bytes. One that is too long is kept as an empty word.
func (w *redisWords) begin(i, size int64) {
	switch {
	case w.all:
		w.skip = int64(len(w.text))+size > redisMaxWords || len(w.ends) >= redisMaxWords/8
		w.short = w.short || w.skip
	default:
		w.skip = i >= 2 || size > redisMaxWord
	}
}

func (w *redisWords) add(p []byte) {
	if !w.skip {
		w.text = append(w.text, p...)
	}
}

func (w *redisWords) end() {
	if len(w.ends) < 2 || w.all && !w.short {
		w.ends = append(w.ends, len(w.text))
	}
}

// word is argument i, empty if it was not kept. It is valid until the command ends.
func (w *redisWords) word(i int) []byte {
	switch {
	case i >= len(w.ends):
		return nil
	case i == 0:
		return w.text[:w.ends[0]]
	}
	return w.text[w.ends[i-1]:w.ends[i]]
}

// is reports whether argument i is name, in whatever case.
func (w *redisWords) is(i int, name string) bool { return strings.EqualFold(string(w.word(i)), name) }

// redisName remembers the last command's name, since clients like to repeat themselves.
type redisName struct {
	raw         []byte
	name, label string
}

// of returns the name in lower case, "" if no command can be called so, and what to call it in logs.
func (l *redisName) of(raw []byte) (name, label string) {
	if l.label == "" || !bytes.Equal(l.raw, raw) {
		l.raw = append(l.raw[:0], raw...)
		if l.name = redisPlain(raw); l.name == "" {
			l.label = "unknown command" // it may be anything, a secret too
		} else {
			l.label = strings.ToUpper(l.name)
		}
	}
	return l.name, l.label
}

// redisPlain is word in lower case if it may be the name of a command, else "".
func redisPlain(word []byte) string {
	if len(word) > 40 {
		return ""
	}
	for _, b := range word {
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		if !letter && (b < '0' || b > '9') && bytes.IndexByte([]byte("._-:"), b) < 0 {
			return ""
		}
	}
	return strings.ToLower(string(word))
}

// redisSplit splits an inline command into its arguments, as sdssplitargs of servers does. ok is false if a quote is not
// closed, or not followed by a space.
func redisSplit(p []byte) (args [][]byte, ok bool) {
	for {
		p = bytes.TrimLeft(p, " \t\n\v\f\r")
		if len(p) == 0 {
			return args, true
		}
		var arg []byte
		if arg, p, ok = redisArgument(p); !ok {
			return nil, false
		}
		args = append(args, arg)
	}
}

// redisArgument takes one argument off p.
func redisArgument(p []byte) (arg, rest []byte, ok bool) {
	arg = []byte{}
	quote := byte(0)
	for len(p) > 0 {
		b := p[0]
		switch {
		case quote == 0 && redisSpace(b):
			return arg, p, true
		case quote == 0 && (b == '"' || b == '\''):
			quote = b
		case quote != 0 && b == quote:
			return arg, p[1:], len(p) == 1 || redisSpace(p[1])
		case quote == '\'' && b == '\\' && len(p) > 1 && p[1] == '\'':
			arg, p = append(arg, '\''), p[1:]
		case quote == '"' && b == '\\' && len(p) > 1:
			n := 1
			if b, n = redisEscape(p[1:]); n > 0 {
				arg, p = append(arg, b), p[n:]
			}
		default:
			arg = append(arg, b)
		}
		p = p[1:]
	}
	return arg, nil, quote == 0
}

// redisEscape reads what follows a backslash in double quotes: the byte that it means, and how many bytes it takes.
func redisEscape(p []byte) (b byte, n int) {
	if len(p) >= 3 && p[0] == 'x' {
		high, low := redisHex(p[1]), redisHex(p[2])
		if high < 16 && low < 16 {
			return high<<4 | low, 3
		}
	}
	if i := strings.IndexByte("nrtba", p[0]); i >= 0 {
		return "\n\r\t\b\a"[i], 1
	}
	return p[0], 1
}

func redisHex(b byte) byte {
	switch {
	case b >= '0' && b <= '9':
		return b - '0'
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		return b | 0x20 - 'a' + 10
	}
	return 16
}

// redisSpace is isspace of C.
func redisSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }
