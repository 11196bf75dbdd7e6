package proxy

import (
	"io"
	"runtime"
	"testing"
)

// mostAllocations is what a request cost when this was last looked at: protocol.Request, session.request and retrieval.Message.
const mostAllocations = 3

// What a request and its reply allocate on their way through a sidecar, over real sockets, with its loop in this process: everything is
// counted, the harness included, which allocates nothing.
func TestAllocationsOverSockets(t *testing.T) {
	client, servers, _ := limited(t, Limits{}, 1<<20)
	c := client()
	message := make([]byte, 128)
	for i := range message {
		message[i] = 'x'
	}
	message[len(message)-1] = '\n'
	if _, err := c.Write(message); err != nil {
		t.Fatal(err)
	}
	server := <-servers
	echoed := make(chan struct{})
	go func() { // ends with the connection
		defer close(echoed)
		p := make([]byte, 1<<10)
		for {
			n, err := server.Read(p)
			if err != nil {
				return
			}
			if _, err := server.Write(p[:n]); err != nil {
				return
			}
		}
	}()
	reply := make([]byte, len(message))
	if _, err := io.ReadFull(c, reply); err != nil {
		t.Fatal(err)
	}
	round := func() {
		if _, err := c.Write(message); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, reply); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		round()
	}
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	// testing.AllocsPerRun would have everything run on one P, also the loop, which keeps the P that it waits on (loop, shortWait).
	const rounds = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		round()
	}
	runtime.ReadMemStats(&after)
	n := (after.Mallocs - before.Mallocs) / rounds
	t.Logf("%v allocations a request", n)
	if n > mostAllocations {
		t.Errorf("%v allocations a request, at most %d were there", n, mostAllocations)
	}
	c.Close()
	<-echoed
}
