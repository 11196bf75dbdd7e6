//go:build linux

package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"time"
)

// fillSize is the size of the messages that make a history.
const fillSize = 32 << 10

// sizedConn is one connection of a load whose messages have a size of their own.
type sizedConn struct {
	*net.TCPConn
	seq     uint32
	request []byte
	reply   []byte
}

// runSized is runClosed for messages of any size from 16 bytes on, after a history of j.Fill bytes on each connection.
func runSized(j job) (outcome, error) {
	o := outcome{}
	conns, err := dialSized(j.Address, j.Connections)
	defer closeSized(conns)
	if err != nil {
		return o, err
	}
	if err := warmSized(j); err != nil {
		return o, err
	}
	full := func(c *sizedConn) bool { return int64(c.seq)*fillSize >= j.Fill }
	if _, err := together(conns, fillSize, full); err != nil {
		return o, fmt.Errorf("making the history: %w", err)
	}
	if _, err := together(conns, j.Size, untilAfter(warmup)); err != nil {
		return o, err
	}
	m, err := startMeter(j)
	if err != nil {
		return o, err
	}
	if o.Count, err = together(conns, j.Size, untilAfter(j.Length)); err != nil {
		return o, err
	}
	return o, m.stop(&o)
}

// warmSized has a connection of its own come and go, so that the proxies have touched what they need once.
func warmSized(j job) error {
	conns, err := dialSized(j.Address, 1)
	defer closeSized(conns)
	if err != nil {
		return err
	}
	_, err = together(conns, j.Size, untilAfter(warmup))
	return err
}

func untilAfter(d time.Duration) func(*sizedConn) bool {
	end := time.Now().Add(d)
	return func(*sizedConn) bool { return time.Now().After(end) }
}

func dialSized(address string, n int) ([]*sizedConn, error) {
	var conns []*sizedConn
	for range n {
		c, err := dialTCP(address)
		if err != nil {
			return conns, err
		}
		conns = append(conns, &sizedConn{TCPConn: c})
	}
	return conns, nil
}

func closeSized(conns []*sizedConn) {
	for _, c := range conns {
		c.Close()
	}
}

// together has every connection ask, and ask again, until it is enough; it returns how many replies came.
func together(conns []*sizedConn, size int, enough func(*sizedConn) bool) (int64, error) {
	type done struct {
		count int64
		err   error
	}
	all := make(chan done, len(conns))
	for _, c := range conns {
		c.request, c.reply = sizedMessage(size), make([]byte, size)
		go func() { // ends when it is enough, or after patience without a reply
			d := done{}
			for d.err == nil && !enough(c) {
				if d.err = c.ask(); d.err == nil {
					d.count++
				}
			}
			all <- d
		}()
	}
	var count int64
	var err error
	for range conns {
		d := <-all
		count += d.count
		if d.err != nil {
			err = d.err
		}
	}
	return count, err
}

// sizedMessage is a request of size bytes, at least 16, without a number.
func sizedMessage(size int) []byte {
	p := make([]byte, 0, size)
	p = append(p, wordEcho+" 00000000"...)
	for len(p) < size-1 {
		p = append(p, patternAt(int64(len(p)), size-1-len(p))...)
	}
	return append(p, '\n')
}

// ask sends the request with its number and waits for its echo.
func (c *sizedConn) ask() error {
	c.seq++
	hex.Encode(c.request[len(wordEcho)+1:], []byte{byte(c.seq >> 24), byte(c.seq >> 16), byte(c.seq >> 8), byte(c.seq)})
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	sent := make(chan error, 1)
	if len(c.request) <= fillSize {
		_, err := c.Write(c.request)
		sent <- err
	} else { // the echo begins to come before all is sent
		go func() {
			_, err := c.Write(c.request)
			sent <- err
		}()
	}
	_, err := io.ReadFull(c, c.reply)
	if wrong := <-sent; wrong != nil {
		return wrong
	}
	if err == nil && !bytes.Equal(c.reply, c.request) {
		err = fmt.Errorf("the reply to request %d of %d bytes is not its echo: wrong bytes", c.seq, len(c.request))
	}
	return err
}
