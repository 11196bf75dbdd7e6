//go:build linux

package test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// now is the clock that all processes of the machine share, in whatever network namespace they are, and that nobody sets
// (CLOCK_MONOTONIC). Times in journals are its.
func now() time.Duration {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		panic(err) // Linux has it
	}
	return time.Duration(at.Nano())
}

// journalServer carries out lines, one after another on each connection, and writes down what it did and when: a line "x" is read,
// worked on, done, and answered by "did x". It reads no further while it works, as the simplest of servers do.
func journalServer(args []string) error {
	flags := flag.NewFlagSet("journal", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	work := flags.Duration("work", 0, "how long it works on a line")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var count atomic.Int64
	return serve(*listen, func(conn *net.TCPConn) {
		j := &journal{conn: conn, work: *work, number: count.Add(1)}
		j.note("opened", "")
		err := j.serve()
		j.note("ended", ending(err))
	})
}

// journal is one connection of a journalServer.
type journal struct {
	conn   *net.TCPConn
	work   time.Duration
	number int64
	rest   []byte // the beginning of a line
}

func (j *journal) note(what, text string) {
	fmt.Printf("%d %s %d %s\n", j.number, what, now(), text)
}

func (j *journal) serve() error {
	block := make([]byte, 4096)
	for {
		n, err := j.conn.Read(block)
		j.rest = append(j.rest, block[:n]...)
		last := bytes.LastIndexByte(j.rest, '\n') + 1
		lines := strings.Split(string(j.rest[:last]), "\n")
		lines, j.rest = lines[:len(lines)-1], bytes.Clone(j.rest[last:])
		for _, line := range lines {
			j.note("read", line)
		}
		for _, line := range lines {
			time.Sleep(j.work)
			j.note("did", line)
			if _, err := io.WriteString(j.conn, "did "+line+"\n"); err != nil {
				return err // nobody is there to work for any more
			}
		}
		if err != nil {
			return err
		}
	}
}

// entry is a line of a journal.
type entry struct {
	conn int64
	what string // opened, read, did, ended
	at   time.Duration
	text string // the line; or how the connection ended
}

// journal returns what a journalServer wrote so far, in the order of time.
func (p *process) journal(t *testing.T) (entries []entry) {
	t.Helper()
	for line := range strings.Lines(p.output(t)) {
		words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(words) < 4 || !strings.HasSuffix(line, "\n") {
			continue // "accepted", or a line that is still being written
		}
		conn, err1 := strconv.ParseInt(words[0], 10, 64)
		at, err2 := strconv.ParseInt(words[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("%s wrote %q: %v", p.name, line, err)
		}
		entries = append(entries, entry{conn: conn, what: words[1], at: time.Duration(at), text: words[3]})
	}
	return entries
}

// did counts how often each line was carried out.
func did(journals ...[]entry) map[string]int {
	counts := make(map[string]int)
	for _, j := range journals {
		for _, e := range j {
			if e.what == "did" {
				counts[e.text]++
			}
		}
	}
	return counts
}
