//go:build linux

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// redisGuess is how many requests redis-benchmark is told to send in order to find out how many fill the sample.
const redisGuess = 5000

// runRedis has redis-benchmark do SET and then GET, each for about half of the job's length.
func runRedis(j job) (outcome, error) {
	o := outcome{}
	host, port, err := net.SplitHostPort(j.Address)
	if err != nil {
		return o, err
	}
	arguments := []string{"-h", host, "-p", port, "-c", strconv.Itoa(j.Connections), "-P", strconv.Itoa(j.Pipeline), "-t", "set,get", "--csv"}
	rates, _, err := redisBenchmark(arguments, redisGuess*j.Pipeline)
	if err != nil {
		return o, err
	}
	m, err := startMeter(j)
	if err != nil {
		return o, err
	}
	n := max(int(min(rates["GET"], rates["SET"])*j.Length.Seconds()/2), redisGuess)
	rates, used, err := redisBenchmark(arguments, n)
	if err != nil {
		return o, err
	}
	m.children += used
	o.Count, o.Values = int64(2*n), rates
	return o, m.stop(&o)
}

// redisBenchmark runs n requests of each kind, and tells the rate of each and the CPU that it has used itself, in seconds.
func redisBenchmark(arguments []string, n int) (rates map[string]float64, used float64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := child(ctx, "redis-benchmark", append(arguments, "-n", strconv.Itoa(n))...)
	text, err := cmd.Output()
	if err != nil {
		return nil, 0, fmt.Errorf("redis-benchmark: %w: %s", errors.Join(err, ctx.Err()), oneLine(string(text)))
	}
	rates, err = parseRedisCSV(string(text))
	state := cmd.ProcessState
	return rates, (state.UserTime() + state.SystemTime()).Seconds(), err
}

// parseRedisCSV reads what redis-benchmark --csv prints: a line of names, then one for each kind of request: "GET","51020.41",...
func parseRedisCSV(text string) (map[string]float64, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	rates := map[string]float64{}
	for _, row := range rows {
		if len(row) < 2 || row[0] == "test" {
			continue
		}
		if rates[row[0]], err = strconv.ParseFloat(row[1], 64); err != nil {
			break
		}
	}
	if err != nil || rates["GET"] <= 0 || rates["SET"] <= 0 {
		return nil, fmt.Errorf("redis-benchmark has printed no rates: %q (%v)", oneLine(text), err)
	}
	return rates, nil
}

// greetRedis asks a redis-server whether it is there.
func greetRedis(address string) error {
	c, err := dialPatiently(address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	reply := make([]byte, 64)
	n, err := c.Read(reply)
	if err == nil && !strings.HasPrefix(string(reply[:n]), "+PONG") {
		err = fmt.Errorf("the answer to PING is %q", reply[:n])
	}
	return err
}
