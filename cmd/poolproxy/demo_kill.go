package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// demoEvent is one death and what became of it.
type demoEvent struct {
	after  time.Duration // since the transfer began
	victim string
	pid    int
	killed time.Time
	record proxy.Record  // the failover that the sidecar recorded
	gap    time.Duration // the longest that the client has waited for bytes around it
}

// kill does away with the server or the sidecar that serves the client at this moment, and returns when bytes flow again. The
// one that died is started again once the session has moved.
func (c *demoCluster) kill(ctx context.Context, what demoVictim, download *demoDownload) (demoEvent, error) {
	element, err := c.waitServing(ctx)
	if err != nil {
		return demoEvent{}, err
	}
	victim := element.server
	if what == demoSidecar {
		victim = element.sidecar
	}
	download.takeGap()
	event := demoEvent{victim: victim.name, pid: victim.pid(), killed: time.Now(), after: time.Since(download.started)}
	victim.kill()
	if event.record, err = c.waitFailover(ctx, download); err != nil {
		return event, fmt.Errorf("after %s was killed: %w", event.victim, err)
	}
	event.gap = download.takeGap()
	return event, victim.start()
}

// waitServing returns the element that serves the client, once there is one and the session is at rest.
func (c *demoCluster) waitServing(ctx context.Context) (*demoElement, error) {
	for {
		element, err := c.servingNow(ctx)
		if err != nil || element != nil {
			return element, err
		}
		if err := pause(ctx, "no element serves the session"); err != nil {
			return nil, err
		}
	}
}

// waitFailover returns the next record of a failover, complete with the time of the first byte of the new server.
func (c *demoCluster) waitFailover(ctx context.Context, download *demoDownload) (proxy.Record, error) {
	for {
		status, err := c.status(ctx)
		if err != nil {
			return proxy.Record{}, err
		}
		moved := movedRecords(status)
		if len(moved) > c.failovers && (moved[c.failovers].First > 0 || download.over()) {
			c.failovers++
			return moved[c.failovers-1], nil
		}
		if download.over() {
			return proxy.Record{}, errors.New("the transfer has ended, and no failover was recorded")
		}
		if err := pause(ctx, "no failover was recorded"); err != nil {
			return proxy.Record{}, err
		}
	}
}

// movedRecords are the failovers among the records, without associations that were only resumed.
func movedRecords(status proxy.Status) []proxy.Record {
	var moved []proxy.Record
	for _, r := range status.Failovers {
		if r.Kind == "moved" {
			moved = append(moved, r)
		}
	}
	return moved
}

// pause lets a moment pass before the next look; the error says what was missing when time is up.
func pause(ctx context.Context, missing string) error {
	select {
	case <-ctx.Done():
		return errors.New(missing + " in time")
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}
