//go:build linux

package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// roles are the programs that this binary can be.
var roles = map[string]func(args []string) error{"server": server, "idle": idle}

func play(role string, args []string) int {
	if err := roles[role](args); err != nil {
		fmt.Println("role", role, "failed:", err)
		return 1
	}
	return 0
}

// serverFacts is what a server tells of itself, in a file that is written anew ten times a second.
type serverFacts struct {
	Accepted int64     `json:"accepted"`
	Now      int64     `json:"now"`  // connections that there are
	Most     int64     `json:"most"` // and the most that there were at once
	Peak     int64     `json:"peak"` // the most that were accepted within 100 ms
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// filler is what long answers are made of.
var filler = strings.Repeat("x", 64<<10)

type lineServer struct {
	listener *net.TCPListener
	name     string
	each     time.Duration // what accepting one takes
	accepted atomic.Int64
	now      atomic.Int64
	most     atomic.Int64
	first    atomic.Int64
	last     atomic.Int64
}

// server answers each line, "GET n SIZE", by "n NAME" and so many bytes more if there is a SIZE. It is a server as most are: with a backlog of its own, and one thread that accepts.
func server(args []string) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	address := flags.String("listen", "", "")
	name := flags.String("name", "a", "")
	backlog := flags.Int("backlog", 128, "")
	each := flags.Duration("each", 0, "")
	facts := flags.String("facts", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	s := &lineServer{listener: l.(*net.TCPListener), name: *name, each: *each}
	raw, err := s.listener.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), *backlog) }); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	go s.tell(*facts)
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		s.count()
		go s.serve(conn)
	}
}

func (s *lineServer) count() {
	now := time.Now().UnixNano()
	s.first.CompareAndSwap(0, now)
	s.last.Store(now)
	s.accepted.Add(1)
	if n := s.now.Add(1); n > s.most.Load() {
		s.most.Store(n) // nobody else does
	}
	for until := time.Unix(0, now).Add(s.each); time.Now().Before(until); { // a fork, a look-up: it does not go faster by sleeping less exactly
	}
}

// serve ends with its connection.
func (s *lineServer) serve(conn net.Conn) {
	defer conn.Close()
	defer s.now.Add(-1) // before anybody can know that there is room
	in := bufio.NewReaderSize(conn, 256)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			return
		}
		answer := f[1] + " " + s.name
		if len(f) > 2 {
			size, _ := strconv.Atoi(f[2])
			if _, err := io.WriteString(conn, answer+" "); err != nil {
				return
			}
			for answer = ""; size > 0; size -= len(filler) {
				if _, err := io.WriteString(conn, filler[:min(size, len(filler))]); err != nil {
					return
				}
			}
		}
		if _, err := io.WriteString(conn, answer+"\n"); err != nil {
			return
		}
	}
}

// tell ends with the process.
func (s *lineServer) tell(path string) {
	if path == "" {
		return
	}
	var peak, before int64
	for range time.Tick(100 * time.Millisecond) {
		f := serverFacts{Accepted: s.accepted.Load(), Now: s.now.Load(), Most: s.most.Load()}
		peak = max(peak, f.Accepted-before)
		before, f.Peak = f.Accepted, peak
		f.First, f.Last = time.Unix(0, s.first.Load()), time.Unix(0, s.last.Load())
		text, _ := json.Marshal(f)
		if os.WriteFile(path+".new", text, 0o644) == nil {
			_ = os.Rename(path+".new", path)
		}
	}
}
