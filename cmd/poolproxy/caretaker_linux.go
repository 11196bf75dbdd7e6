package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

// A container ends with its first process. So where that has been replaced it stays, as caretaker: it serves nothing, passes signals on to the process
// that serves, and ends with it, with its exit status. Of further upgrades it need not know: whose parent has ended is a child of the first process.

// isFirst reports whether this process is the first one of its namespace.
func isFirst() bool { return os.Getpid() == 1 }

// caretakerVariable is the environment variable by which the first process knows that it is the caretaker; its value is the form of the log.
const caretakerVariable = "POOLPROXY_CARETAKER"

// becomeCaretaker has the first process begin anew, as caretaker, since what it has served with would go on: it would keep the elements that it had
// registered in their pools, whatever becomes of them at the process that serves. It returns if that is not possible.
func becomeCaretaker(log hclog.Logger, json bool, signals ...<-chan os.Signal) {
	for _, from := range signals { // what has come meanwhile
		for more := true; more; {
			select {
			case s := <-from:
				pass(log, s)
			default:
				more = false
			}
		}
	}
	form := "text"
	if json {
		form = "json"
	}
	err := unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), caretakerVariable+"="+form))
	log.Warn("the first process of the container cannot begin anew, and may keep registrations of its own", "error", err)
}

// caretakes reports whether this process is there for that alone, and in which form it logs.
func caretakes() (is, json bool) {
	form, is := os.LookupEnv(caretakerVariable)
	os.Unsetenv(caretakerVariable)
	return is && isFirst(), form == "json"
}

// caretake is the rest of the first process's life. It returns the exit status of the last child, when none is left.
func caretake(log hclog.Logger, signals ...<-chan os.Signal) int {
	log.Info("this process is the first one of its container, and stays until the one that serves ends")
	reopen := make(chan os.Signal, 1)
	signal.Notify(reopen, syscall.SIGUSR1)
	for _, from := range append(signals, reopen) {
		go func() { // until the process ends
			for s := range from {
				pass(log, s)
			}
		}()
	}
	debug.FreeOSMemory()
	status := exitOK
	for {
		var how unix.WaitStatus
		pid, err := unix.Wait4(-1, &how, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // none is left
			return status
		case how.Exited():
			status = how.ExitStatus()
		case how.Signaled():
			status = 128 + int(how.Signal()) // as shells have it
		}
		if err == nil {
			log.Debug("a process has ended", "pid", pid, "status", status)
		}
	}
}

// pass sends a signal to all children.
func pass(log hclog.Logger, s os.Signal) {
	number, is := s.(syscall.Signal)
	if !is {
		return
	}
	for _, pid := range children() {
		if err := unix.Kill(pid, number); err != nil && !errors.Is(err, unix.ESRCH) {
			log.Warn("a signal cannot be passed on", "signal", s, "pid", pid, "error", err)
		}
	}
}

// children lists the processes whose parent this one is (proc_pid_task_children(5)).
func children() (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
