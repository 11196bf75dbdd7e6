//go:build linux

package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"syscall"
	"testing"
)

// Each delivery takes 2 s, so that there is a middle in which to kill.
const (
	deliverSize = 16 << 20
	deliverRate = 8 << 20
)

// delivery is a transfer through protocol stream: the client asks with one line and receives a pattern.
type delivery struct {
	f      *fleet
	client *net.TCPConn
	result chan error
	got    int64 // right bytes; valid when result has been received
}

// startDelivery asks and begins to read.
func startDelivery(t *testing.T, f *fleet) *delivery {
	t.Helper()
	d := &delivery{f: f, client: f.dial(), result: make(chan error, 1)}
	if _, err := io.WriteString(d.client, "please\n"); err != nil {
		t.Fatal(err)
	}
	go func() {
		n, err := checkPattern(d.client, downSeed)
		d.got = n
		d.result <- err
	}()
	return d
}

// killInTheMiddle kills the server that serves the delivery when a quarter of it has reached the client.
func (d *delivery) killInTheMiddle(t *testing.T) {
	t.Helper()
	waitFor(t, "a quarter of the delivery", func() bool {
		s := d.f.status().Sessions
		return len(s) == 1 && s[0].ToClient >= deliverSize/4
	})
	d.f.elements[d.f.serving()].server.kill()
}

// deliverers are two servers that deliver the same.
func deliverers() []string {
	server := fmt.Sprintf("deliver -size %d -rate %d", deliverSize, deliverRate)
	return []string{server, server}
}

// TestStreamUnprotected is issue 2, item 7, first part: with default settings a stream cannot be moved, and says so.
func TestStreamUnprotected(t *testing.T) {
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launch(t, plan{mapping: mapping, protocol: `  protocol "stream" {}`, servers: deliverers()})
			d := startDelivery(t, f)
			d.killInTheMiddle(t)
			if err := <-d.result; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after %d bytes the client saw %v, not a reset", d.got, err)
			}
			r := f.records("ended", 1)[0]
			if r.Verdict == "" || r.Cause == "" {
				t.Errorf("the record says too little: %+v", r)
			}
			log := f.user.output(t)
			advice := regexp.MustCompile(`replay\s*=\s*\\?"session`)
			if !advice.MatchString(log) {
				t.Errorf("the log does not name the setting that would have helped: replay = \"session\"")
			}
			t.Logf("cause: %s; verdict: %s", r.Cause, r.Verdict)
		})
	}
}

// TestStreamReplayed is the second part: with replay = "session" and servers that do the same, the session survives.
func TestStreamReplayed(t *testing.T) {
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launch(t, plan{
				mapping: mapping, protocol: `  protocol "stream" {}`, failover: `    replay = "session"`, servers: deliverers(),
			})
			d := startDelivery(t, f)
			d.killInTheMiddle(t)
			if err := <-d.result; err != nil || d.got != deliverSize {
				t.Errorf("the client got %d bytes of %d, error %v", d.got, deliverSize, err)
			}
			r := f.records("moved", 1)[0]
			t.Logf("%s; %d bytes compared and dropped, first new byte after %s", r.Cause, r.Skipped, r.First)
			if r.Skipped < deliverSize/4 {
				t.Errorf("%d bytes of the new server's answer were compared; the client had at least %d", r.Skipped, deliverSize/4)
			}
		})
	}
}

// TestStreamDiffers is the third part: the second server's answer is another one, and the client gets none of it.
func TestStreamDiffers(t *testing.T) {
	const differ = 1000 // long before the kill
	f := launch(t, plan{
		mapping: "tcp", protocol: `  protocol "stream" {}`, failover: `    replay = "session"`, servers: deliverers(),
	})
	d := startDelivery(t, f)
	other := 1 - f.serving()
	f.elements[other].server.kill()
	f.plan.servers[other] += fmt.Sprintf(" -differ %d", differ)
	f.startServer(other)
	d.killInTheMiddle(t)
	err := <-d.result
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v, not a reset", err)
	}
	// All that came was right, so it was the first server's: had the second one's been passed on, it would have come behind, from
	// its byte 0 on, and checkPattern would have stopped there.
	if d.got < deliverSize/4 || d.got >= deliverSize {
		t.Errorf("the client has %d bytes; it had at least %d of %d when the first server died", d.got, deliverSize/4, deliverSize)
	}
	f.elements[other].server.said(t, "asked", 1)
	t.Logf("verdict: %s", f.records("ended", 1)[0].Verdict)
}
