//go:build linux

// Command handlespace drives package registrar in the lab, against real registrars.
//
//	handlespace register REGISTRARS LISTEN HANDLE NAME AT    registers AT (sctp) until SIGTERM, then deregisters
//	handlespace follow REGISTRARS HANDLE                     prints who is in the pool, when that changes, until it is killed; with
//	                                                         SIGUSR1 it reports the last one
//
// REGISTRARS are IP:PORT with commas between, LISTEN and AT are IP:PORT.
package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/registrar"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: see the package comment, not %q", args)
	}
	c := registrar.Config{Dialect: asap.RSPLIB(), Interval: time.Second}
	for _, s := range strings.Split(args[1], ",") {
		at, err := netip.ParseAddrPort(s)
		if err != nil {
			return err
		}
		c.Registrars = append(c.Registrars, at)
	}
	switch {
	case len(args) == 6 && args[0] == "register":
		listen, err := netip.ParseAddrPort(args[2])
		if err != nil {
			return err
		}
		at, err := netip.ParseAddrPort(args[5])
		if err != nil {
			return err
		}
		c.Listen = listen
		return register(c, pool.Registration{Handle: args[3], Element: pool.Element{Name: args[4], Address: at, Mapping: "sctp", Weight: 1}})
	case len(args) == 3 && args[0] == "follow":
		return follow(c, args[2])
	}
	return fmt.Errorf("usage: see the package comment, not %q", args)
}

func register(c registrar.Config, r pool.Registration) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	s, err := registrar.New(c)
	if err != nil {
		return err
	}
	registered, err := s.Register(r, func(err error) {
		if err != nil {
			fmt.Println("not registered:", err)
			return
		}
		fmt.Println("registered", registrar.Name(registrar.Identifier(r.Handle, r.Element)))
	})
	if err != nil {
		return err
	}
	<-stop
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := registered.Deregister(ctx); err != nil {
		return err
	}
	fmt.Println("deregistered")
	return nil
}

func follow(c registrar.Config, handle string) error {
	report := make(chan os.Signal, 1)
	signal.Notify(report, syscall.SIGUSR1)
	s, err := registrar.New(c)
	if err != nil {
		return err
	}
	last, news := "", make(chan []pool.Element, 100)
	s.Follow(handle, func(n pool.News) {
		text := fmt.Sprint("error: ", n.Err)
		if n.Err == nil {
			text = fmt.Sprintf("%d elements:", len(n.Elements))
			for _, e := range n.Elements {
				text += fmt.Sprintf(" %s=%s/%v", e.Name, e.Mapping, e.Address)
			}
			select {
			case news <- n.Elements:
			default:
			}
		}
		if text != last {
			last = text
			fmt.Println(text)
		}
	})
	var known []pool.Element
	for {
		select {
		case known = <-news:
		case <-report:
			if len(known) > 0 {
				e := known[len(known)-1]
				fmt.Println("reports", e.Name)
				s.Report(handle, e)
			}
		}
	}
}
