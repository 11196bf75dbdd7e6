//go:build linux

// Command rude is a native peer (docs/protocol.md, "Native peers") that does not behave: it says what nobody should, too much of it, and
// hears nothing.
//
//	rude user ADDRESS WHAT    a pool user. asap: rubbish in place of ASAP's messages, then a line, which must be echoed; huge: lines of
//	                          1 MiB, which must be echoed; ppid: another application's PPID; deaf: says lines and never reads; idle
//	rude element ADDRESS      a pool element that echoes, between cookies as fast as they are taken, some too long, and rubbish
//
// Messages have the PPID 0. It prints a line per event; those that wait for an echo end when they have it, the others with their
// association.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

var config = mapping.Config{Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}, DialTimeout: 10 * time.Second}

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: rude user ADDRESS WHAT | element ADDRESS, not %q", args)
	}
	at, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	l, err := loop.New()
	if err != nil {
		return err
	}
	native := mapping.SCTPMapping{Native: true}
	switch {
	case args[0] == "element":
		_, err = native.Listen(l, at, config, func(a mapping.Association) mapping.Handler { return &element{a: a} })
	case len(args) == 3 && users[args[2]] != nil:
		u := users[args[2]]()
		l.Post(func() { u.a = native.Dial(l, at, config, u) })
	default:
		err = fmt.Errorf("there is no %q", args)
	}
	if err != nil {
		return err
	}
	fmt.Println("begun")
	l.Run()
	return nil
}

// room reports whether the association takes more for now.
func room(a mapping.Association) bool { return a.Queued() < 2*mapping.LowWater }

// must ends the process when the mapping does not take a message; an association that has ended says so itself.
func must(err error) {
	if err != nil && !errors.Is(err, mapping.ErrDown) {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}

// over ends the process with its association.
func over(err error) {
	if errors.Is(err, io.EOF) {
		fmt.Println("ended in order")
	} else {
		fmt.Println("ended:", err)
	}
	os.Exit(0)
}
