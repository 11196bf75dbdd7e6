package rehearse

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// What differs is only said where both sides have the same thing in the same place: a date, a time, a number, an id. Otherwise the user looks at
// the bytes.

// aNumber is what is said of numbers of which it is not known that they count.
const aNumber = "a number"

// cause is what the first byte that differs belongs to; "": that is not recognised.
func cause(protocol string, a, b []byte, at int) string {
	if protocol == "http" {
		if what, is := inHead(a, b, at); is {
			return what
		}
	}
	return token(a, b, at)
}

// inHead recognises what differs in the head of a reply of http; is: it is in the head of both.
func inHead(a, b []byte, at int) (what string, is bool) {
	for _, p := range [][]byte{a, b} {
		if end := bytes.Index(p, []byte("\r\n\r\n")); end < 0 || at > end+2 {
			return "", false
		}
	}
	x, y := lineAt(a, at), lineAt(b, at)
	if at < bytes.IndexByte(a, '\n') {
		return "the status line", true
	}
	name, first, ok := strings.Cut(x, ":")
	other, second, too := strings.Cut(y, ":")
	if !ok || !too || !strings.EqualFold(name, other) {
		return "the fields of the head: their order, or which there are", true
	}
	first, second = strings.TrimSpace(first), strings.TrimSpace(second)
	_, err1 := http.ParseTime(first)
	_, err2 := http.ParseTime(second)
	switch {
	case err1 == nil && err2 == nil && strings.EqualFold(name, "Date"):
		return "the field Date: each server tells its own time", true
	case err1 == nil && err2 == nil:
		return fmt.Sprintf("the field %s: a time", name), true
	}
	text := "the field " + name
	if more := token(a, b, at); more != "" {
		text += ": " + more
	}
	return text, true
}

// lineAt is the line that the offset is in, without its end.
func lineAt(p []byte, at int) string {
	from := bytes.LastIndexByte(p[:at], '\n') + 1
	to := len(p)
	if n := bytes.IndexByte(p[from:], '\n'); n >= 0 {
		to = from + n
	}
	return strings.TrimSuffix(string(p[from:to]), "\r")
}

// near is how far around the byte that differs it is looked for what it belongs to.
const near = 80

// forms are texts that are recognised as a whole.
var forms = []struct {
	form *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?`), "a date and time"},
	{regexp.MustCompile(`(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT`), "a date and time"},
	{regexp.MustCompile(`[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`), "a UUID"},
}

// token recognises what both sides have at the same place.
func token(a, b []byte, at int) string {
	for _, f := range forms {
		x, y := covering(f.form, a, at), covering(f.form, b, at)
		if x != nil && y != nil && x[0] == y[0] {
			return f.what
		}
	}
	x, y := run(a, at, isWord), run(b, at, isWord)
	if what := randomID(x, y); what != "" {
		return what
	}
	p, ok := numbersAt(a, b, at)
	if !ok {
		return ""
	}
	if what := unixTime(p); what != "" {
		return what
	}
	return aNumber
}

// covering is the match that has the offset in it, as offsets in p.
func covering(form *regexp.Regexp, p []byte, at int) []int {
	from, to := max(0, at-near), min(len(p), at+near)
	for _, m := range form.FindAllIndex(p[from:to], -1) {
		if m[0]+from <= at && at < m[1]+from {
			return []int{m[0] + from, m[1] + from}
		}
	}
	return nil
}

// run is the longest run of such bytes that has the offset in it.
func run(p []byte, at int, is func(byte) bool) string {
	if at >= len(p) || !is(p[at]) {
		return ""
	}
	from, to := at, at
	for from > 0 && at-from < near && is(p[from-1]) {
		from--
	}
	for to < len(p) && to-at < near && is(p[to]) {
		to++
	}
	return string(p[from:to])
}

func isWord(c byte) bool  { return c == '_' || isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// leastID is the shortest word that is taken for a random one, in bytes.
const leastID = 16

// randomID recognises two words of one length, with letters and digits in both, that differ in most places from the first on.
func randomID(x, y string) string {
	if len(x) < leastID || len(x) != len(y) || !mixed(x) || !mixed(y) {
		return ""
	}
	first := 0
	for x[first] == y[first] {
		first++
	}
	different := 0
	for i := first; i < len(x); i++ {
		if x[i] != y[i] {
			different++
		}
	}
	if len(x)-first < leastID/2 || different*2 < len(x)-first {
		return ""
	}
	if strings.Trim(strings.ToLower(x+y), "0123456789abcdef") == "" {
		return fmt.Sprintf("a random id of %d hexadecimal digits", len(x))
	}
	return fmt.Sprintf("a random id of %d letters and digits", len(x))
}

func mixed(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ContainsFunc(s, unicode.IsLetter)
}

// pair is a number on both sides.
type pair struct{ client, rehearsal int64 }

// numbersAt are the decimal numbers that begin at the same place and have the offset in them, or begin or end there.
func numbersAt(a, b []byte, at int) (p pair, ok bool) {
	x, y := digits(a, at), digits(b, at)
	if x == "" || y == "" {
		return p, false
	}
	var err1, err2 error
	p.client, err1 = strconv.ParseInt(x, 10, 64)
	p.rehearsal, err2 = strconv.ParseInt(y, 10, 64)
	return p, err1 == nil && err2 == nil && p.client != p.rehearsal
}

// digits is the number that has the offset in it, or ends there.
func digits(p []byte, at int) string {
	if s := run(p, at, isDigit); s != "" {
		return s
	}
	if at > 0 {
		return run(p, at-1, isDigit)
	}
	return ""
}

// unixTime recognises two times since 1970, in this century, that are not far from each other.
func unixTime(p pair) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "seconds"}, {time.Millisecond, "milliseconds"}, {time.Microsecond, "microseconds"}, {time.Nanosecond, "nanoseconds"}} {
		x, y := p.client/int64(time.Second/u.unit), p.rehearsal/int64(time.Second/u.unit)
		if x >= 1e9 && x < 5e9 && y >= 1e9 && y < 5e9 && x-y < 366*86400 && y-x < 366*86400 {
			return "a time, in " + u.name + " since 1970"
		}
	}
	return ""
}

// note keeps the numbers of one session that differ, to find out whether they count.
func (k *Kind) note(session uint64, e *Exchange, at int) {
	p, ok := numbersAt(e.Client, e.Again, at)
	if !ok || len(k.numbers) > 0 && k.of != session || len(k.numbers) >= 64 {
		return
	}
	k.of = session
	k.numbers = append(k.numbers, p)
}

// leastCount is how many numbers have to grow on both sides to be taken for a counter.
const leastCount = 3

// counter recognises numbers that grow from reply to reply on both sides.
func counter(all []pair) string {
	if len(all) < leastCount {
		return ""
	}
	for i, p := range all[1:] {
		if p.client <= all[i].client || p.rehearsal <= all[i].rehearsal || unixTime(p) != "" {
			return ""
		}
	}
	n := min(len(all), 3)
	x, y := make([]string, n), make([]string, n)
	for i, p := range all[:n] {
		x[i], y[i] = fmt.Sprint(p.client), fmt.Sprint(p.rehearsal)
	}
	return fmt.Sprintf("a counter: %s there, %s here", strings.Join(x, ", "), strings.Join(y, ", "))
}
