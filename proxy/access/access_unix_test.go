//go:build unix

package access

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/proxy"
)

// On a full disk lines are lost and counted; it is said once.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	r := newRig(t, "/dev/full")
	for i := range uint64(50) {
		r.Ended(numbered(i))
	}
	r.Close()
	if n := r.lost(lostWrite); n != 50 || strings.Count(r.said.String(), "cannot be written") != 1 || !strings.Contains(r.said.String(), "no space") {
		t.Errorf("%d lost; %s", n, r.said)
	}
}

// While a disk hangs nobody waits: what the queue does not take is lost and counted, and what it took is written when the disk
// goes on.
func TestHangingDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := Open(proxy.AccessLog{File: path}, hclog.NewNullLogger(), nil); err == nil {
		t.Fatal("a pipe that nobody reads was opened")
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	r := newRig(t, path)
	told := 0
	for ; r.lost(lostQueue) < 100; told++ { // returns at once, each time
		r.Ended(numbered(uint64(told)))
		if told > 10*mostQueued {
			t.Fatal("nothing is lost")
		}
	}
	done := make(chan int)
	go func() { // ends with the log: then the pipe has no writer
		n := 0
		for lines := bufio.NewScanner(reader); lines.Scan(); n++ {
		}
		done <- n
	}()
	r.Close()
	if got, lost := <-done, r.lost(lostQueue); got+lost != told || r.lost(lostWrite) > 0 {
		t.Errorf("%d were told, %d lines came, %d were lost", told, got, lost)
	}
}
