//go:build linux

package main

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// settleTime is how long what the requests have to get past goes on before they begin, so that every buffer on the way is full.
const settleTime = 300 * time.Millisecond

// runMixed is runClosed while one more connection downloads as fast as it goes.
func runMixed(j job) (outcome, error) {
	c, err := dialTCP(j.Address)
	if err != nil {
		return outcome{}, err
	}
	defer c.Close()
	var over atomic.Bool
	type done struct {
		bytes   int64
		seconds float64
		err     error
	}
	ended := make(chan done, 1)
	go func() { // ends when over is set, or with the connection
		began := time.Now()
		n, err := download(c, patternOffset(j.Connections), over.Load)
		ended <- done{n, time.Since(began).Seconds(), err}
	}()
	time.Sleep(settleTime)
	o, err := runClosed(j, lines)
	over.Store(true)
	d := <-ended
	if err == nil && d.err != nil {
		err = fmt.Errorf("the download, after %d bytes: %w", d.bytes, d.err)
	}
	o.Values = map[string]float64{valueBulk: float64(d.bytes) / 1e6 / d.seconds}
	return o, err
}

// runStall is runOpen twice: alone, and while another client has asked for a download of which it does not read a byte.
func runStall(j job) (outcome, error) {
	alone, err := runOpen(j)
	if err != nil {
		return alone, fmt.Errorf("alone: %w", err)
	}
	c, err := dialTCP(j.Address)
	if err != nil {
		return alone, err
	}
	defer c.Close()
	if _, err := c.Write(textLine(wordDown, patternOffset(j.Connections))); err != nil {
		return alone, err
	}
	time.Sleep(settleTime)
	o, err := runOpen(j)
	if err != nil {
		return o, fmt.Errorf("beside a client that never reads: %w", err)
	}
	o.Values = map[string]float64{
		valueRateShare: rateOf(o) / rateOf(alone),
		valueP99Share:  float64(o.P99) / float64(alone.P99),
	}
	return o, nil
}

func dialTCP(address string) (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp4", address, patience)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
