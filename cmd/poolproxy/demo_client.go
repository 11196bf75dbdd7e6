package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// demoDownload is the client: one GET over one TCP connection, read no faster than its rate, as a program that has no idea of
// failover would do it. Its methods may be called from any goroutine.
type demoDownload struct {
	size    int64
	started time.Time
	dials   atomic.Int32
	bytes   atomic.Int64
	ended   chan struct{} // closed when the download is over; took, err and sum are valid then
	took    time.Duration
	err     error
	sum     [sha256.Size]byte

	mu  sync.Mutex
	gap time.Duration // guarded by mu: the longest silence since the last resetGap
}

// startDemoDownload begins the transfer in a goroutine that ends with it, or with ctx.
func startDemoDownload(ctx context.Context, url string, size, rate int64) *demoDownload {
	d := &demoDownload{size: size, started: time.Now(), ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		d.err = d.run(ctx, url, rate)
		d.took = time.Since(d.started)
	}()
	return d
}

// run downloads. It does not try again: one connection is all that it has.
func (d *demoDownload) run(ctx context.Context, url string, rate int64) error {
	transport := &http.Transport{DialContext: d.dial, DisableCompression: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer was %s", response.Status)
	}
	return d.read(ctx, response.Body, rate)
}

// dial counts the connections. A small receive buffer lets the client feel a pause instead of living on what the kernel has stored.
func (d *demoDownload) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.dials.Add(1)
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetReadBuffer(128 << 10)
}

// read takes the body at the rate and hashes it.
func (d *demoDownload) read(ctx context.Context, body io.Reader, rate int64) error {
	hash := sha256.New()
	block := make([]byte, 64<<10)
	began, asked := time.Now(), time.Now()
	for {
		n, err := body.Read(block)
		now := time.Now()
		d.silence(now.Sub(asked))
		hash.Write(block[:n])
		total := d.bytes.Add(int64(n))
		if errors.Is(err, io.EOF) {
			hash.Sum(d.sum[:0])
			return nil
		}
		if err != nil {
			return err
		}
		due := began.Add(time.Duration(float64(total) / float64(rate) * float64(time.Second)))
		if wait := due.Sub(now); wait > time.Millisecond {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(wait):
			}
		} else if wait < 0 {
			began = began.Add(-wait) // what a pause has cost is not made up for: the rate is the client's own
		}
		asked = time.Now()
	}
}

// silence notes how long the client has waited for bytes.
func (d *demoDownload) silence(waited time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gap = max(d.gap, waited)
}

// takeGap returns the longest silence since it was last asked.
func (d *demoDownload) takeGap() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	gap := d.gap
	d.gap = 0
	return gap
}

// progress is the part that has arrived, 0 to 1.
func (d *demoDownload) progress() float64 { return float64(d.bytes.Load()) / float64(d.size) }

// over reports whether the download has ended, well or not.
func (d *demoDownload) over() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// wait returns when the download has ended, with its error.
func (d *demoDownload) wait() error {
	<-d.ended
	return d.err
}
