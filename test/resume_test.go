//go:build linux

package test

import (
	"fmt"
	"strings"
	"testing"
)

// TestResume is issue 2, item 5: the association is reset and healed under a transfer both ways, and the server does not notice.
func TestResume(t *testing.T) {
	const size, rate = 24 << 20, 8 << 20 // 3 s
	var path *cutter
	server := fmt.Sprintf("record -size %d -rate %d", size, rate)
	f := launch(t, plan{
		mapping:  "tcp",
		protocol: `  protocol "stream" {}`,
		failover: `    resume = "10s"`,
		servers:  []string{server},
		between: func(address string) string {
			path = newCutter(t, address)
			return path.listener.Addr().String()
		},
	})
	client := f.dial()
	sent := make(chan error, 1)
	go func() { sent <- sendPattern(client, upSeed, size, rate, -1) }()
	got := make(chan error, 1)
	go func() {
		n, err := checkPattern(client, downSeed)
		if err == nil && n != size {
			err = fmt.Errorf("the client got %d bytes, not %d", n, size)
		}
		got <- err
	}()

	const cuts = 3
	for i := range cuts {
		part := int64(i+1) * size / (cuts + 1)
		waitFor(t, fmt.Sprintf("%d bytes both ways", part), func() bool {
			s := f.status().Sessions
			return len(s) == 1 && s[0].FromClient >= part && s[0].ToClient >= part
		})
		path.reset()
		waitFor(t, "the pool user to notice", func() bool {
			s := f.status().Sessions
			return len(s) == 1 && s[0].State == "resuming"
		})
		path.heal()
		f.records("resumed", i+1)
	}
	if err := <-sent; err != nil {
		t.Errorf("the client, sending: %v", err)
	}
	if err := <-got; err != nil {
		t.Errorf("the client, receiving: %v", err)
	}

	f.elements[0].server.said(t, fmt.Sprintf("received %d bytes, error <nil>", size), 1)
	f.elements[0].server.said(t, "sent, error <nil>", 1)
	if n := strings.Count(f.elements[0].server.output(t), "accepted"); n != 1 {
		t.Errorf("the server saw %d connections, not 1", n)
	}
	if moved := f.recorded("moved"); len(moved) > 0 {
		t.Errorf("the session was moved: %+v", moved)
	}
	for _, r := range f.recorded("resumed") {
		if r.Messages != 0 || r.Bytes != 0 {
			t.Errorf("a resumption replayed %d messages, %d bytes", r.Messages, r.Bytes)
		}
		t.Logf("%s: resumed after %s", r.Cause, r.Connect)
	}
}
