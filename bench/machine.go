//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machineLines says where and with what was measured, as a markdown list.
func (w *whole) machineLines() string {
	s, haproxy := w.settings, w.haproxy
	if haproxy == "" {
		haproxy = "no HAProxy"
	}
	where := "a network namespace of its own"
	if !s.namespace {
		where = "the machine's own network (no privileges for a namespace)"
	}
	var controls []string
	rounds := 0
	for _, p := range w.parts {
		controls = append(controls, p.Congestion)
		rounds = max(rounds, p.Results.Rounds)
	}
	lines := []string{
		"date: " + time.Now().UTC().Format("2006-01-02 15:04 MST"),
		"command: `" + strings.Join(append([]string{"go run ./bench"}, s.arguments...), " ") + "`",
		fmt.Sprintf("machine: %s, %d cores, %s", cpuModel(), runtime.NumCPU(), memory()),
		"kernel: " + kernel() + "; congestion control " + strings.Join(controls, ", then ") + "; loopback in " + where,
		"Go: " + runtime.Version() + "; " + haproxy + "; poolproxy: " + w.revision,
		fmt.Sprintf("%d %s, samples of %v", rounds, plural(rounds, "round"), s.length),
	}
	return "- " + strings.Join(lines, "\n- ") + "\n"
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(text), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	if model := strings.Trim(line, "\t :"); model != "" {
		return model
	}
	return runtime.GOARCH
}

func memory() string {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return "memory unknown"
	}
	return fmt.Sprintf("%.0f GB", float64(info.Totalram)*float64(info.Unit)/1e9)
}

func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
}

// workingRevision is the commit of the working tree, marked when there are changes on top.
func workingRevision() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	text, err := capture(ctx, "git", "describe", "--always", "--dirty")
	if err != nil {
		return "working tree"
	}
	return strings.TrimSpace(text)
}
