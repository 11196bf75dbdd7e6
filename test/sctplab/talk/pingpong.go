//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// rsplib's ping-pong: type, flags, a length that counts the whole message, the number of the Ping; a Pong has the number of the reply
// behind it, which the server counts. What follows is a payload, the same in both.
const (
	ping     = 1
	pong     = 2
	pingHead = 12
	pongHead = 20
)

var payload = []byte("a payload of some bytes")

// pingpong sends a Ping, waits for its Pong, and sends the next one an interval later. The numbers of the replies must go on without a
// gap: they are the server's state.
func pingpong(conn net.Conn, interval time.Duration) error {
	enough := make(chan os.Signal, 1)
	signal.Notify(enough, syscall.SIGTERM)
	last, longest := uint64(0), time.Duration(0)
	for n := uint64(1000); ; n++ { // other numbers than those of replies
		begin := time.Now()
		say("ping %d sent", n)
		reply, err := exchange(conn, n)
		if err != nil {
			return fmt.Errorf("ping %d: %w", n, err)
		}
		took := time.Since(begin)
		longest = max(longest, took)
		say("ping %d reply %d after %d ms", n, reply, took.Milliseconds())
		if reply != last+1 {
			return fmt.Errorf("a gap: reply %d after reply %d", reply, last)
		}
		last = reply
		select {
		case <-enough:
			say("PASS: %d pings and replies without a gap, the slowest after %d ms", last, longest.Milliseconds())
			return nil
		case <-time.After(interval):
		}
	}
}

// exchange sends Ping n and returns the number of the reply.
func exchange(conn net.Conn, n uint64) (uint64, error) {
	b := []byte{ping, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(pingHead+len(payload)))
	b = append(binary.BigEndian.AppendUint64(b, n), payload...)
	if _, err := conn.Write(b); err != nil {
		return 0, err
	}
	b = make([]byte, pongHead+len(payload))
	if _, err := io.ReadFull(conn, b); err != nil {
		return 0, err
	}
	size, number := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint64(b[4:])
	if b[0] != pong || int(size) != len(b) || number != n || !bytes.Equal(b[pongHead:], payload) {
		return 0, fmt.Errorf("this is no Pong to it: %x", b)
	}
	return binary.BigEndian.Uint64(b[pingHead:]), nil
}
