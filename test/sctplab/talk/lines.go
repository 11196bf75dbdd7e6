//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
)

// lines sends lines of 1 to 4000 bytes and reads what comes back, until the server has ended the connection behind our own end.
func lines(conn *net.TCPConn, size int) error {
	text := someLines(size)
	sent := make(chan error, 1)
	go func() { // it ends when all is sent, or the connection has failed; lines waits for it
		_, err := conn.Write(text)
		if err == nil {
			err = conn.CloseWrite()
		}
		sent <- err
	}()
	echo, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", len(echo), len(text), err)
	}
	if err := <-sent; err != nil {
		return err
	}
	if !bytes.Equal(echo, text) {
		return fmt.Errorf("%d bytes came back, not the same as the %d that were sent", len(echo), len(text))
	}
	say("PASS: %d bytes in %d lines, and the end", len(text), bytes.Count(text, []byte("\n")))
	return nil
}

// someLines makes lines of size bytes in all.
func someLines(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 0, size)
	for len(text) < size {
		for range min(random.IntN(4000), size-len(text)-1) {
			text = append(text, byte('!'+random.IntN(90)))
		}
		text = append(text, '\n')
	}
	return text
}
