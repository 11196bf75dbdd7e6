package terminal

import (
	"strings"
	"unicode/utf8"
)

// Keys that are not letters.
const (
	keyUp = 0xF700 + iota // of Unicode's private use: no letter
	keyDown
	keyLeft
	keyRight
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
	keyNone // of a sequence that means nothing here
)

const (
	ctrlC     = 3
	tab       = 9
	enter     = 13
	escape    = 27
	backspace = 127
)

// sequences are what terminals send for keys (ECMA-48; xterm, the Linux console).
var sequences = map[string]rune{
	"\x1b[A": keyUp, "\x1b[B": keyDown, "\x1b[C": keyRight, "\x1b[D": keyLeft, "\x1bOA": keyUp, "\x1bOB": keyDown, "\x1bOC": keyRight, "\x1bOD": keyLeft,
	"\x1b[5~": keyPageUp, "\x1b[6~": keyPageDown, "\x1b[H": keyHome, "\x1b[F": keyEnd, "\x1b[1~": keyHome, "\x1b[4~": keyEnd, "\x1b[7~": keyHome,
	"\x1b[8~": keyEnd, "\x1bOH": keyHome, "\x1bOF": keyEnd, "\x1b[Z": keyLeft,
}

// parseKeys reads the keys of what a terminal has sent at once. A sequence comes in one piece; an escape without one is the key.
func parseKeys(p string) (keys []rune) {
	for p != "" {
		if p[0] == escape && len(p) > 1 && (p[1] == '[' || p[1] == 'O') {
			n := 2 + strings.IndexFunc(p[2:], func(r rune) bool { return r >= '@' && r <= '~' }) + 1
			if n == 2 { // it does not end
				return keys
			}
			k, is := sequences[p[:n]]
			if !is {
				k = keyNone
			}
			keys, p = append(keys, k), p[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(p)
		keys, p = append(keys, r), p[n:]
	}
	return keys
}

// press does what a key means; it reports whether it ends. page is how many lines are shown at once.
func (l *look) press(k rune, page int) (end bool) {
	if k == ctrlC {
		return true
	}
	if l.typing {
		l.typed(k)
		return false
	}
	switch k {
	case 'q', 'Q':
		return true
	case '1', '2', '3', '4', '5':
		l.to(int(k - '1'))
	case tab, keyRight:
		l.to((l.view + 1) % len(views))
	case keyLeft:
		l.to((l.view + len(views) - 1) % len(views))
	case keyUp, 'k':
		l.top--
	case keyDown, 'j':
		l.top++
	case keyPageUp, 'b':
		l.top -= page
	case keyPageDown, ' ':
		l.top += page
	case keyHome, 'g':
		l.top = 0
	case keyEnd, 'G':
		l.top = 1 << 30 // screen corrects it
	case '/':
		l.typing = true
	case escape:
		l.find, l.top = "", 0
	}
	l.top = max(l.top, 0)
	return false
}

func (l *look) to(view int) { l.view, l.top = view, 0 }

// mostFind bounds what is looked for, in characters.
const mostFind = 60

func (l *look) typed(k rune) {
	switch {
	case k == enter || k == '\n':
		l.typing = false
	case k == escape:
		l.typing, l.find = false, ""
	case k == backspace || k == 8:
		if _, n := utf8.DecodeLastRuneInString(l.find); n > 0 {
			l.find = l.find[:len(l.find)-n]
		}
	case k >= ' ' && (k < keyUp || k > keyNone) && utf8.RuneCountInString(l.find) < mostFind:
		l.find += strings.ToLower(string(k))
	}
	l.top = 0
}
