package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// The demo's proportions: the transfer takes about 22 s, so that there is something to see between the kills; the whole never
// takes longer than the limit.
const (
	demoSize  = 256 << 20
	demoRate  = 12 << 20 // bytes a second
	demoLimit = 55 * time.Second
	demoSeed  = 0x706f6f6c
)

// demoKill is one planned death, at a part of the transfer.
type demoKill struct {
	at   float64
	what demoVictim
}

// demoVictim says which of the processes that serve the transfer is killed.
type demoVictim int

const (
	demoServer demoVictim = iota
	demoSidecar
)

// demoKills is what the demo does to the transfer. Each kill has to end in exactly one failover.
var demoKills = []demoKill{{0.18, demoServer}, {0.36, demoServer}, {0.54, demoSidecar}, {0.72, demoServer}}

// demoCommand starts servers, sidecars and a client, kills what serves the client four times, and shows what became of it. The
// exit status is 0 only if the client noticed nothing.
func demoCommand(args []string, _, stderr io.Writer) int {
	flags := newFlags("demo", stderr)
	hold := flags.Bool("hold", false, "leave everything running afterwards, to be tried with curl, until Ctrl-C")
	if status, ok := parse(flags, args); !ok {
		return status
	}

	// The kernel kills the children when the thread that started them ends (demo_linux.go): it must live as long as the demo.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := runDemo(ctx, *hold); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted; everything it had started is stopped")
		}
		fmt.Fprintln(stderr, "poolproxy demo:", err)
		return exitFailed
	}
	return exitOK
}

// runDemo is the demo from the first process to the last. What it starts is gone when it returns.
func runDemo(ctx context.Context, hold bool) error {
	cluster, err := newDemoCluster(hold)
	if err != nil {
		return err
	}
	defer cluster.close()

	limited, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	if err := cluster.start(limited); err != nil {
		return err
	}
	screen := newDemoScreen(os.Stdout)
	screen.introduce(cluster)

	download := startDemoDownload(limited, "http://"+cluster.listen+"/demo.bin", demoSize, demoRate)
	defer func() { cancel(); download.wait() }()
	events, err := disturb(limited, cluster, download, screen)
	if err != nil {
		return errors.Join(err, context.Cause(limited), cluster.complaints())
	}
	if err := judge(limited, cluster, download, events, screen); err != nil {
		return errors.Join(err, cluster.complaints())
	}
	if hold {
		screen.invite(cluster)
		<-ctx.Done()
	}
	return nil
}

// disturb carries out the planned kills while the download goes on, and returns when it has ended.
func disturb(ctx context.Context, cluster *demoCluster, download *demoDownload, screen *demoScreen) ([]demoEvent, error) {
	var events []demoEvent
	for _, kill := range demoKills {
		err := watch(ctx, cluster, download, screen, func() bool { return download.progress() >= kill.at })
		if err != nil {
			return events, err
		}
		if download.over() {
			break // too early: judge will say so
		}
		event, err := cluster.kill(ctx, kill.what, download)
		if err != nil {
			return events, err
		}
		events = append(events, event)
		screen.death(event)
	}
	return events, watch(ctx, cluster, download, screen, download.over)
}

// watch draws the progress until the condition holds or the download is over.
func watch(ctx context.Context, cluster *demoCluster, download *demoDownload, screen *demoScreen, done func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() && !download.over() {
		select {
		case <-ctx.Done():
			return errors.New("the transfer did not come to its end")
		case <-tick.C:
			screen.progress(download, cluster.serving)
		}
	}
	return nil
}
