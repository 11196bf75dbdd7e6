//go:build linux

package chaos

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// play is what this binary does when it is started again in a role. What it returns is the exit status.
func play(role string) int {
	switch role {
	case "eat":
		eat()
		return 0
	}
	fmt.Fprintf(os.Stderr, "there is no role %q\n", role)
	return 2
}

// eat waits until it is in a control group of these tests, and then takes memory until somebody in it is killed. Who that is has been said
// to the OOM killer, which counts what is mapped: so this is not. It is killed itself afterwards.
func eat() {
	for in := ""; !strings.Contains(in, cgroupPrefix); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			return
		}
		in = string(text)
	}
	fd, err := unix.MemfdCreate("eaten", 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	for piece := make([]byte, 1<<20); ; time.Sleep(time.Millisecond) { // who is killed dies meanwhile
		if _, err := unix.Write(fd, piece); err != nil {
			fmt.Fprintln(os.Stderr, err)
			time.Sleep(patience)
		}
	}
}
