//go:build linux

package test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// roles are the programs that this test binary can be: legacy servers that know nothing of pools, and a client to be killed. Each
// writes to its standard output what happens to it, a line an event; that is what tests look at.
var roles = map[string]func(args []string) error{
	"line":      lineServer,
	"record":    recordServer,
	"deliver":   deliverServer,
	"closer":    closeServer,
	"hang":      hangingClient,
	"journal":   journalServer,
	"judged":    judgedServer,
	"odd":       oddServer,
	"store":     storeServer,
	"front":     frontServer,
	"tally":     tallyServer,
	"actor":     actorServer,
	"name":      nameServer,
	"successor": successorRole,
}

// play is the main function of a role.
func play(role string, args []string) int {
	run, ok := roles[role]
	if !ok {
		fmt.Println("no such role:", role)
		return 2
	}
	if err := run(args); err != nil {
		fmt.Println("role", role, "failed:", err)
		return 1
	}
	return 0
}

// serve accepts connections for ever; each is handled on its own goroutine and closed afterwards.
func serve(address string, handle func(*net.TCPConn)) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		fmt.Println("accepted")
		go func() {
			defer conn.Close()
			handle(conn.(*net.TCPConn))
		}()
	}
}

// listenFlag parses arguments that are only -listen.
func listenFlag(args []string) (string, error) {
	flags := flag.NewFlagSet("role", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	err := flags.Parse(args)
	return *listen, err
}

// lineServer answers each line "x" with "did x": the same on every server.
func lineServer(args []string) error {
	address, err := listenFlag(args)
	if err != nil {
		return err
	}
	return serve(address, func(conn *net.TCPConn) {
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, "did "+line); err != nil {
				return
			}
		}
	})
}

// recordServer sends a pattern and expects one, both at once, and writes down what it got.
func recordServer(args []string) error {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	size := flags.Int64("size", 0, "bytes each way")
	rate := flags.Int64("rate", 0, "bytes a second that are sent")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return serve(*listen, func(conn *net.TCPConn) {
		sent := make(chan error, 1)
		go func() { sent <- sendPattern(conn, downSeed, *size, *rate, -1) }()
		n, err := checkPattern(conn, upSeed)
		fmt.Printf("received %d bytes, error %v\n", n, err)
		fmt.Printf("sent, error %v\n", <-sent)
	})
}

// deliverServer waits for a line and then delivers a pattern, in which one byte may be another.
func deliverServer(args []string) error {
	flags := flag.NewFlagSet("deliver", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	size := flags.Int64("size", 0, "bytes to deliver")
	rate := flags.Int64("rate", 0, "bytes a second")
	differ := flags.Int64("differ", -1, "position of the byte that is another")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return serve(*listen, func(conn *net.TCPConn) {
		line, err := bufio.NewReader(conn).ReadString('\n')
		fmt.Printf("asked %q, error %v\n", line, err)
		if err == nil {
			fmt.Printf("sent, error %v\n", sendPattern(conn, downSeed, *size, *rate, *differ))
		}
	})
}

// closeServer does to its connection what the first line says, and writes down how the client's bytes end.
func closeServer(args []string) error {
	address, err := listenFlag(args)
	if err != nil {
		return err
	}
	return serve(address, func(conn *net.TCPConn) {
		in := bufio.NewReader(conn)
		line, err := in.ReadString('\n')
		if err != nil {
			fmt.Println("ended before a line:", ending(err))
			return
		}
		word := strings.TrimSpace(line)
		fmt.Println("asked to", word)
		switch word {
		case "reset":
			conn.SetLinger(0) // so that the close is a reset
			return
		case "finish":
			io.WriteString(conn, "goodbye\n")
			return
		}
		io.WriteString(conn, "listening\n")
		n, err := io.Copy(io.Discard, in)
		fmt.Printf("got %d more bytes, then %s\n", n, ending(err))
		if err == nil {
			fmt.Fprintf(conn, "counted %d\n", n)
		}
	})
}

// hangingClient connects, says its line, waits for one, and does nothing more until it is killed.
func hangingClient(args []string) error {
	flags := flag.NewFlagSet("hang", flag.ContinueOnError)
	connect := flags.String("connect", "", "address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := net.Dial("tcp", *connect)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "listen\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Printf("heard %q, error %v\n", line, err)
	select {} // the test ends it
}

// ending puts the end of a stream into words: what a legacy program sees of how its peer went.
func ending(err error) string {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return "end of file"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing in time"
	}
	return err.Error()
}

// upSeed and downSeed tell the patterns of the two directions apart.
const (
	upSeed   = 0x7570
	downSeed = 0x646f776e
)

// pattern is byte n of an endless sequence in which every position can be recognised by what stands there.
func pattern(seed uint64, n int64) byte {
	z := (seed + uint64(n)>>3 + 1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	return byte((z ^ z>>31) >> (8 * (n & 7)))
}

// sendPattern writes size bytes at a rate, the one at differ inverted, and then the end of file.
func sendPattern(conn *net.TCPConn, seed uint64, size, rate, differ int64) error {
	block := make([]byte, 32<<10)
	began := time.Now()
	for at := int64(0); at < size; {
		n := min(int64(len(block)), size-at)
		for i := range block[:n] {
			block[i] = pattern(seed, at+int64(i))
		}
		if at <= differ && differ < at+n {
			block[differ-at] ^= 0xff
		}
		if _, err := conn.Write(block[:n]); err != nil {
			return fmt.Errorf("after %d bytes: %w", at, err)
		}
		at += n
		time.Sleep(time.Until(began.Add(time.Duration(float64(at) / float64(rate) * float64(time.Second)))))
	}
	return conn.CloseWrite()
}

// checkPattern reads to the end and compares. The count is of the right bytes before the end, or before the first wrong one.
func checkPattern(r io.Reader, seed uint64) (int64, error) {
	block := make([]byte, 32<<10)
	var at int64
	for {
		n, err := r.Read(block)
		for _, b := range block[:n] {
			if b != pattern(seed, at) {
				return at, fmt.Errorf("byte %d is %#x, not %#x", at, b, pattern(seed, at))
			}
			at++
		}
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}
