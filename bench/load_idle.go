//go:build linux

package main

import (
	"io"
	"net"
	"slices"
	"time"
)

// idleWarmup is how many sessions come and go before the first look, so that what a proxy needs once is not counted per session.
const idleWarmup = 64

// runIdle opens the sessions, has each carry one request, and looks how much memory the proxies hold before and after.
func runIdle(j job) (outcome, error) {
	o := outcome{Count: int64(j.Connections)}
	conns, err := greetAll(j.Address, idleWarmup)
	hangUp(conns)
	if err != nil {
		return o, err
	}
	if o.ResidentBefore, err = settled(j.Proxies); err != nil {
		return o, err
	}
	m, err := startMeter(j)
	if err != nil {
		return o, err
	}
	var took []float64
	conns, took, err = greetTimed(j.Address, j.Connections)
	slices.Sort(took)
	o.P50, o.P99 = time.Duration(quantileOf(took, 0.5)), time.Duration(quantileOf(took, 0.99))
	defer hangUp(conns)
	if err != nil {
		return o, err
	}
	if o.ResidentAfter, err = settled(j.Proxies); err != nil {
		return o, err
	}
	return o, m.stop(&o)
}

// greetAll opens n connections, one after the other, each with a request and its reply.
func greetAll(address string, n int) ([]net.Conn, error) {
	conns, _, err := greetTimed(address, n)
	return conns, err
}

// greetTimed also says how many nanoseconds each has taken, from connecting to its reply.
func greetTimed(address string, n int) (conns []net.Conn, took []float64, err error) {
	for i := range n {
		began := time.Now()
		c, err := net.DialTimeout("tcp4", address, patience)
		if err != nil {
			return conns, took, err
		}
		conns = append(conns, c)
		if err := greet(c, uint32(i)); err != nil {
			return conns, took, err
		}
		took = append(took, float64(time.Since(began)))
	}
	return conns, took, nil
}

// greet sends one request and checks the reply.
func greet(c net.Conn, id uint32) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var line [lineSize]byte
	putLine(line[:], id, 0)
	if _, err := c.Write(line[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, line[:]); err != nil {
		return err
	}
	return checkLine(line[:], id, 0)
}

func hangUp(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// settled looks at the memory until two looks, a tenth of a second apart, agree; at most ten times.
func settled(pids []int) (int64, error) {
	last, err := resident(pids)
	for range 10 {
		if err != nil {
			return 0, err
		}
		time.Sleep(100 * time.Millisecond)
		var now int64
		if now, err = resident(pids); now == last {
			break
		}
		last = now
	}
	return last, err
}
