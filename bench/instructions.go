//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// instructionMarkers enclose the table of -instructions.
var instructionMarkers = markers{"<!-- instructions:begin -->", "<!-- instructions:end -->"}

// counted is a process whose instructions are counted while it carries requests.
type counted struct {
	name  string
	needs string
	start func(w *whole, i *instance) (*process, error) // starts it under callgrind, and before it what is behind it
}

// The rest of the chain runs as ever.
var allCounted = []counted{
	{"pool_user sidecar, protocol line", "poolproxy", func(w *whole, i *instance) (*process, error) {
		at, err := w.env.address()
		if err != nil {
			return nil, err
		}
		second, err := poolproxy("")(w.env, false, at, w.env.origin)
		if err != nil {
			return nil, err
		}
		i.hops = append(i.hops, second)
		return w.counting(i, w.env.poolproxy, func(listen string) string { return fmt.Sprintf(userConfig, "tcp", at, listen, poolproxyLine) }, runConfig)
	}},
	{"pool_element sidecar", "poolproxy", func(w *whole, i *instance) (*process, error) {
		p, err := w.counting(i, w.env.poolproxy, func(listen string) string { return fmt.Sprintf(elementConfig, listen, w.env.origin) }, runConfig)
		if err != nil {
			return nil, err
		}
		at, err := w.env.address()
		if err != nil {
			return p, err
		}
		first, err := poolproxy(poolproxyLine)(w.env, true, at, i.address)
		if err != nil {
			return p, err
		}
		i.hops, i.address = append(i.hops, first), at
		return p, nil
	}},
	{"one HAProxy, mode tcp, nbthread 1", "haproxy", func(w *whole, i *instance) (*process, error) {
		config := func(listen string) string { return fmt.Sprintf(haproxyConfig, 1, 1000, "", listen, 1000, w.env.origin) }
		return w.counting(i, "haproxy", config, haproxyArguments)
	}},
}

// counting starts a program under callgrind as the hop that i is. A Go program runs there if nothing sends it signals: no preemption.
func (w *whole) counting(i *instance, program string, config func(listen string) string, args func(file string) []string) (*process, error) {
	var err error
	if i.address, err = w.env.address(); err != nil {
		return nil, err
	}
	cmd, err := w.env.command("valgrind", config(i.address), func(file string) []string {
		out := "--callgrind-out-file=" + filepath.Join(w.env.folder, "callgrind.out")
		return append([]string{"--tool=callgrind", out, program}, args(file)...)
	})
	if err != nil {
		return nil, err
	}
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1")
	p, err := startProcess("valgrind", cmd)
	if err == nil {
		i.hops = append(i.hops, p)
	}
	return p, err
}

// instructions counts, and returns a table of instructions a request.
func (w *whole) instructions() (string, error) {
	if _, err := exec.LookPath("callgrind_control"); err != nil {
		return "", fmt.Errorf("%w: apt-get install valgrind", err)
	}
	var err error
	if w.env.poolproxy, err = buildPoolproxy(w.env.folder, "CGO_ENABLED=0"); err != nil {
		return "", err
	}
	b := &bench{env: w.env}
	if err := b.start(); err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s, poolproxy %s:\n\n| instructions a request | 1 connection | 64 connections |\n| --- | ---: | ---: |\n",
		time.Now().UTC().Format("2006-01-02"), w.revision)
	for _, c := range allCounted {
		if _, gone := w.gone[c.needs]; gone {
			continue
		}
		one, err := w.countEach(c, 1, 2000)
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		many, err := w.countEach(c, 64, 100)
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(&out, "| %s | %s | %s |\n", c.name, number(one), number(many))
	}
	running.killAll()
	return out.String(), nil
}

// countEach is the instructions a request: the difference between a short run and one with so many requests more on each connection.
func (w *whole) countEach(c counted, connections, requests int) (float64, error) {
	short, err := w.count(c, connections, 20)
	if err != nil {
		return 0, err
	}
	long, err := w.count(c, connections, 20+requests)
	return float64(long-short) / float64(connections*requests), err
}

// count is the instructions of a run with so many requests on each connection.
func (w *whole) count(c counted, connections, requests int) (int64, error) {
	i := &instance{}
	defer func() { i.stop() }()
	p, err := c.start(w, i)
	if err == nil {
		err = i.waitReady()
	}
	if err != nil {
		return 0, err
	}
	conns, err := dialSized(i.address, connections)
	defer closeSized(conns)
	if err != nil {
		return 0, err
	}
	if _, err := together(conns, lineSize, func(c *sizedConn) bool { return int(c.seq) >= requests }); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	said, err := capture(ctx, "callgrind_control", "-e", strconv.Itoa(p.pid()))
	if err != nil {
		return 0, err
	}
	return sumThreads(said)
}

var threadLine = regexp.MustCompile(`(?m)^\s+Th \d+\s+([\d,]+)\s*$`)

// sumThreads adds up what callgrind_control -e says of each thread.
func sumThreads(said string) (sum int64, err error) {
	for _, m := range threadLine.FindAllStringSubmatch(said, -1) {
		n, err := strconv.ParseInt(strings.ReplaceAll(m[1], ",", ""), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	if sum == 0 {
		return 0, errors.New("callgrind_control names no threads: " + oneLine(said))
	}
	return sum, nil
}

// saveInstructions prints the table, or writes it into the document.
func (w *whole) saveInstructions() error {
	table, err := w.instructions()
	if err != nil {
		return err
	}
	if w.settings.write {
		return writeDocument(w.settings.document, instructionMarkers, table)
	}
	fmt.Println(table)
	return nil
}
