package upgrade

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// part is the environment variable that has this binary, started again, be the new process: what it says is how it behaves.
const part = "POOLPROXY_UPGRADE_TEST"

func TestMain(m *testing.M) {
	if how := os.Getenv(part); how != "" {
		os.Exit(play(how))
	}
	os.Exit(m.Run())
}

// play is the new process.
func play(how string) int {
	switch how {
	case "crashes":
		return 3
	case "hangs":
		select {}
	}
	p, err := Follow()
	if p == nil || err != nil {
		fmt.Fprintln(os.Stderr, p, err)
		return 4
	}
	if _, is := os.LookupEnv(Variable); is {
		return 5
	}
	if how == "refuses" {
		p.Fail(errors.New("line 3:\nno such pool"))
		return 1
	}
	if err := p.Ready(); err != nil {
		return 6
	}
	for n := 0; ; n++ {
		item, ok, err := p.Next()
		if err != nil {
			return 7
		}
		if !ok {
			break
		}
		if how == "dies in the middle" && n == 2 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		if item.FD >= 0 { // it writes back what it was given, so that the test sees that it has both
			defer unix.Write(item.FD, item.Body)
		}
	}
	switch how {
	case "hangs at the end":
		select {}
	case "dies at the end":
		p.say(frame{kind: kindThawed, body: count(p.items)})
		p.w.receive()
		syscall.Kill(os.Getpid(), syscall.SIGKILL) // behind Go, without having taken over
	}
	if err := p.Take(); err != nil {
		return 8
	}
	if group, err := unix.Getpgid(p.PID); err != nil || group != unix.Getpgrp() {
		return 9
	}
	return 0
}

// begin starts this binary as the new process.
func begin(t *testing.T, how string) (*Successor, error) {
	t.Helper()
	t.Setenv(part, how)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(Command{Path: self, Args: []string{self}, Stderr: os.Stderr, Version: "test"}, nil, []byte("begin"))
	if err == nil {
		t.Cleanup(s.Kill)
	}
	return s, err
}

// given is how many items are handed over, each of them a pipe with a text that the new process is to write there.
const given = 300 // more than fit in one packet

// handOver gives it the writing ends of pipes. What the new process says comes out of the reading ends.
func handOver(t *testing.T, s *Successor) (*os.File, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	defer w.Close()
	for i := range given {
		if err := s.Send(Item{Body: fmt.Appendf(nil, "item %d\n", i), FD: int(w.Fd())}); err != nil {
			return r, err
		}
	}
	if err := s.Send(Item{Body: bytes.Repeat([]byte("x"), 3*maxPacket), FD: -1}); err != nil {
		return r, err
	}
	return r, s.Commit()
}

func TestHandOver(t *testing.T) {
	s, err := begin(t, "well")
	if err == nil {
		err = s.Ready(time.Now().Add(time.Minute))
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := handOver(t, s)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for i := range given {
		if line := fmt.Sprintf("item %d\n", i); strings.Count(string(text), line) != 1 {
			t.Errorf("%q came %d times", line, strings.Count(string(text), line))
		}
	}
	if <-s.ended; s.err != nil { // 9: it is not in the old one's process group
		t.Error(s.err)
	}
}

// Whatever becomes of the new process, the old one hears of it, and that nothing was touched.
func TestFailures(t *testing.T) {
	for how, want := range map[string]string{
		"crashes":            "exit status 3",
		"hangs":              "did not answer in time",
		"refuses":            "gives up: line 3: no such pool",
		"dies in the middle": "signal: killed",
		"dies at the end":    "signal: killed",
		"hangs at the end":   "did not answer in time",
	} {
		t.Run(how, func(t *testing.T) {
			s, err := begin(t, how)
			var r *os.File
			if err == nil {
				wait := time.Minute
				if how == "hangs" {
					wait = 200 * time.Millisecond
				}
				err = s.Ready(time.Now().Add(wait))
			}
			if err == nil {
				if how == "hangs at the end" {
					s.w.within(time.Now().Add(500 * time.Millisecond))
				}
				r, err = handOver(t, s)
			}
			if err == nil || errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), want) {
				t.Fatalf("%v; want %q", err, want)
			}
			s.Kill()
			if r != nil {
				if text, err := io.ReadAll(r); len(text) > 0 || err != nil {
					t.Errorf("it has touched what it was given: %q, %v", text, err)
				}
			}
		})
	}
}

// A program that is none, or ends without a word, is told apart.
func TestOtherPrograms(t *testing.T) {
	for path, want := range map[string]string{"/bin/true": "exit status 0", "/bin/false": "exit status 1", "/nowhere": "cannot start"} {
		s, err := Start(Command{Path: path, Args: []string{path}}, nil, nil)
		if err == nil {
			err = s.Ready(time.Now().Add(time.Minute))
			s.Kill()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A script that is killed because it does not answer takes along what it has started: that would write to our log for ever.
func TestScript(t *testing.T) {
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nsleep 600 &\nwait\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe() // both have its writing end
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, err := Start(Command{Path: path, Args: []string{path}, Stdout: w, Stderr: w}, nil, nil)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(time.Now().Add(300 * time.Millisecond)); err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Fatal(err)
	}
	s.Kill()
	r.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("its child lives on: %v", err)
	}
}

// The new process says that the old one has died, and not "EOF".
func TestOldDies(t *testing.T) {
	ours, theirs, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	fd, err := unix.Dup(int(theirs.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWire(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	ours.close()
	p := &Predecessor{w: w, PID: 77}
	if _, _, err := p.Next(); err == nil || !strings.Contains(err.Error(), "the old process (77) has ended before this one had taken over") {
		t.Error(err)
	}
	if err := p.Take(); err == nil || !strings.Contains(err.Error(), "the old process (77) has ended") {
		t.Error(err)
	}
}

// All sockets on which this process waits are found, and no others.
func TestOpen(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	connected, err := net.Dial("udp", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	client, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	open, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, s := range open {
		got[s.Network+" "+s.Address.String()]++
	}
	if got["tcp "+tcp.Addr().String()] != 1 || got["udp "+udp.LocalAddr().String()] != 1 || got["udp "+connected.LocalAddr().String()] != 0 ||
		got["tcp "+client.LocalAddr().String()] != 0 {
		t.Errorf("%v", got)
	}
}
