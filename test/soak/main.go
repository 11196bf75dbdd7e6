//go:build linux

// Command soak lets both sidecars work for a long time, while something dies every two seconds, and looks whether anything grows: it is
// what make soak runs (docs/soak.md).
//
// There are three hosts with a sidecar each, and on each a server of every kind of workload. One process is the pool_user of all five
// pools; it is never killed, nor is the sidecar of the third host. Everything else is: servers and the sidecars of the first two hosts
// with kill -9, associations by resets, short stalls, and silence. Several hundred sessions come and go meanwhile, whose every byte
// is compared (package workload). Every five seconds it is written down how many goroutines, descriptors, bytes and sessions
// the two processes that live all the time have. Judged is the second half of that: what grows there is a leak.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are what a run is told.
type options struct {
	duration time.Duration
	sessions int           // at a time
	every    time.Duration // something dies
	sample   time.Duration // between two looks
	out      string        // folder for soak.json, soak.csv and the logs
	write    string        // folder for the page and its pictures; "" is none
	binary   string        // poolproxy; "": it is built
	only     string        // of the kinds of kills and cuts; "": all
	log      func(format string, args ...any)
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == serverRole {
		if err := serveRole(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "soak server:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.DurationVar(&o.duration, "duration", time.Hour, "how long")
	flag.IntVar(&o.sessions, "sessions", 300, "sessions at a time")
	flag.DurationVar(&o.every, "every", 2*time.Second, "time from one kill or cut to the next")
	flag.DurationVar(&o.sample, "sample", 5*time.Second, "time from one look at the processes to the next")
	flag.StringVar(&o.out, "out", "soak-results", "folder for soak.json, soak.csv and logs")
	flag.StringVar(&o.write, "write", "", "folder of docs: writes soak.md and its pictures there")
	flag.StringVar(&o.binary, "binary", "", "poolproxy; by default it is built")
	flag.StringVar(&o.only, "only", "", "one kind of kill or cut, as the result names it; by default all, in turn")
	again := flag.String("again", "", "run nothing: judge this soak.json, and with -write write the page from it")
	flag.Parse()
	o.log = func(format string, args ...any) {
		fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	result, err := resultOf(ctx, o, *again)
	stop()
	if err == nil && o.write != "" {
		err = result.document(o.write)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
	fmt.Print(result)
	if !result.Good {
		os.Exit(1)
	}
}

// resultOf runs, or reads what another run has written.
func resultOf(ctx context.Context, o options, again string) (*result, error) {
	if again != "" {
		return readResult(again)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	r, err := run(ctx, o)
	if err != nil {
		return nil, err
	}
	return r, r.save(o.out)
}

// run is one soak, from the first process to the verdict.
func run(ctx context.Context, o options) (*result, error) {
	d, err := deploy(o)
	if err != nil {
		return nil, err
	}
	defer d.close()
	t := newTraffic(o, d)
	w := newWatch(d, t)
	r := &result{Begun: time.Now().UTC(), Duration: o.duration, Sessions: o.sessions, Every: o.every, Sample: o.sample, machine: describe()}
	if err := t.touch(ctx); err != nil { // so that all associations are there before it begins
		return nil, fmt.Errorf("the deployment does not serve: %w; see %s", err, filepath.Join(o.out, "logs"))
	}
	before, err := w.look()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	go w.run(ctx, o)
	s := newStrikes(d, o)
	go s.run(ctx)
	t.run(ctx)
	s.wait()
	w.wait()
	d.heal()
	o.log("all sessions have ended; what is left is looked at")
	after, err := w.settle(before)
	if err != nil {
		return nil, err
	}
	r.Strikes, r.Series = s.counts(), w.series
	r.Before, r.After = before, after
	if err := t.judge(r); err != nil {
		return nil, err
	}
	return r, r.judge()
}
