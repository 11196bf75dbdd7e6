package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// lineSize is the size of every request and reply, delimiter included.
const lineSize = 128

// The first word of a connection's first line says what the origin shall do with the connection.
const (
	wordEcho = "echo" // send every byte back
	wordDown = "down" // send the pattern until the client finishes, then a trailer line
	wordUp   = "up"   // check the pattern until the client finishes, then send a verdict line
)

const hexDigits = "0123456789abcdef"

// filler gives the rest of a request's line; where it begins depends on the request, so that neighbours differ all over.
var filler = strings.Repeat("The quick brown fox jumps over a lazy dog; 0123456789 times ~=+-", 4)

// putLine makes the request that connection conn sends as its seq-th: lineSize bytes, the last of them a newline.
func putLine(p []byte, conn uint32, seq uint64) {
	p = p[:lineSize]
	copy(p, wordEcho+" ")
	v := seq
	for i := 29; i >= 14; i-- {
		p[i] = hexDigits[v&15]
		v >>= 4
	}
	for i := 12; i >= 5; i-- {
		p[i] = hexDigits[conn&15]
		conn >>= 4
	}
	p[13], p[30] = ' ', ' '
	copy(p[31:lineSize-1], filler[seq%64:])
	p[lineSize-1] = '\n'
}

// checkLine reports a reply that is not the echo of request seq of connection conn.
func checkLine(got []byte, conn uint32, seq uint64) error {
	var want [lineSize]byte
	putLine(want[:], conn, seq)
	if !bytes.Equal(got, want[:]) {
		return fmt.Errorf("connection %d: the reply to request %d is %q", conn, seq, got)
	}
	return nil
}

// textLine pads a control text to a line.
func textLine(word string, value int64) []byte {
	text := word + " " + strconv.FormatInt(value, 10)
	return []byte(text + strings.Repeat(" ", lineSize-1-len(text)) + "\n")
}

// parseTextLine takes a control line apart again.
func parseTextLine(line []byte) (word string, value int64, err error) {
	word, rest, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	value, err = strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("not a control line: %q", line)
	}
	return word, value, nil
}
