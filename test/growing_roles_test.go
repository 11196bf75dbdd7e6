//go:build linux

package test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/etcd"
	"github.com/poolproxy/poolproxy/pool"
)

// actorPool is the pool that actors are elements of.
const actorPool = "stage"

// actorServer is some pool elements in one process: a server at each of the addresses, which answers a line "GET n" with its element's name
// and n. They register themselves in etcd with a load; at SIGTERM they are deregistered, and the servers go on for the sessions that they
// have.
func actorServer(args []string) error {
	flags := flag.NewFlagSet("actor", flag.ContinueOnError)
	first := flags.String("listen", "", "address of the first element; the next ones have the next addresses")
	count := flags.Int("count", 1, "elements")
	members := flags.String("etcd", "", "endpoints")
	load := flags.Uint("load", 0, "of each element")
	if err := flags.Parse(args); err != nil {
		return err
	}
	source, err := etcd.New(etcd.Config{Endpoints: strings.Split(*members, ","), Lease: actorLease})
	if err != nil {
		return err
	}
	drain := make(chan os.Signal, 1)
	signal.Notify(drain, syscall.SIGTERM)
	failed := make(chan error, *count)
	registered := make([]pool.Registered, *count)
	done := make(chan struct{}, 16**count)
	at := netip.MustParseAddrPort(*first)
	for i := range registered {
		address := at
		go func() { failed <- actElement(address) }() // ends with the process
		r := pool.Registration{Handle: actorPool, Policy: pool.LeastUsed, Element: pool.Element{Name: address.String(), Address: address, Load: uint32(*load)}}
		told := func(err error) {
			if err == nil {
				done <- struct{}{}
				return
			}
			fmt.Println("not registered yet:", err)
		}
		if registered[i], err = source.Register(r, told); err != nil {
			return err
		}
		at = netip.AddrPortFrom(at.Addr().Next(), at.Port())
	}
	for range registered {
		<-done
	}
	fmt.Println("registered", time.Now().UnixNano())
	<-drain
	fmt.Println("drained", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, r := range registered {
		err = errors.Join(err, r.Deregister(ctx))
	}
	if err != nil {
		return err
	}
	fmt.Println("deregistered", time.Now().UnixNano())
	return <-failed
}

// actElement is the server of one element.
func actElement(at netip.AddrPort) error {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go actSession(conn, at.String())
	}
}

// actSession answers until the connection ends.
func actSession(conn net.Conn, name string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, name+" "+strings.TrimPrefix(line, "GET ")); err != nil {
			return
		}
	}
}
