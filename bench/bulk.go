//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"time"
)

// runBulk moves the pattern over all connections for the job's length. Each then finishes its side and waits for the other's
// last line; the window ends when all are through, so no byte counts that has not arrived and been checked.
func runBulk(j job) (outcome, error) {
	o := outcome{}
	conns, err := dialAll(j)
	defer closeBulk(conns)
	if err != nil {
		return o, err
	}
	m, err := startMeter(j)
	if err != nil {
		return o, err
	}
	transfer := download
	if j.Kind == jobUp {
		transfer = upload
	}
	type done struct {
		bytes int64
		err   error
	}
	all := make(chan done, len(conns))
	stop := time.Now().Add(j.Length)
	over := func() bool { return time.Now().After(stop) }
	for i, c := range conns {
		go func() {
			n, err := transfer(c, patternOffset(i), over)
			if err != nil {
				err = fmt.Errorf("connection %d, after %d bytes: %w", i, n, err)
			}
			all <- done{n, err}
		}()
	}
	for range conns {
		d := <-all
		o.Bytes += d.bytes
		if d.err != nil {
			return o, d.err
		}
	}
	return o, m.stop(&o)
}

func closeBulk(conns []*net.TCPConn) {
	for _, c := range conns {
		c.Close()
	}
}

func dialAll(j job) ([]*net.TCPConn, error) {
	var conns []*net.TCPConn
	for range j.Connections {
		c, err := dialTCP(j.Address)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

// download reads and checks the pattern from offset on, until over. The last lineSize bytes before the end are not of it: they say how many
// bytes were sent. So that many are always held back from the check.
func download(c *net.TCPConn, offset int64, over func() bool) (int64, error) {
	if _, err := c.Write(textLine(wordDown, offset)); err != nil {
		return 0, err
	}
	buffer := make([]byte, bulkChunk)
	held, finished := 0, false
	var count int64
	for {
		if !finished && over() {
			finished = true
			if err := c.CloseWrite(); err != nil {
				return count, err
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return count, err
		}
		n, err := c.Read(buffer[held:])
		n += held
		if ready := max(n-lineSize, 0); ready > 0 {
			if err := checkPattern(buffer[:ready], offset+count); err != nil {
				return count, err
			}
			count += int64(ready)
			n = copy(buffer, buffer[ready:n])
		}
		held = n
		if err == io.EOF {
			return count, checkVerdict(buffer[:held], "sent", count)
		}
		if err != nil {
			return count, err
		}
	}
}

// upload writes the pattern from offset on until over, and waits for the origin's word on it.
func upload(c *net.TCPConn, offset int64, over func() bool) (int64, error) {
	if _, err := c.Write(textLine(wordUp, offset)); err != nil {
		return 0, err
	}
	var count int64
	for !over() {
		if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return count, err
		}
		n, err := c.Write(patternAt(offset+count, bulkChunk))
		count += int64(n)
		if err != nil {
			return count, err
		}
	}
	if err := c.CloseWrite(); err != nil {
		return count, err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return count, err
	}
	verdict, err := io.ReadAll(c)
	if err != nil {
		return count, err
	}
	return count, checkVerdict(verdict, "received", count)
}

// checkVerdict compares the origin's last line with what was counted here.
func checkVerdict(line []byte, word string, count int64) error {
	got, n, err := parseTextLine(line)
	if err != nil {
		return fmt.Errorf("the end was cut off: %w", err)
	}
	if got != word || n != count {
		return fmt.Errorf("the origin says %q %d, here it is %q %d", got, n, word, count)
	}
	return nil
}
