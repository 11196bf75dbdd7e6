// Package threads tells of the threads of processes that tests have started. It knows them on Linux.
package threads

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// States are those that the threads of a process are in, a letter each as in proc_pid_stat(5): T has been stopped, Z and X are over. "": there
// is no such process, or no /proc.
func States(pid int) string {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	var states strings.Builder
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		if at := strings.LastIndex(string(stat), ") "); at >= 0 && at+2 < len(stat) { // behind its name, in which anything may stand
			states.WriteByte(stat[at+2])
		}
	}
	return states.String()
}

// Stopped reports whether all threads of a process have been stopped (SIGSTOP): on a busy machine it may go on for a while.
func Stopped(pid int) bool {
	states := States(pid)
	return states != "" && strings.Trim(states, "T") == ""
}

// Live reports whether a process has a thread that is not over: until then it has its ports.
func Live(pid int) bool { return strings.Trim(States(pid), "ZX") != "" }
