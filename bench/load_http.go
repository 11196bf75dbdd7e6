//go:build linux

package main

import (
	"bytes"
	"fmt"
)

// httpRoom is how long a reply may be, with whatever proxies add to its head.
const httpRoom = 1 << 10

// gets are GETs and their replies. The path tells the origin which line to answer with.
var gets = speech{room: httpRoom, request: appendGet, check: checkHTTPReply}

// appendGet makes request seq of connection conn.
func appendGet(p []byte, conn uint32, seq uint64) []byte {
	return fmt.Appendf(p, "GET /%08x/%016x HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", conn, seq)
}

const httpGetStart = "GET /"

// checkHTTPReply tells whether the reply to request seq is there in full. Proxies may change the head; the body is one line.
func checkHTTPReply(got []byte, conn uint32, seq uint64) (whole bool, err error) {
	head, body, ok := bytes.Cut(got, []byte("\r\n\r\n"))
	if !ok {
		if len(got) == httpRoom {
			return false, fmt.Errorf("the head of a reply has no end: %q", got)
		}
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("the reply is %q", got)
	}
	if len(body) < lineSize {
		return false, nil
	}
	return true, checkLine(body, conn, seq)
}
