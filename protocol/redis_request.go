package protocol

import "bytes"

const (
	redisMaxInline = 64 << 10 // bytes of an inline command, as in servers
	redisMaxWords  = 64 << 10 // bytes kept of a command whose arguments matter
	redisMaxWord   = 64       // bytes kept of an argument of others
)

// What the request parser is in.
type redisPart uint8

const (
	redisFirst  redisPart = iota // the first byte of a command is next
	redisInline                  // a line
	redisCount                   // the line behind *
	redisLength                  // the line with $ of an argument
	redisBody                    // an argument, or the CR LF behind it
	redisStream                  // replication: no end
)

// redisRequests splits the client's commands. The state of the connection, as the client has asked for it, lives as long as the
// session.
type redisRequests struct {
	redis *redis
	conn  redisConnection
	err   error // the first error is the last word

	part  redisPart
	line  redisLine
	text  []byte // of an inline command
	argc  int64  // of the current command
	argi  int64  // the argument that comes or is being read
	left  int64  // bytes of it and its CR LF
	words redisWords

	req   *Request // the current command; nil between two
	known bool     // req is filled in
	last  redisName

	command redisCommand // for judge; here it costs no allocation
}

func (r *redisRequests) Next(p []byte) (Cut, *Request, error) {
	if r.err != nil {
		return Cut{}, r.req, r.err
	}
	if r.req == nil {
		r.req = &Request{Label: "unfinished command"}
	}
	req := r.req
	n, end := 0, false
	if r.part == redisFirst {
		n = r.whole(p)
		end = n > 0
	}
	for n < len(p) && !end && r.err == nil {
		var k int
		k, end, r.err = r.step(p[n:])
		n += k
	}
	if r.err != nil {
		return Cut{}, req, r.err
	}
	if end && !r.known {
		r.judge()
		if r.err != nil {
			return Cut{}, req, r.err
		}
	}
	cut := Cut{N: n, End: end, Known: r.known, Close: end && r.conn.closing}
	if cut.End = end && r.part != redisStream; cut.End {
		r.req, r.known, r.part = nil, false, redisFirst
		r.argc, r.argi = 0, 0
		r.words.reset()
	}
	return cut, req, nil
}

// step takes one part of a command, as far as it is in p.
func (r *redisRequests) step(p []byte) (n int, end bool, err error) {
	switch r.part {
	case redisFirst:
		if r.part = redisInline; p[0] != '*' {
			return 0, false, nil
		}
		r.part = redisCount
		return 1, false, nil
	case redisInline:
		return r.inline(p)
	case redisBody:
		return r.argument(p)
	case redisStream:
		return len(p), false, nil
	}
	n, done := r.line.take(p)
	if r.line.size > int64(len(r.line.text)) {
		return 0, false, errRedis("request", "a length of more than %d bytes", len(r.line.text))
	}
	if !done {
		return n, false, nil
	}
	defer r.line.reset()
	if r.part == redisCount {
		end, err = r.count()
	} else {
		err = r.length()
	}
	return n, end, err
}

// count takes the number of arguments.
func (r *redisRequests) count() (end bool, err error) {
	count, ok := r.line.number()
	if !ok || count > redisMaxCount {
		return false, errRedis("request", "%d bytes that are no number of arguments", r.line.size)
	}
	r.argc, r.part = max(count, 0), redisLength
	return count <= 0, nil
}

// length takes the length of an argument.
func (r *redisRequests) length() error {
	p := r.line.bytes()
	if len(p) == 0 || p[0] != '$' {
		return errRedis("request", "%d bytes in place of $ and the length of an argument", r.line.size)
	}
	r.line.n, r.line.size = copy(r.line.text[:], p[1:]), r.line.size-1
	size, ok := r.line.number()
	if !ok || size < 0 || size > redisMaxBulk {
		return errRedis("request", "%d bytes that are no length of an argument", r.line.size)
	}
	r.part, r.left = redisBody, size+2
	r.words.begin(r.argi, size)
	return nil
}

// argument takes bytes of an argument and the CR LF behind it.
func (r *redisRequests) argument(p []byte) (n int, end bool, err error) {
	if r.left > 2 {
		n = int(min(int64(len(p)), r.left-2))
		r.words.add(p[:n])
		r.left -= int64(n)
	}
	for ; n < len(p) && r.left <= 2 && r.left > 0; n++ {
		if p[n] != "\n\r"[r.left-1] {
			return n, false, errRedis("request", "%q behind an argument, in place of its end", p[n])
		}
		r.left--
	}
	if r.left > 0 {
		return n, false, nil
	}
	r.words.end()
	if r.argi == 0 {
		r.words.all = redisAllMatters(r.name())
	}
	r.argi++
	r.part = redisLength
	if end = r.argi == r.argc; !end && r.argi == 2 && !r.words.all {
		r.judge() // what comes may be large, and does not matter
	}
	return n, end, r.err
}

// inline takes bytes of a command on a line of its own.
func (r *redisRequests) inline(p []byte) (n int, end bool, err error) {
	n = len(p)
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		n, end = i+1, true
	}
	if len(r.text)+n > redisMaxInline {
		return 0, false, errRedis("request", "an inline command is longer than %d bytes", redisMaxInline)
	}
	r.text = append(r.text, p[:n]...)
	if !end {
		return n, false, nil
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(r.text, []byte("\n")), []byte("\r"))
	r.text = r.text[:0]
	if bytes.IndexByte(text, 0) >= 0 { // servers disagree on where such a line ends
		return 0, false, errRedis("request", "a zero byte in an inline command")
	}
	args, ok := redisSplit(text)
	if !ok {
		return 0, false, errRedis("request", "unbalanced quotes in an inline command")
	}
	r.argc = int64(len(args))
	for i, arg := range args {
		r.words.begin(int64(i), int64(len(arg)))
		r.words.add(arg)
		r.words.end()
		if i == 0 {
			r.words.all = redisAllMatters(r.name())
		}
	}
	return n, true, nil
}

// name is the command's in lower case. Its first word must be complete.
func (r *redisRequests) name() string {
	name, _ := r.last.of(r.words.word(0))
	return name
}

// judge fills in the Request: enough of the command is known.
func (r *redisRequests) judge() {
	r.known = true
	c := &r.command
	*c = redisCommand{argc: r.argc, words: &r.words}
	if r.argc > 0 {
		c.name, c.label = r.last.of(r.words.word(0))
	}
	if r.err = r.conn.judge(r.redis, c, r.req); r.conn.opaque {
		r.part = redisStream
	}
}
