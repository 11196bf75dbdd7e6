package workload

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The value that safe requests read parts of, and the key that it is at.
const (
	redisKey  = "chaos"
	redisSize = 1 << 20
)

// redisDialect: a safe request is GETRANGE of the value that LoadRedis has put there, at a place that depends on the request; an unsafe one
// adds a number that no other request of the run adds, most likely, to a field of its own: HINCRBY chaos:session number delta. So the reply
// must be that very number, and twice it is a request that was carried out twice. What servers hold in the end says the same (LoadedRedis), and so
// does their append-only file, command by command (ReadAOF).
type redisDialect struct{}

// redisValue is what there is to read.
func redisValue() pattern { return newPattern(Redis, toClient, 0, 0) }

// from is where r's part of the value begins; 1 at least, since GETRANGE has no empty part at 0.
func (r *Request) redisFrom() int64 {
	return 1 + int64(mix(mix(r.Session)+r.Number)%uint64(redisSize-r.redisSize()))
}

// redisSize is how much of the value is asked for.
func (r *Request) redisSize() int64 { return min(int64(r.Size), redisSize/2) }

// delta is what r adds.
func (r *Request) delta() int64 { return redisDelta(r.Session, r.Number) }

func redisDelta(session, number uint64) int64 { return 1<<40 + int64(mix(mix(session)^number)>>24) }

func (redisDialect) ask(to []byte, r *Request) []byte {
	if r.Unsafe {
		return appendCommand(to, "HINCRBY", redisHash(r.Session), strconv.FormatUint(r.Number, 10), strconv.FormatInt(r.delta(), 10))
	}
	from := r.redisFrom()
	return appendCommand(to, "GETRANGE", redisKey, strconv.FormatInt(from, 10), strconv.FormatInt(from+r.redisSize()-1, 10))
}

func redisHash(session uint64) string { return redisKey + ":" + strconv.FormatUint(session, 16) }

// appendCommand appends a command as RESP has it.
func appendCommand(to []byte, words ...string) []byte {
	to = fmt.Appendf(to, "*%d\r\n", len(words))
	for _, word := range words {
		to = fmt.Appendf(to, "$%d\r\n%s\r\n", len(word), word)
	}
	return to
}

// hear reads the first line of a reply. Replies do not say whose they are: it is found out by what they say.
func (redisDialect) hear(in *input, of waiting) (reply, error) {
	first, err := in.ReadByte()
	if err != nil {
		return reply{}, err
	}
	line, err := in.headLine(true)
	if err != nil {
		return reply{}, err
	}
	switch first {
	case '-':
		return reply{refused: "-" + line}, nil
	case ':':
		value, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return reply{}, wrong("a number %.40q", line)
		}
		return redisNumber(value, of)
	case '$':
		size, err := strconv.ParseUint(line, 10, 32)
		if err != nil || size > redisSize {
			return reply{}, wrong("a string of %.40q bytes", line)
		}
		return redisString(in, int64(size), of)
	}
	return reply{}, wrong("a reply that begins with %q", first)
}

// redisNumber finds whose reply a number is.
func redisNumber(value int64, of waiting) (reply, error) {
	r := of.find(func(r *Request) bool { return r.Unsafe && value == r.delta() })
	if r != nil {
		return reply{named: true, session: r.Session, number: r.Number, size: int64(r.Size)}, nil
	}
	r = of.find(func(r *Request) bool { return r.Unsafe && value > 0 && value%r.delta() == 0 })
	if r != nil {
		return reply{}, &twice{r.Number, fmt.Sprintf("it was carried out %d times, as its reply says", value/r.delta())}
	}
	return reply{}, wrong("a number %d that no request has added", value)
}

// redisString finds whose reply a string of that size is.
func redisString(in *input, size int64, of waiting) (reply, error) {
	fits := func(r *Request) bool { return !r.Unsafe && r.redisSize() == size }
	if due := of.oldest(); due == nil || !fits(due) || in.elsewhere(due) {
		var start []byte
		if size > 0 {
			if start, _ = in.Peek(int(min(size, 16))); len(start) == 0 {
				return reply{}, nil // an end: whoever reads on will see it
			}
		}
		r := of.find(func(r *Request) bool { return fits(r) && redisValue().diff(start, r.redisFrom()) < 0 })
		if r != nil {
			return reply{named: true, session: r.Session, number: r.Number, size: int64(r.Size)}, nil
		}
		if due == nil || !fits(due) {
			return reply{}, wrong("a string of %d bytes that nobody waits for", size)
		}
	}
	due := of.oldest()
	return reply{named: true, session: due.Session, number: due.Number, size: int64(due.Size)}, nil
}

// elsewhere reports that the next bytes are, for certain, not the reply to due.
func (in *input) elsewhere(due *Request) bool {
	start, _ := in.Peek(int(min(due.redisSize(), 16)))
	return redisValue().diff(start, due.redisFrom()) >= 0
}

func (redisDialect) content(in *input, re *reply, of *Request, progress func(int64)) error {
	if re.refused != "" || of.Unsafe {
		return nil
	}
	if err := in.content(redisValue(), of.redisFrom(), of.redisSize(), progress); err != nil {
		return err
	}
	return in.expect("\r\n")
}

// errNoServer: redis itself serves.
var errNoServer = errors.New("kind redis is served by redis itself: start redis-server, and give its address to the client (-redis)")

func (redisDialect) read(*input) (Request, error) { return Request{}, errNoServer }

func (redisDialect) write(*bufio.Writer, *Request, func() error) error { return errNoServer }

func (redisDialect) fail(out *bufio.Writer, reason string) {
	fmt.Fprintf(out, "-ERR %s\r\n", strings.Map(printable, reason[:min(len(reason), 150)]))
}
