//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
	"github.com/poolproxy/poolproxy/proxy"
)

// failure is one kind of them, named as in test/chaos.
type failure struct {
	id, how string
	lasts   time.Duration // 0: until all sessions have ended
	strike  func(w *world) (heal func() error, err error)
}

var failures = []failure{
	{id: "server-kill", strike: func(w *world) (func() error, error) {
		for i := range kinds {
			w.kill(fmt.Sprintf("server-a-%d", i))
		}
		return func() error {
			for i := range kinds {
				if err := w.server("a", i); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}},
	{id: "sidecar-kill", strike: func(w *world) (func() error, error) {
		w.kill("element-a")
		return func() error { return w.sidecar("a") }, nil
	}},
	{id: "cut", how: "netem loses all packets of both networks, both ways", strike: func(*world) (func() error, error) { return netem("loss", "100%") }},
	{id: "reset", how: "ABORT of both associations, by /v1/chaos", strike: func(*world) (func() error, error) {
		for _, k := range kinds {
			if err := abort(k); err != nil {
				return nil, err
			}
		}
		return func() error { return nil }, nil
	}},
	{id: "delay-loss", how: "netem: 20 ms and 5% loss, each way, on both networks", lasts: 3 * time.Second,
		strike: func(*world) (func() error, error) { return netem("delay", "20ms", "loss", "5%") }},
}

// netem disturbs all that goes to and comes from host a, on both networks.
func netem(what ...string) (heal func() error, err error) {
	ends := [][]string{{"a", "a1"}, {"a", "a2"}, {"root", "to-a1"}, {"root", "to-a2"}}
	for _, e := range ends {
		if err := run(append([]string{"/bin/tc", "-n", e[0], "qdisc", "replace", "dev", e[1], "root", "netem"}, what...)...); err != nil {
			return nil, err
		}
	}
	return func() error {
		for _, e := range ends {
			if err := run("/bin/tc", "-n", e[0], "qdisc", "del", "dev", e[1], "root"); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// abort has the pool_user reset its association with element a.
func abort(k workload.Kind) error {
	ctx, cancel := context.WithTimeout(context.Background(), mostWait)
	defer cancel()
	answer, err := ask(ctx, http.MethodPost, "/v1/chaos", fmt.Sprintf(`{"kind":"reset","side":"pool_user","name":%q,"element":"a","count":1}`, k))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return fmt.Errorf("/v1/chaos: %s: %s", answer.Status, text)
	}
	return nil
}

// status is the pool_user's.
func status(ctx context.Context) (s proxy.Status, err error) {
	answer, err := ask(ctx, http.MethodGet, "/v1/status", "")
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// aliveA reports whether the pool_user believes element a of a pool to be alive.
func aliveA(ctx context.Context, k workload.Kind) bool {
	s, err := status(ctx)
	for _, p := range s.Pools {
		for _, e := range p.Elements {
			if p.Handle == string(k) && e.Name == "a" && e.Alive {
				return err == nil
			}
		}
	}
	return false
}

// atA tells which sessions are not at element a, if any.
func atA(ctx context.Context, sessions int) error {
	s, err := status(ctx)
	if err != nil {
		return err
	}
	at := 0
	for _, x := range s.Sessions {
		if x.Element == "a" && x.State == "open" {
			at++
		}
	}
	if at != sessions {
		return fmt.Errorf("of %d sessions that should be at element a %d are: %+v", sessions, at, s.Sessions)
	}
	return nil
}
