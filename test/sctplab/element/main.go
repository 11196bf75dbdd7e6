//go:build linux

// Command element is what a pool_element sidecar for native pool users needs beside it in the lab: plain servers, which know nothing of
// RSerPool, and what registers the sidecar's address with a registrar.
//
//	element pingpong LISTEN ADMIN                      answers rsplib's pings over TCP; its state lies in the sidecar's cookies
//	element echo LISTEN                                sends back what comes over TCP
//	element register REGISTRAR HANDLE IDENTIFIER AT    registers until SIGTERM, then deregisters
//
// LISTEN, ADMIN (the sidecar's admin API), REGISTRAR and AT (where the sidecar listens) are IP:PORT.
package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "pingpong":
		return pingpong(args[1], args[2])
	case len(args) == 2 && args[0] == "echo":
		return echo(args[1])
	case len(args) == 5 && args[0] == "register":
		registrar, err := netip.ParseAddrPort(args[1])
		if err != nil {
			return err
		}
		at, err := netip.ParseAddrPort(args[4])
		if err != nil {
			return err
		}
		id, err := strconv.ParseUint(args[3], 0, 32)
		if err != nil {
			return err
		}
		return register(registrar, args[2], uint32(id), at)
	}
	return fmt.Errorf("usage: see the package comment, not %q", args)
}
