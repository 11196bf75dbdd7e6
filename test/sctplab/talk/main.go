//go:build linux

// Command talk is a plain TCP client, as they are: it knows of nothing that stands before its server.
//
//	talk lines ADDRESS BYTES         sends lines, of so many bytes in all, and compares what is echoed
//	talk pingpong ADDRESS INTERVAL  sends Pings of rsplib's ping-pong protocol, one after the other, until SIGTERM
//
// It prints a line per event, after the seconds since boot, and fails when an answer is not what it must be.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		say("FAIL: %v", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: talk lines ADDRESS BYTES | pingpong ADDRESS INTERVAL, not %q", args)
	}
	conn, err := net.Dial("tcp", args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	switch args[0] {
	case "lines":
		size, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return lines(conn.(*net.TCPConn), size)
	case "pingpong":
		interval, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		return pingpong(conn, interval)
	}
	return fmt.Errorf("there is no %q", args)
}

// say prints an event with the seconds since boot, as the kernel and scenarios/common.sh count them.
func say(format string, args ...any) {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // it cannot fail
	fmt.Printf("[%.2f] %s\n", float64(now.Nano())/1e9, fmt.Sprintf(format, args...))
}
