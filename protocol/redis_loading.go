package protocol

import (
	"bytes"
	"strings"
)

// redisLoading begins the error of a server that is still reading its disk: it has not carried out the command (processCommand in
// redis 7's server.c looks at that before it calls anything). Some commands it does carry out meanwhile: AUTH, HELLO, SELECT, MULTI.
const redisLoading = "LOADING "

// redisMaxLoading is how long such an error may be. What comes in pieces is held until its end: it is an error like others if that is further
// away.
const redisMaxLoading = 256

// mayBeLoading reports whether the part of an error that has come may be the beginning of such an error.
func (r *redisReplies) mayBeLoading() bool {
	word := r.value.name()
	n := min(len(word), len(redisLoading))
	return r.size <= redisMaxLoading && string(word[:n]) == redisLoading[:n]
}

// loading reports whether the error that has just come to its end says that the server is loading. A script may have carried out
// something before it ends with an error of its own making: only the words of servers count there.
func (r *redisReplies) loading() bool {
	word := r.value.name()
	switch {
	case r.req == nil || r.req.Expect != ExpectOne || r.confirmed > 0 || r.size > redisMaxLoading || !bytes.HasPrefix(word, []byte(redisLoading)):
		return false
	case strings.HasPrefix(r.req.Label, "EVAL") || strings.HasPrefix(r.req.Label, "FCALL"):
		return bytes.Contains(word, []byte(" is loading the"))
	}
	return true
}
