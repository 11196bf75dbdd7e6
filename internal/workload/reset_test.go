package workload

import (
	"context"
	"net"
	"testing"
	"time"
)

// A reset that comes while half of a request is sent is told to whoever uses the connection next, and to nobody else: if that is the writer,
// the reader finds an end of file. It is a reset all the same.
func TestResetThatTheWriterSees(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone := make(chan struct{})
	half := make(chan struct{})
	go func() { // ends with the one connection
		defer close(gone)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		<-half
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}()
	c := &Client{Kind: Line, Address: l.Addr().String(), Session: 1, Timeout: 30 * time.Second,
		Next: func(number uint64) (Request, bool) { return Request{Size: 10, Split: true}, number == 1 },
		Events: func(e Event) {
			if e.Kind == HalfSent {
				close(half)
				<-gone
			}
		}}
	if r := c.Run(context.Background()); r.End != EndReset || len(r.Faults) > 0 {
		t.Errorf("it ended by %q (%s), with %v", r.End, r.EndText, r.Faults)
	}
}
