//go:build linux

package chaos

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
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
	case "holes":
		return holes()
	case "clock":
		return tellTime()
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

// holes has descriptors with numbers free between them, and tells for each line that it reads whether it could open one more.
func holes() int {
	var files [20]*os.File
	for i := range files {
		files[i], _ = os.Open(os.DevNull)
	}
	for i := 3; i < len(files); i += 4 {
		files[i].Close()
	}
	defer func() { _ = files[0].Close() }() // so that they are not collected
	return answer(func() string {
		file, err := os.Open(os.DevNull)
		if err != nil {
			return err.Error()
		}
		file.Close()
		return "opened " + files[0].Name()
	})
}

// tellTime tells for each line that it reads what time it is, in seconds.
func tellTime() int { return answer(func() string { return strconv.FormatInt(time.Now().Unix(), 10) }) }

// answer ends with its input.
func answer(say func() string) int {
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(say())
	}
	return 0
}
