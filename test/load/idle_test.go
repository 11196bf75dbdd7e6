//go:build linux

package load

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// idle is a process with many clients that do nothing: each asks once, and again when a file comes to be there. It writes "open", and "well".
func idle(args []string) error {
	flags := flag.NewFlagSet("idle", flag.ContinueOnError)
	n := flags.Int("n", 0, "")
	to := flags.String("to", "", "")
	again := flags.String("again", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := gather(strings.Split(*to, ","), *n)
	if err != nil {
		return err
	}
	fmt.Println("open")
	for {
		if _, err := os.Stat(*again); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	if err := c.round(time.Now()); err != nil {
		return err
	}
	fmt.Println("well")
	select {}
}

// TestMany has 20,000 idle sessions, and 2,000 that ask all the time, over two pool_users and two pool_elements: as many as a process here may
// have descriptors.
func TestMany(t *testing.T) {
	needs(t)
	w := newWorld(t, shape{mapping: "tcp", elements: 2, users: 2})
	const idlers, active = 20000, 2000
	few, err := gather(w.doors(), active)
	if err != nil {
		t.Fatal(err)
	}
	defer few.leave()
	without := few.busy(t, 3*time.Second)
	_, before := w.users[0].resident()
	_, element := w.places[0].sidecar.resident()
	again := filepath.Join(logDir(t), "again")
	var groups []*process
	for i := range 2 {
		groups = append(groups, start(t, fmt.Sprint("idle", i), "idle", "-n", fmt.Sprint(idlers/2), "-to", strings.Join(w.doors(), ","), "-again", again))
	}
	said := func(word string) {
		for _, g := range groups {
			waitFor(t, g.name+" to say "+word, func() bool {
				text := g.output(t)
				if strings.Contains(text, "failed") {
					t.Fatal(text)
				}
				return strings.Contains(text, word)
			})
		}
	}
	said("open")
	with := few.busy(t, 3*time.Second)
	if err := os.WriteFile(again, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	said("well")
	_, after := w.users[0].resident()
	_, elementAfter := w.places[0].sidecar.resident()
	tell(t, "requests of 2,000 sessions, alone", without, "1/s")
	tell(t, "requests of 2,000 sessions, beside 20,000 idle ones", with, "1/s")
	tell(t, "memory of a pool_user with 1,000 active sessions", float64(before)/mib, "MiB")
	tell(t, "memory of a pool_user with 10,000 idle ones more", float64(after)/mib, "MiB")
	tell(t, "memory of a pool_element with 1,000 active sessions", float64(element)/mib, "MiB")
	tell(t, "memory of a pool_element with 10,000 idle ones more", float64(elementAfter)/mib, "MiB")
	if with < without/4 {
		t.Errorf("the active ones got %.0f requests/s beside the idle ones, %.0f without", with, without)
	}
}

// busy has each ask again as soon as it is answered, for so long, and tells how many requests a second that were.
func (c *crowd) busy(t *testing.T, d time.Duration) float64 {
	t.Helper()
	until := time.Now().Add(d)
	var wait sync.WaitGroup
	before := 0
	for _, m := range c.members {
		before += m.seq
		_ = m.conn.SetDeadline(until.Add(patience))
		wait.Go(func() {
			for m.err == nil && time.Now().Before(until) {
				m.err = m.ask(until)
			}
		})
	}
	begun := time.Now()
	wait.Wait()
	if err := c.failed(); err != nil {
		t.Error(err)
	}
	after := 0
	for _, m := range c.members {
		after += m.seq
	}
	return float64(after-before) / time.Since(begun).Seconds()
}
