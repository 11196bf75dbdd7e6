package proxy

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	simulationSeed      = flag.Int64("seed", -1, "run only this schedule of TestSimulation; with -v it is traced")
	simulationFirst     = flag.Uint64("first", 0, "the seed of the first schedule of TestSimulation")
	simulationSchedules = flag.Int("schedules", 0, "how many schedules TestSimulation runs (or POOLPROXY_SCHEDULES)")
)

// mostFailures is how many failing schedules are collected before TestSimulation gives up.
const mostFailures = 10

// TestSimulation runs the whole core, clients, both sidecars and servers, through random schedules in virtual time. All of a schedule
// follows from its seed; see scenario.
func TestSimulation(t *testing.T) {
	if *simulationSeed >= 0 {
		var trace func(string, ...any)
		if testing.Verbose() {
			trace = t.Logf
		}
		if err := simulate(uint64(*simulationSeed), trace); err != nil {
			t.Fatal(err)
		}
		return
	}
	n := schedules(t)
	failures := simulateAll(n)
	for seed, err := range failures {
		t.Errorf("seed %d: %v\nrepeat it: go test ./proxy -run TestSimulation -seed %d -v", seed, err, seed)
	}
}

// schedules is how many there are to run.
func schedules(t *testing.T) int {
	if *simulationSchedules > 0 {
		return *simulationSchedules
	}
	if text := os.Getenv("POOLPROXY_SCHEDULES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("POOLPROXY_SCHEDULES is %q, not a number of schedules", text)
		}
		return n
	}
	if testing.Short() || raceDetector {
		return 60
	}
	return 300
}

// simulateAll runs n schedules, from -first on, and returns the errors of the first that failed. Worlds share nothing, so each core
// runs one.
func simulateAll(n int) map[uint64]error {
	end := *simulationFirst + uint64(n)
	var (
		next     atomic.Uint64
		mu       sync.Mutex
		failures = make(map[uint64]error) // guarded by mu
		workers  sync.WaitGroup
	)
	next.Store(*simulationFirst)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1) - 1; seed < end; seed = next.Add(1) - 1 {
				err := simulate(seed, nil)
				mu.Lock()
				if err != nil {
					failures[seed] = err
				}
				enough := len(failures) >= mostFailures
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	workers.Wait()
	return failures
}

// simulate runs one schedule. A panic is a failure like others.
func simulate(seed uint64, trace func(string, ...any)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return newSimulation(draw(seed), trace).run()
}
