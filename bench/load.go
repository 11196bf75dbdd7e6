//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// patience is how long a load waits for any sign of life before it gives up.
const patience = 5 * time.Second

var (
	errStuck  = fmt.Errorf("nothing came for %v", patience)
	errBehind = fmt.Errorf("more than %d requests of one connection are unanswered", maxInFlight)
)

// loadMain is the load process: it runs the job of its argument and prints the outcome.
func loadMain(argument string) error {
	var j job
	if err := json.Unmarshal([]byte(argument), &j); err != nil {
		return fmt.Errorf("the job: %w", err)
	}
	o, err := runJob(j)
	running.killAll() // servers that it has started
	if err != nil {
		o = outcome{Error: err.Error()}
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

func runJob(j job) (outcome, error) {
	switch j.Kind {
	case jobDown, jobUp:
		return runBulk(j)
	case jobClosed:
		return runClosed(j, lines)
	case jobOpen:
		return runOpen(j)
	case jobConnect:
		return runConnect(j)
	case jobIdle:
		return runIdle(j)
	case jobMixed:
		return runMixed(j)
	case jobStall:
		return runStall(j)
	case jobKill, jobFreeze:
		return runKill(j)
	case jobKillAgain:
		return runKillAgain(j)
	case jobHTTP:
		return runClosed(j, gets)
	case jobSized:
		return runSized(j)
	case jobRedis:
		return runRedis(j)
	}
	return outcome{}, errors.New("no such kind of load: " + j.Kind)
}
