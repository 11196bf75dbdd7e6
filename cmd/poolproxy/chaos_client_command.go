package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/internal/progroup"
	"github.com/poolproxy/poolproxy/internal/workload"
)

// mostOutput is how much of a command's output is kept to be compared with.
const mostOutput = 64 << 20

// repeated is what runs of a command have come to.
type repeated struct {
	Good    bool               `json:"good"`
	Known   bool               `json:"known"` // outputs were looked at (-compare): else cut, doubled and mixed are not known
	Runs    int64              `json:"runs"`
	Failed  int64              `json:"failed"`  // it could not be run, or its exit status was not 0: lost
	Hung    int64              `json:"hung"`    // it was killed, since it took longer than -timeout: lost
	Cut     int64              `json:"cut"`     // its output was the beginning of the first run's
	Doubled int64              `json:"doubled"` // it was the first run's, and more
	Mixed   int64              `json:"mixed"`   // it was another
	Took    workload.Histogram `json:"took"`
	mu      sync.Mutex
}

// repeat runs the user's command, again and again.
func (c *chaosClient) repeat(ctx context.Context) (bool, error) {
	first := &outputKept{}
	if err := c.once(ctx, 0, first); err != nil {
		return false, fmt.Errorf("the first run, to which the others are compared: %w", err)
	}
	ctx, cancel := c.begin(ctx)
	defer cancel()
	told := newTeller(c)
	out := &repeated{Known: c.compare}
	var wait sync.WaitGroup
	var number int64
	for range c.sessions {
		wait.Go(func() {
			for {
				out.mu.Lock()
				number++
				n := number
				out.mu.Unlock()
				c.run(ctx, n, first.Bytes(), out, told)
				select {
				case <-ctx.Done():
					return
				case <-time.After(c.pause):
				}
			}
		})
	}
	wait.Wait()
	out.Good = out.Failed+out.Hung+out.Cut+out.Doubled+out.Mixed == 0
	if c.json {
		return out.Good, json.NewEncoder(c.stdout).Encode(out)
	}
	if !c.compare {
		_, err := fmt.Fprintf(c.stdout, "\n%d runs of %s: %d failed, %d hung; what they have put out was not looked at (-compare)\nthey took: %v\n%d lost\n",
			out.Runs, c.command[0], out.Failed, out.Hung, &out.Took, out.Failed+out.Hung)
		return out.Good, err
	}
	_, err := fmt.Fprintf(c.stdout, "\n%d runs of %s: %d failed, %d hung, %d outputs cut, %d doubled, %d others\nthey took: %v\n%d lost, %d doubled, %d mixed\n",
		out.Runs, c.command[0], out.Failed, out.Hung, out.Cut, out.Doubled, out.Mixed, &out.Took, out.Failed+out.Hung+out.Cut, out.Doubled, out.Mixed)
	return out.Good, err
}

// run runs the command once, and counts what became of it.
func (c *chaosClient) run(ctx context.Context, number int64, want []byte, out *repeated, told *teller) {
	got := &outputCompared{want: want, differs: -1}
	began := time.Now()
	var output io.Writer // nobody looks at it
	if c.compare {
		output = got
	}
	err := c.once(context.WithoutCancel(ctx), number, output)
	took := time.Since(began)
	out.mu.Lock()
	defer out.mu.Unlock()
	out.Runs++
	out.Took.Add(took)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		out.Hung++
	case err != nil:
		out.Failed++
	case !c.compare || got.same():
		return
	case got.differs < 0 && got.at < len(want):
		out.Cut++
		err = fmt.Errorf("its output ends after %d of %d bytes", got.at, len(want))
	case got.differs == len(want):
		out.Doubled++
		err = fmt.Errorf("its output goes on behind the %d bytes of the first run's", len(want))
	default:
		out.Mixed++
		err = fmt.Errorf("its output is another from byte %d on", got.differs)
	}
	told.line("run %d, after %v: %v", number, took.Round(time.Millisecond), err)
}

// once runs the command. It finds the number of the run in its environment, as POOLPROXY_CHAOS_RUN; the quiet run is 0. What it says on standard
// error is ours.
func (c *chaosClient) once(ctx context.Context, number int64, output io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprint("POOLPROXY_CHAOS_RUN=", number))
	cmd.WaitDelay = time.Second // for children that keep the output open
	progroup.Own(cmd)           // Ctrl-C is for us: what runs is let come to its end, and is not lost
	if output != nil {
		cmd.Stdout = output
	}
	var said limitedBuffer
	cmd.Stderr = &said
	err := cmd.Run()
	switch {
	case ctx.Err() != nil && err != nil:
		return fmt.Errorf("%s: %w", c.command[0], ctx.Err())
	case err != nil:
		return fmt.Errorf("%s: %w %s", c.command[0], err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// outputKept keeps the output of the first run.
type outputKept struct{ bytes.Buffer }

func (o *outputKept) Write(p []byte) (int, error) {
	if o.Len()+len(p) > mostOutput {
		return 0, fmt.Errorf("its output is longer than %d bytes", mostOutput)
	}
	return o.Buffer.Write(p)
}

// outputCompared compares output as it comes.
type outputCompared struct {
	want    []byte
	at      int // so many bytes were the same
	differs int // the first byte that is another: len(want) if there is more than that; -1 while all is the same
}

func (o *outputCompared) Write(p []byte) (int, error) {
	for _, b := range p {
		if o.differs >= 0 {
			break
		}
		if o.at == len(o.want) || b != o.want[o.at] {
			o.differs = o.at
			break
		}
		o.at++
	}
	return len(p), nil
}

// same reports that all has come, and was the same.
func (o *outputCompared) same() bool {
	return o.differs < 0 && o.at == len(o.want)
}

// limitedBuffer keeps the beginning of what is written.
type limitedBuffer struct{ bytes.Buffer }

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if room := 300 - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
