//go:build linux

// Command probe shows, in the lab, what the kernel's SCTP does: with plain sockets and no library between.
//
//	probe facts                          what this project takes for granted of the kernel, each checked
//	probe serve LOCAL...                 echoes the messages of one association
//	probe dial LOCAL,... REMOTE,...      sends a message every 100 ms and waits for its echo; tells what the kernel reports
//
// Addresses are IP:PORT, those of one end with one port. It prints a line per event, after the seconds since boot.
package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		say("FAIL: %v", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "facts":
		return checkFacts()
	case len(args) == 2 && args[0] == "serve":
		local, err := addresses(args[1])
		if err != nil {
			return err
		}
		return serve(local)
	case len(args) == 3 && args[0] == "dial":
		local, err := addresses(args[1])
		if err != nil {
			return err
		}
		remote, err := addresses(args[2])
		if err != nil {
			return err
		}
		return dial(local, remote)
	}
	return fmt.Errorf("usage: probe facts | serve LOCAL,... | dial LOCAL,... REMOTE,..., not %q", args)
}

func addresses(list string) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for s := range strings.SplitSeq(list, ",") {
		a, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// say prints an event with the seconds since boot, as the kernel and scenarios/common.sh count them.
func say(format string, args ...any) {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // it cannot fail
	fmt.Printf("[%.2f] %s\n", float64(now.Nano())/1e9, fmt.Sprintf(format, args...))
}
