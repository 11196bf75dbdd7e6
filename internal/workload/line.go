package workload

import (
	"bufio"
	"fmt"
	"strings"
)

// lineDialect: a request is "GET session number size hold carry content\n", or PUT, which is unsafe; a reply "OK session number size
// content\n". Sessions are in hexadecimal. What begins with "ERR " is the protocol's error, the proxy's or the server's.
type lineDialect struct{}

func (lineDialect) ask(to []byte, r *Request) []byte {
	word := "GET"
	if r.Unsafe {
		word = "PUT"
	}
	to = fmt.Appendf(to, "%s %x %d %d %s %d ", word, r.Session, r.Number, r.Size, r.Hold, r.Carry)
	to = appendContent(to, r.carried(Line), r.Carry)
	return append(to, '\n')
}

func (lineDialect) hear(in *input, _ waiting) (reply, error) {
	word, err := in.word(' ', 8)
	if err != nil {
		return reply{}, err
	}
	switch word {
	case "OK":
	case "ERR":
		text, err := in.word('\n', 120)
		return reply{refused: "ERR " + text}, within(err, true)
	default:
		return reply{}, wrong("a reply begins with %q", word)
	}
	re := reply{named: true}
	if re.session, err = in.number(' ', 16, 1<<64-1); err != nil {
		return re, err
	}
	if re.number, err = in.number(' ', 10, MaxNumber); err != nil {
		return re, err
	}
	size, err := in.number(' ', 10, MaxContent)
	re.size = int64(size)
	return re, err
}

func (lineDialect) content(in *input, re *reply, of *Request, progress func(int64)) error {
	if re.refused != "" {
		return nil
	}
	if err := in.content(of.answer(Line), 0, re.size, progress); err != nil {
		return err
	}
	return in.expect("\n")
}

func (lineDialect) read(in *input) (Request, error) {
	var r Request
	word, err := in.word(' ', 8)
	if err != nil {
		return r, err
	}
	if word != "GET" && word != "PUT" {
		return r, wrong("a request begins with %q", word)
	}
	r.Unsafe = word == "PUT"
	if err := readFields(in, &r); err != nil {
		return r, err
	}
	if err := in.content(r.carried(Line), 0, int64(r.Carry), nil); err != nil {
		return r, err
	}
	return r, in.expect("\n")
}

// readFields reads what follows the first word.
func readFields(in *input, r *Request) (err error) {
	if r.Session, err = in.number(' ', 16, 1<<64-1); err != nil {
		return err
	}
	if r.Number, err = in.number(' ', 10, MaxNumber); err != nil {
		return err
	}
	size, err := in.number(' ', 10, MaxContent)
	if err != nil {
		return err
	}
	hold, err := in.word(' ', 8)
	if err != nil {
		return within(err, true)
	}
	carry, err := in.number(' ', 10, MaxContent)
	if err != nil {
		return err
	}
	r.Size, r.Carry = int(size), int(carry)
	if r.Hold, err = parseHold(hold); err != nil {
		return wrong("%v", err)
	}
	if err := r.check(); err != nil {
		return wrong("%v", err)
	}
	return nil
}

func (lineDialect) write(out *bufio.Writer, r *Request, half func() error) error {
	fmt.Fprintf(out, "OK %x %d %d ", r.Session, r.Number, r.Size)
	if err := writeContent(out, r.answer(Line), 0, int64(r.Size), half); err != nil {
		return err
	}
	return out.WriteByte('\n')
}

// fail answers a request that the server cannot carry out.
func (lineDialect) fail(out *bufio.Writer, reason string) {
	fmt.Fprintf(out, "ERR %.100s\n", strings.ReplaceAll(reason, "\n", " "))
}
