//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// serve calls f with each connection, in a goroutine that ends with it; the process's end ends all.
func serve(listen string, f func(net.Conn) error) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println("listening", l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			fmt.Println("connection from", c.RemoteAddr(), "ended:", f(c))
		}()
	}
}

func echo(listen string) error {
	return serve(listen, func(c net.Conn) error {
		_, err := io.Copy(c, c)
		return err
	})
}

// Sizes of rsplib's ping-pong protocol: a Ping is type 1, flags, length and a number of 64 bits, with data behind; a Pong is type 2, and
// has the number of the reply between the two.
const (
	pingHeader = 12
	pongHeader = 20
)

// dying: the process dies behind its next reply, when the state has been told.
var dying atomic.Bool

// pingpong answers pings. The reply numbers go on where they were at another element: that is the session's state. A process that is
// killed between a reply and its state would have the numbers repeat one; SIGUSR1 has it die at another moment.
func pingpong(listen, admin string) error {
	die := make(chan os.Signal, 1)
	signal.Notify(die, syscall.SIGUSR1)
	go func() { // ends with the process
		<-die
		dying.Store(true)
	}()
	return serve(listen, func(c net.Conn) error { return pongs(c, admin) })
}

func pongs(c net.Conn, admin string) error {
	state := "http://" + admin + "/v1/cookies/" + c.RemoteAddr().String()
	reply, err := restore(state)
	if err != nil {
		return err
	}
	for {
		ping, err := readPing(c)
		if err != nil {
			return err
		}
		pong := binary.BigEndian.AppendUint16([]byte{2, 0}, uint16(len(ping)+pongHeader-pingHeader))
		pong = append(pong, ping[4:pingHeader]...)
		pong = binary.BigEndian.AppendUint64(pong, reply)
		if _, err := c.Write(append(pong, ping[pingHeader:]...)); err != nil {
			return err
		}
		if err := keep(state, reply+1); err != nil {
			return err
		}
		fmt.Println("reply", reply)
		reply++
		if dying.Load() {
			return syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		}
	}
}

func readPing(c io.Reader) ([]byte, error) {
	ping := make([]byte, pingHeader)
	if _, err := io.ReadFull(c, ping); err != nil {
		return nil, err
	}
	rest := int(binary.BigEndian.Uint16(ping[2:])) - pingHeader
	if ping[0] != 1 || rest < 0 {
		return nil, fmt.Errorf("no ping: %x", ping)
	}
	ping = append(ping, make([]byte, rest)...)
	_, err := io.ReadFull(c, ping[pingHeader:])
	return ping, err
}

// mark begins a state, as rspserver writes it; the number of the next reply follows.
const mark = "<PP-TD1>"

// restore asks for the state that another element has left; without one the session is new.
func restore(url string) (reply uint64, err error) {
	answer, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	fmt.Printf("GET %s: %s, %x\n", url, answer.Status, body)
	number, is := bytes.CutPrefix(body, []byte(mark))
	switch {
	case answer.StatusCode == http.StatusNoContent:
		return 1, nil
	case answer.StatusCode != http.StatusOK:
		return 0, errors.New("the sidecar does not know this connection")
	case !is || len(number) != 8:
		return 0, fmt.Errorf("a cookie that is not of this service: %x", body)
	}
	return binary.BigEndian.Uint64(number), nil
}

func keep(url string, reply uint64) error {
	request, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(binary.BigEndian.AppendUint64([]byte(mark), reply)))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode >= 300 {
		return fmt.Errorf("PUT %s: %s %s (%w)", url, answer.Status, body, err)
	}
	return nil
}
