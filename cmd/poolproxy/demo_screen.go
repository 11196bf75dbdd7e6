package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// demoScreen shows the demo. On a terminal the progress is one line that is drawn over; elsewhere it is a line each tenth.
type demoScreen struct {
	out      io.Writer
	terminal bool
	drawn    bool // a progress line stands without its newline
	tenth    int
}

// newDemoScreen finds out what it writes to.
func newDemoScreen(out *os.File) *demoScreen {
	info, err := out.Stat()
	return &demoScreen{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// line prints one line, below the progress if there is one.
func (s *demoScreen) line(format string, args ...any) {
	if s.drawn {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.drawn = false
	}
	fmt.Fprintf(s.out, format+"\n", args...)
}

// introduce says who is there.
func (s *demoScreen) introduce(c *demoCluster) {
	a, b := c.elements[0], c.elements[1]
	s.line("A client downloads %d MiB on one TCP connection, while what serves it is killed %d times with -9.\n",
		demoSize>>20, len(demoKills))
	s.line("  client ── pool_user %s ═╦═ pool_element a %s ── server a %s", c.listen, a.listen, a.address)
	s.line("  %s╚═ pool_element b %s ── server b %s\n", strings.Repeat(" ", 22+len(c.listen)), b.listen, b.address)
}

// progress draws how far the download is.
func (s *demoScreen) progress(d *demoDownload, serving func(context.Context) string) {
	part := d.progress()
	if !s.terminal {
		if tenth := int(part * 10); tenth > s.tenth {
			s.tenth = tenth
			s.line("%7.2f s  %3d %%  served by %s", time.Since(d.started).Seconds(), tenth*10, serving(context.Background()))
		}
		return
	}
	const width = 40
	full := int(part * width)
	bar := strings.Repeat("█", full) + strings.Repeat("░", width-full)
	fmt.Fprintf(s.out, "\r\x1b[K%7.2f s  %s %3.0f %%  served by %s",
		time.Since(d.started).Seconds(), bar, part*100, serving(context.Background()))
	s.drawn = true
}

// death tells of one kill and what became of it.
func (s *demoScreen) death(e demoEvent) {
	r := e.record
	s.line("%7.2f s  kill -9 %s (pid %d)", e.after.Seconds(), e.victim, e.pid)
	noticed := max(0, r.Time.Sub(e.killed))
	s.line("           noticed after %s%s: %s", milliseconds(noticed), fed(noticed, e.gap), r.Cause)
	s.line("           moved from %s to %s; bytes flowed again %s later; the client waited %s; %s not fetched twice",
		r.From, r.To, milliseconds(r.First), milliseconds(e.gap), mebibytes(r.Saved))
}

// fed explains a late notice: the end of a dead server's bytes is seen when those before it have been passed on, at the
// client's speed.
func fed(noticed, gap time.Duration) string {
	if noticed < 20*time.Millisecond || gap > noticed/2 {
		return ""
	}
	return " (until then the client was fed with what it had sent before)"
}

// invite says how to try it by hand.
func (s *demoScreen) invite(c *demoCluster) {
	s.line("\nEverything is left running. In another terminal:\n")
	s.line("  curl -o /dev/null --limit-rate 8M http://%s/demo.bin", c.listen)
	for _, e := range c.elements {
		s.line("  kill -9 %-7d # server %s        kill -9 %-7d # pool_element %s", e.server.pid(), e.name, e.sidecar.pid(), e.name)
	}
	s.line("  curl http://%s/v1/status", c.admin)
	s.line("\nNow nothing is started again: leave one server alive, with its pool_element, or the client waits for 30 s, and gets an error.")
	s.line("\nOr have the plugs pulled while clients are at work (docs/chaos.md); without -dry-run it is done:\n")
	s.line("  poolproxy chaos client -compare -for 1m -- sh -c 'curl -sS -r 0-33554431 --limit-rate 8M http://%s/demo.bin | sha256sum'", c.listen)
	s.line("  poolproxy chaos%s -for 30s -dry-run\n\nCtrl-C ends it.", c.adminFlags())
}

// adminFlags are the flags of a command that asks all sidecars.
func (c *demoCluster) adminFlags() string {
	flags := " -admin " + c.admin
	for _, e := range c.elements {
		flags += " -admin " + e.admin
	}
	return flags
}

// judge compares what the client got with what it should have got, and shows the result.
func judge(ctx context.Context, c *demoCluster, d *demoDownload, events []demoEvent, screen *demoScreen) error {
	var wrong []error
	if err := d.wait(); err != nil {
		wrong = append(wrong, fmt.Errorf("the transfer failed after %d bytes: %w", d.bytes.Load(), err))
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, &demoContent{seed: demoSeed, size: demoSize}); err != nil {
		wrong = append(wrong, err)
	}
	if want := hash.Sum(nil); string(want) != string(d.sum[:]) {
		wrong = append(wrong, fmt.Errorf("the file is not the servers': sha256 %x, not %x", d.sum, want))
	}
	if n := d.dials.Load(); n != 1 {
		wrong = append(wrong, fmt.Errorf("the client made %d connections, not 1", n))
	}
	status, err := c.status(ctx)
	if err != nil {
		wrong = append(wrong, err)
	}
	if n := len(movedRecords(status)); n != len(demoKills) || len(events) != len(demoKills) {
		wrong = append(wrong, fmt.Errorf("%d kills and %d failovers, not %d of each", len(events), n, len(demoKills)))
	}
	var longest time.Duration
	for _, e := range events {
		longest = max(longest, e.gap)
	}
	screen.line("\n%d MiB in %.1f s on %d connection, %d failovers, longest silence at the client %s", d.bytes.Load()>>20,
		d.took.Seconds(), d.dials.Load(), len(movedRecords(status)), milliseconds(longest))
	screen.line("sha256 of the servers' file  %x\nsha256 of the client's file  %x", hash.Sum(nil), d.sum)
	if len(wrong) == 0 {
		screen.line("The client noticed nothing.")
	}
	return errors.Join(wrong...)
}

// milliseconds is a duration as the timeline shows it.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// mebibytes is a size as the timeline shows it.
func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
