package workload

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// serveOnce serves one connection with do, and returns its address.
func serveOnce(t *testing.T, do func(in *input, conn net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // it ends with the connection, or with the listener
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		do(newInput(conn), conn)
	}()
	return l.Addr().String()
}

// ask three requests at once, of which the second is unsafe.
func three(number uint64) (Request, bool) {
	return Request{Number: number, Size: 20, Unsafe: number == 2}, number <= 3
}

// An unsafe request that was refused long ago does not excuse an end of file that looks like completion: also of a session that is not protected.
func TestRefusalExcusesOnlyTheEndBehindIt(t *testing.T) {
	for _, c := range []struct {
		replies   int
		truncated int64
	}{{3, 1}, {2, 0}} {
		address := serveOnce(t, func(in *input, conn net.Conn) {
			d := lineDialect{}
			for n := range 4 {
				r, err := d.read(in)
				switch {
				case err != nil:
					t.Error(err)
				case n >= c.replies:
				case r.Unsafe:
					fmt.Fprint(conn, "ERR lost\n")
				default:
					content := appendContent(nil, r.answer(Line), r.Size)
					fmt.Fprintf(conn, "OK %x %d %d %s\n", r.Session, r.Number, r.Size, content)
				}
			}
		})
		next := func(number uint64) (Request, bool) {
			r, _ := three(number)
			return r, number <= 4
		}
		report := (&Client{Kind: Line, Address: address, Session: 1, Next: next, Window: 4, Timeout: 30 * time.Second}).Run(context.Background())
		v := Judge([]*Report{report}, nil, Promise{})
		if v.Count(Truncated) != c.truncated || len(v.Findings) != int(c.truncated) {
			t.Errorf("%d replies: %v %v\n%v", c.replies, v, v.Findings, report)
		}
	}
}

// What was seen to go wrong is told also if the session is stopped before it has been written down.
func TestFaultOutlivesStop(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	address := serveOnce(t, func(in *input, conn net.Conn) {
		fmt.Fprint(conn, "OK 99 1 0 \n") // of another session
		io.Copy(io.Discard, conn)        // until the client has seen it
		stop()
	})
	next := func(number uint64) (Request, bool) {
		if number > 1 {
			<-ctx.Done() // it is about to ask again
		}
		return Request{Number: number}, true
	}
	report := (&Client{Kind: Line, Address: address, Session: 1, Next: next, Window: 2, Timeout: 30 * time.Second}).Run(ctx)
	if v := Judge([]*Report{report}, nil, Promise{Protected: true}); v.Count(Mixed) != 1 {
		t.Errorf("%v\n%v", v.Findings, report)
	}
}

// A session that does not end within its deadline hangs; only one that was stopped is nobody's fault.
func TestDeadlineIsNoStop(t *testing.T) {
	for _, deadline := range []bool{true, false} {
		address := serveOnce(t, func(_ *input, conn net.Conn) { io.Copy(io.Discard, conn) })
		ctx, stop := context.WithCancel(context.Background())
		if deadline {
			ctx, stop = context.WithTimeout(context.Background(), 20*time.Millisecond)
		}
		c := &Client{Kind: Line, Address: address, Session: 1, Next: three, Timeout: time.Minute, Events: func(e Event) {
			if e.Kind == Sent && !deadline {
				stop()
			}
		}}
		v := Judge([]*Report{c.Run(ctx)}, nil, Promise{Protected: true})
		stop()
		if v.Count(Lost) != v.Count(Broken) || v.Good() == deadline {
			t.Errorf("deadline %v: %v", deadline, v.Findings)
		}
	}
}

// Behind a reply that says that the connection ends nothing may come.
func TestBytesBehindTheLast(t *testing.T) {
	for rest, mixed := range map[string]int64{"": 0, "HTTP/1.1 200 OK\r\n": 1} {
		address := serveOnce(t, func(in *input, conn net.Conn) {
			r, err := httpDialect{}.read(in)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Reply: %x/%d\r\nETag: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n%s", r.Session, r.Number, r.tag(), rest)
		})
		next := func(number uint64) (Request, bool) { return Request{Number: number}, number == 1 }
		report := (&Client{Kind: HTTP, Address: address, Session: 1, Next: next, Timeout: 30 * time.Second}).Run(context.Background())
		if v := Judge([]*Report{report}, nil, Promise{Protected: true}); v.Count(Mixed) != mixed || len(v.Findings) != int(mixed) {
			t.Errorf("%q: %v\n%v", rest, v.Findings, report)
		}
	}
}

// A server that cannot write down what it is asked says so and ends the connection: what its client sends meanwhile is not lost. Nothing else ends so.
func TestEndOfServer(t *testing.T) {
	said := Refusal{Number: 3, Unsafe: true, Text: "E" + errJournal.Error() + ": no space left on device"}
	other := Refusal{Number: 3, Unsafe: true, Text: "E poolproxy: no element"}
	for _, c := range []struct {
		name     string
		report   Report
		findings int
	}{
		{"its client has sent one more", Report{End: EndClosed, Parting: true, Refused: []Refusal{said}, Unanswered: []uint64{4}}, 0},
		{"its client has sent nothing more", Report{End: EndClosed, Parting: true, Refused: []Refusal{said}}, 0},
		{"something came behind it", Report{End: EndClosed, Refused: []Refusal{said}, Unanswered: []uint64{5}}, 2},
		{"another refusal was the last", Report{End: EndClosed, Parting: true, Refused: []Refusal{said, other}, Unanswered: []uint64{4}}, 2},
		{"a reset", Report{End: EndReset, Parting: true, Refused: []Refusal{said}, Unanswered: []uint64{4}}, 2},
	} {
		c.report.Kind = Length
		if v := Judge([]*Report{&c.report}, nil, Promise{Protected: true}); len(v.Findings) != c.findings {
			t.Errorf("%s: %v", c.name, v.Findings)
		}
	}
}
