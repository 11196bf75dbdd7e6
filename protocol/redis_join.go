package protocol

import "fmt"

// redisJoiner joins a repeated reply like a prefixJoiner, and keeps pushes out of it: what the new server pushes meanwhile
// waits until the reply is complete, since the client is in the middle of it.
type redisJoiner struct {
	split  redisReplies // tells pushes from the reply
	held   []byte       // undecided; at most maxHeld
	inner  Joiner
	pushes []byte // at most maxHeld
	own    []byte // on its way out; the caller has it until the next call
	err    error
}

func newRedisJoiner(d Delivered, req *Request) Joiner {
	return &redisJoiner{inner: NewPrefixJoiner(d, &redisReplies{}, req), split: redisReplies{req: req, d: redisDetailOf(req)}}
}

func (j *redisJoiner) Next(p []byte) (n int, out []byte, end bool, err error) {
	if j.err != nil {
		return 0, nil, false, j.err
	}
	inner := j.inner.(*prefixJoiner)
	cut, err := j.split.Next(inner.req, p)
	switch {
	case err != nil:
	case cut.Unready:
		err = ErrUnready
	default:
		out, end, err = j.take(p[:cut.N], cut)
	}
	if j.err = err; err != nil {
		return 0, nil, false, err
	}
	return cut.N, out, end, nil
}

// take deals with one cut.
func (j *redisJoiner) take(p []byte, cut Cut) (out []byte, end bool, err error) {
	if cut.Hold {
		j.held = append(j.held, p...)
		return nil, false, nil
	}
	if len(j.held) > 0 {
		p, j.held = append(j.held, p...), nil
	}
	if cut.Push {
		if j.pushes = append(j.pushes, p...); len(j.pushes) > maxHeld {
			return nil, false, fmt.Errorf("%w: more than %d bytes were pushed while a reply was joined", ErrMismatch, maxHeld)
		}
		return nil, false, nil
	}
	j.own = j.own[:0]
	for len(p) > 0 {
		n, out, _, err := j.inner.Next(p)
		if err != nil {
			return nil, false, err
		}
		j.own, p = append(j.own, out...), p[n:]
	}
	if cut.End {
		j.own = append(j.own, j.pushes...)
		j.pushes = nil
	}
	return j.own, cut.End, nil
}

func (j *redisJoiner) Finish() bool { return false }

func (j *redisJoiner) Closes() bool { return false }

func (j *redisJoiner) Skipped() int64 { return j.inner.Skipped() }

func (j *redisJoiner) Saved() int64 { return 0 }

func (j *redisJoiner) Delivered() Delivered { return j.inner.Delivered() }
