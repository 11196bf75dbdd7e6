//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// maxHTTPHead bounds the head of a request.
const maxHTTPHead = 8 << 10

// httpHead is what stands before the line that is the body.
var httpHead = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", lineSize)

// serveHTTP answers GETs, one after the other, with the line that the path asks for.
func (o *origin) serveHTTP(c *originConn) bool {
	got, end, ok := o.read(c)
	if !ok || end {
		return false
	}
	c.head = append(c.head, got...)
	return o.answerHTTP(c)
}

// answerHTTP answers every request that has come in full.
func (o *origin) answerHTTP(c *originConn) bool {
	for {
		head, rest, ok := bytes.Cut(c.head, []byte("\r\n\r\n"))
		if !ok {
			return len(c.head) <= maxHTTPHead
		}
		conn, seq, ok := parseGet(head)
		if !ok {
			return false
		}
		reply := make([]byte, len(httpHead)+lineSize)
		putLine(reply[copy(reply, httpHead):], conn, seq)
		c.head = append(c.head[:0], rest...)
		if !o.send(c, reply) {
			return false
		}
	}
}

// parseGet takes the path of appendGet apart.
func parseGet(head []byte) (conn uint32, seq uint64, ok bool) {
	head, ok = bytes.CutPrefix(head, []byte(httpGetStart))
	if !ok || len(head) < 8+1+16 {
		return 0, 0, false
	}
	id, err := strconv.ParseUint(string(head[:8]), 16, 32)
	if err != nil {
		return 0, 0, false
	}
	seq, err = strconv.ParseUint(string(head[9:25]), 16, 64)
	return uint32(id), seq, err == nil
}
