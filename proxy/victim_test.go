//go:build linux

package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// victim is a server in a process of its own, so that it can be killed and frozen. It accepts one connection and reads from it
// what it is told to.
type victim struct {
	*testing.T
	process *os.Process
	at      netip.AddrPort
	in      io.Writer
	out     *bufio.Scanner
}

// Environment of the helper process.
const (
	readerAt    = "POOLPROXY_TEST_READER" // where it listens
	readerDefer = "POOLPROXY_TEST_DEFERS" // it is told of a connection with its first byte
	readerFile  = "POOLPROXY_TEST_COUNTS" // it reads by itself, and counts in this file
)

// counts are in memory that both processes share.
type counts struct {
	bound atomic.Int64 // the process cannot have read more than this
	read  atomic.Int64 // it has read this much
}

func mapCounts(path string) (*counts, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*counts)(unsafe.Pointer(&m[0])), nil
}

// startReader starts one that listens at the address, with these variables in its environment.
func startReader(t *testing.T, at string, env ...string) *victim {
	c := exec.Command(os.Args[0], "-test.run=^TestHelperReader$")
	c.Env = append(append(os.Environ(), readerAt+"="+at), env...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	r := &victim{T: t, process: c.Process, in: in, out: bufio.NewScanner(out)}
	if r.at, err = netip.ParseAddrPort(r.hear()); err != nil {
		t.Fatal(err)
	}
	return r
}

// hear returns the next line that the reader writes.
func (r *victim) hear() string {
	r.Helper()
	if !r.out.Scan() {
		r.Fatalf("the reader is gone: %v", r.out.Err())
	}
	return r.out.Text()
}

// do has the reader do something, and returns what it answers.
func (r *victim) do(format string, args ...any) string {
	r.Helper()
	r.tell(format, args...)
	return r.hear()
}

func (r *victim) tell(format string, args ...any) {
	r.Helper()
	if _, err := fmt.Fprintf(r.in, format+"\n", args...); err != nil {
		r.Fatal(err)
	}
}

// expect has the reader do something and checks what it answers.
func (r *victim) expect(want, format string, args ...any) {
	r.Helper()
	if got := r.do(format, args...); got != want {
		r.Fatalf("%s: %q, not %q", fmt.Sprintf(format, args...), got, want)
	}
}

// freeze stops the process, and returns when it has stopped.
func (r *victim) freeze() {
	r.Helper()
	r.signal(syscall.SIGSTOP)
	eventually(r.T, "the reader to freeze", func() bool { return r.state() == "T" })
}

func (r *victim) thaw() { r.signal(syscall.SIGCONT) }

// kill ends the process, and returns when it has ended and its sockets are closed.
func (r *victim) kill() {
	r.Helper()
	r.signal(syscall.SIGKILL)
	eventually(r.T, "the reader to die", func() bool { return r.state() == "Z" })
}

func (r *victim) signal(s syscall.Signal) {
	r.Helper()
	if err := r.process.Signal(s); err != nil {
		r.Fatal(err)
	}
}

// state is that of proc_pid_stat(5): T is stopped, Z is dead.
func (r *victim) state() string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.process.Pid))
	if err != nil {
		return "Z"
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
}

// TestHelperReader is what the helper process runs. Each line of its input is a command: accept, read N, finish, close.
func TestHelperReader(t *testing.T) {
	at := os.Getenv(readerAt)
	if at == "" {
		return // not the helper: there is nothing to test
	}
	control := func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			if os.Getenv(readerDefer) != "" {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 5)
			}
		}), err)
	}
	l, err := (&net.ListenConfig{Control: control}).Listen(context.Background(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(l.Addr())
	if path := os.Getenv(readerFile); path != "" {
		readByItself(t, l, path)
		return
	}
	var conn *net.TCPConn
	total := 0
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		var n int
		switch command := commands.Text(); {
		case command == "accept":
			c, err := l.Accept()
			conn, _ = c.(*net.TCPConn)
			fmt.Println("accepted", err)
		case command == "finish":
			fmt.Println("finished", conn.CloseWrite())
		case command == "close":
			fmt.Println("closed", conn.Close())
		default:
			if _, err := fmt.Sscanf(command, "read %d", &n); err != nil {
				t.Fatalf("unknown command %q", command)
			}
			n, err := io.ReadFull(conn, make([]byte, n))
			total += n
			fmt.Println("read", total, word(err))
		}
	}
}

// word is an error in one word.
func word(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "end"
	case err != nil:
		return err.Error()
	}
	return "ok"
}

// readByItself reads all that comes, in pieces of up to 4000 bytes. Before each read it says how far that may come.
func readByItself(t *testing.T, l net.Listener, path string) {
	counts, err := mapCounts(path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4000)
	for total := int64(0); ; counts.read.Store(total) {
		p := buf[:1+rand.IntN(len(buf))]
		counts.bound.Store(total + int64(len(p)))
		n, err := conn.Read(p)
		if err != nil {
			return
		}
		total += int64(n)
	}
}
