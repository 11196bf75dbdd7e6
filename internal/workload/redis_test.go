package workload

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// redisLiar is redis for a liar: it knows tenRequests.
type redisLiar struct{ redisDialect }

const lieSession = 0x1234567

func (redisLiar) read(in *input) (Request, error) {
	words, err := readRESP(in)
	if err != nil {
		return Request{}, err
	}
	if words[0] == "HINCRBY" {
		n, err := strconv.ParseUint(words[2], 10, 64)
		return Request{Session: lieSession, Number: n, Unsafe: true}, err
	}
	for n := uint64(1); n <= 10; n++ {
		r, _ := tenRequests(false)(n)
		if r.Session = lieSession; strconv.FormatInt(r.redisFrom(), 10) == words[2] {
			return r, nil
		}
	}
	return Request{}, fmt.Errorf("no request is %q", words)
}

func (redisLiar) write(out *bufio.Writer, r *Request, half func() error) error {
	if r.Unsafe {
		fmt.Fprintf(out, ":%d\r\n", r.delta())
		return nil
	}
	fmt.Fprintf(out, "$%d\r\n", r.redisSize())
	writeContent(out, redisValue(), r.redisFrom(), r.redisSize(), half)
	out.WriteString("\r\n")
	return nil
}

// startRedis starts a server with an append-only file, whose folder it returns.
func startRedis(t *testing.T) (address, folder string) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("POOLPROXY_CHECK") != "" {
			t.Fatal("redis-server is needed: ", err)
		}
		t.Skip("SKIPPED: there is no redis-server: ", err)
	}
	at := porttest.Free(t)
	address, folder = at.String(), t.TempDir()
	cmd := exec.Command(program, "--port", strconv.Itoa(int(at.Port())), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		if err := LoadRedis(context.Background(), address); err == nil {
			return address, folder
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// A real redis: everything is found in its data and in its file, and what is carried out twice is seen in all places.
func TestRedis(t *testing.T) {
	address, folder := startRedis(t)
	plan := Plan{Kind: Redis, Seed: 3, Requests: 300, Unsafe: 0.3}
	c := Client{Kind: Redis, Address: address, Session: 9<<24 + 1, Next: plan.Next, Window: 50, Together: true}
	report := c.Run(context.Background())
	judge := func() (verdicts [2]*Verdict) {
		held, err := LoadedRedis(context.Background(), address, "a")
		logged, err2 := ReadAOF(filepath.Join(folder, "appendonlydir"), "a")
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		for i, entries := range [][]Entry{held, logged} {
			verdicts[i] = Judge([]*Report{report}, entries, Promise{Protected: true, Journals: true})
		}
		return verdicts
	}
	for _, v := range judge() {
		if !v.Good() || v.Answered != 300 || v.CarriedOut < 50 || v.CarriedOut != int64(len(report.Unsafe)) {
			t.Errorf("%v\n%v\n%v", v, v.Findings, report)
		}
	}
	// The same session again at the same server: it is told that everything has happened before.
	again := Client{Kind: Redis, Address: address, Session: 9<<24 + 1, Next: plan.Next}
	second := again.Run(context.Background())
	if len(second.Faults) != 1 || second.Faults[0].Kind != FaultDoubled || second.Faults[0].Number != report.Unsafe[0] {
		t.Errorf("what was done twice was heard as %v", second)
	}
	for _, v := range judge() {
		if v.Count(Doubled) != 1 || v.Findings[0].Number != report.Unsafe[0] {
			t.Errorf("what was done twice was judged %v %v", v, v.Findings)
		}
	}
}
