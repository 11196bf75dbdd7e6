package loop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// More sockets are ready than a batch holds, and a timer is due: all are read before it fires.
func TestAllBatchesBeforeTimers(t *testing.T) {
	const clients = 2*batch + 10
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	accepted, heard := 0, 0
	l, err := e.Listen(loopback, func(c Conn) Handler {
		accepted++
		return handler(func(ev Event) {
			if n, _ := c.Read(make([]byte, 8)); n > 0 {
				heard++
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	var conns [clients]net.Conn
	for i := range conns {
		if conns[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
		for accepted <= i {
			e.turn()
		}
	}
	for _, c := range conns {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	before := -1
	e.Schedule(&Timer{Func: func() { before = heard }}, time.Now())
	e.turn()
	if before != clients {
		t.Errorf("when the timer fired %d of %d sockets had been read (-1: it did not fire)", before, clients)
	}
}

// lateHelper is set for the process of TestStoppedProcess.
const lateHelper = "POOLPROXY_TEST_LATE"

// lateTimer is how long its timer runs.
const lateTimer = time.Second

// TestHelperLate is that process: it says where it listens, answers a first byte by arming its timer, and tells the order in
// which the timer and the second byte come.
func TestHelperLate(t *testing.T) {
	if os.Getenv(lateHelper) == "" {
		return // not the helper: there is nothing to test
	}
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	over := func(what string) {
		if order = append(order, what); len(order) == 2 {
			fmt.Println("order", strings.Join(order, ", "))
			os.Exit(0)
		}
	}
	timer := &Timer{Func: func() { over("timer") }}
	l, err := e.Listen(loopback, func(c Conn) Handler {
		return handler(func(Event) {
			if n, _ := c.Read(make([]byte, 8)); n > 0 && timer.At().IsZero() {
				e.Schedule(timer, e.Now().Add(lateTimer))
				fmt.Println("armed")
			} else if n > 0 {
				over("byte")
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening", l.Addr())
	e.Run()
}

// A process that is stopped past its timer, and goes on, reads what has come meanwhile before the timer fires.
func TestStoppedProcess(t *testing.T) {
	c := exec.Command(os.Args[0], "-test.run=^TestHelperLate$")
	c.Env = append(os.Environ(), lateHelper+"=1")
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	out := bufio.NewReader(pipe)
	conn, err := net.Dial("tcp", line(t, out, "listening "))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	armed := time.Now()
	io.WriteString(conn, "1")
	line(t, out, "armed")
	waitFor(t, "the process to wait for events", func() bool { return threads(c.Process.Pid, "S") })
	if err := c.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the process to stop", func() bool { return threads(c.Process.Pid, "T") })
	if time.Since(armed) > lateTimer*9/10 {
		t.Skip("the machine is too busy: the timer may have fired before the process was stopped")
	}
	io.WriteString(conn, "2")
	waitFor(t, "the timer to be due", func() bool { return time.Since(armed) > lateTimer+lateTimer/2 })
	if err := c.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := line(t, out, "order "); got != "byte, timer" {
		t.Errorf("the order was: %s", got)
	}
}

// line reads a line and returns what follows the prefix that it must have.
func line(t *testing.T, in *bufio.Reader, prefix string) string {
	t.Helper()
	text, err := in.ReadString('\n')
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	if !ok {
		t.Fatalf("read %q, error %v; not %q", text, err, prefix)
	}
	return rest
}

// threads reports whether all threads of a process are in a state (proc_pid_stat(5)).
func threads(pid int, want string) bool {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, task.Name()))
		if _, state, _ := strings.Cut(string(stat), ") "); err != nil || !strings.HasPrefix(state, want) {
			return false
		}
	}
	return true
}
