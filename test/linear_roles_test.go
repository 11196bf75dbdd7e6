//go:build linux

package test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// storeServer keeps values by their keys, for all front servers. It outlives them.
//
//	GET key           =value
//	SET key value     ok
//	APPEND key value  =all of it
//	CAS key old new   yes, or no
//
// A key that was never set has the value "-"; APPEND puts its value behind that, too.
func storeServer(args []string) error {
	address, err := listenFlag(args)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	values := make(map[string]string)
	return serve(address, func(conn *net.TCPConn) {
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			mu.Lock()
			reply := carryOut(values, strings.Fields(line))
			mu.Unlock()
			if _, err := io.WriteString(conn, reply+"\n"); err != nil {
				return
			}
		}
	})
}

// carryOut is one operation of the store.
func carryOut(values map[string]string, words []string) string {
	if len(words) < 2 {
		return "bad request"
	}
	key := words[1]
	if _, ok := values[key]; !ok {
		values[key] = noValue
	}
	switch {
	case words[0] == "GET" && len(words) == 2:
		return "=" + values[key]
	case words[0] == "SET" && len(words) == 3:
		values[key] = words[2]
		return "ok"
	case words[0] == "APPEND" && len(words) == 3:
		values[key] += words[2]
		return "=" + values[key]
	case words[0] == "CAS" && len(words) == 4:
		if values[key] != words[2] {
			return "no"
		}
		values[key] = words[3]
		return "yes"
	}
	return "bad request"
}

// noValue is the value of a key that was never set.
const noValue = "-"

// frontServer passes each line on to the store, and the store's answer back.
func frontServer(args []string) error {
	flags := flag.NewFlagSet("front", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	store := flags.String("store", "", "address of the store")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return serve(*listen, func(conn *net.TCPConn) {
		behind, err := net.Dial("tcp", *store)
		if err != nil {
			fmt.Println("no store:", err)
			return
		}
		defer behind.Close()
		asked, answered := bufio.NewReader(conn), bufio.NewReader(behind)
		for {
			line, err := asked.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := io.WriteString(behind, line); err != nil {
				return
			}
			reply, err := answered.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
		}
	})
}
