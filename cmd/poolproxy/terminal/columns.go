package terminal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// style is how a text looks: the numbers of an SGR sequence (ECMA-48); "": as any.
type style string

const (
	plain   style = ""
	bold    style = "1"
	faint   style = "2"
	chosen  style = "7"
	good    style = "32"
	warning style = "33"
	bad     style = "31"
	calm    style = "35"
	main    style = "34"
	step    style = "36"
)

// span is a text in one style.
type span struct {
	text  string
	style style
}

// line is one line of the screen.
type line []span

// cell is one of a table.
type cell struct {
	span
	right bool // a number
	drawn line // in place of the text, which has the same letters
}

func text(s string) cell            { return cell{span: span{s, plain}} }
func styled(s string, x style) cell { return cell{span: span{s, x}} }
func number(s string) cell          { return cell{span: span{s, plain}, right: true} }

// drawn is a cell of several styles.
func drawn(l line) cell {
	c := cell{drawn: l}
	for _, s := range l {
		c.text += s.text
	}
	return c
}

// clean keeps out what would move the cursor: a failure's cause may be a peer's words.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// gap is between two columns.
const gap = "  "

// columns lays rows out under their heads, each column as wide as its widest cell. Nothing of no rows.
func columns(heads []string, rows [][]cell) []line {
	if len(rows) == 0 {
		return nil
	}
	wide := make([]int, len(heads))
	right := make([]bool, len(heads))
	for i, h := range heads {
		wide[i] = utf8.RuneCountInString(h)
	}
	for _, row := range rows {
		for i := range row {
			row[i].text = clean(row[i].text)
			wide[i], right[i] = max(wide[i], utf8.RuneCountInString(row[i].text)), right[i] || row[i].right
		}
	}
	var all []line
	lay := func(row []cell) {
		l := line{{gap, plain}}
		for i, c := range row {
			pad := strings.Repeat(" ", wide[i]-utf8.RuneCountInString(c.text))
			switch {
			case c.right:
				l = append(l, span{pad, plain}, c.span)
			case c.drawn != nil:
				l = append(append(l, c.drawn...), span{pad, plain})
			default:
				l = append(l, c.span, span{pad, plain})
			}
			l = append(l, span{gap, plain})
		}
		all = append(all, l)
	}
	head := make([]cell, len(heads))
	for i, h := range heads {
		head[i] = cell{span: span{h, faint}, right: right[i]}
	}
	lay(head)
	for _, row := range rows {
		lay(row)
	}
	return all
}

// render writes a line that is exactly so wide, or less; what does not fit ends in "…".
func (l line) render(width int, colours bool) string {
	var b strings.Builder
	left := width
	for i, s := range l {
		t := s.text
		if n := utf8.RuneCountInString(t); n > left {
			t = string([]rune(t)[:max(left, 0)])
			if left > 0 && rest(l[i:], left) {
				t = string([]rune(t)[:left-1]) + "…"
			}
			left = 0
		} else {
			left -= n
		}
		if t == "" {
			continue
		}
		if colours && s.style != plain {
			b.WriteString("\x1b[" + string(s.style) + "m" + t + "\x1b[0m")
		} else {
			b.WriteString(t)
		}
	}
	return b.String()
}

// rest reports whether more than blanks is behind so many characters.
func rest(l line, n int) bool {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	all := []rune(b.String())
	return n < len(all) && strings.TrimSpace(string(all[n:])) != ""
}

// bar draws shares of a whole, as wide as it may be. Each part that there is has at least one character.
func bar(width int, parts []span, shares []float64) line {
	sum := 0.0
	for _, s := range shares {
		sum += s
	}
	var l line
	if sum <= 0 || width <= 0 {
		return l
	}
	used, done := 0, 0.0
	for i, p := range parts {
		if shares[i] <= 0 {
			continue
		}
		done += shares[i]
		n := min(max(int(done/sum*float64(width)+.5)-used, 1), width-used)
		used += n
		l = append(l, span{strings.Repeat(p.text, n), p.style})
	}
	return l
}
