//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// orderDoubt is the protocol's word for an order of which nobody knows whether it was, or will be, carried out.
const orderDoubt = "ERR in doubt"

// ordersProtocol is a protocol block for orders: none may be repeated.
var ordersProtocol = fmt.Sprintf("  protocol \"line\" { lost = %q }\n", orderDoubt+"\n")

// orders are unsafe requests, each of its own name, that one client pipelines to journal servers. One goroutine may send while another
// receives.
type orders struct {
	name     string
	conn     *net.TCPConn
	in       *bufio.Reader
	asked    int
	done     []string // answered by their server
	doubtful []string // answered by the honest error
}

func newOrders(name string, conn *net.TCPConn) *orders {
	return &orders{name: name, conn: conn, in: bufio.NewReader(conn)}
}

// order names order number i.
func (o *orders) order(i int) string { return fmt.Sprintf("order %s.%d", o.name, i) }

// send pipelines n orders in one write.
func (o *orders) send(n int) error {
	var all strings.Builder
	for i := range n {
		all.WriteString(o.order(o.asked+i) + "\n")
	}
	o.asked += n
	_, err := io.WriteString(o.conn, all.String())
	return err
}

// receive takes the answers to the next n orders.
func (o *orders) receive(n int) error {
	for range n {
		order := o.order(o.answered())
		reply, err := o.in.ReadString('\n')
		switch {
		case err == nil && reply == "did "+order+"\n":
			o.done = append(o.done, order)
		case err == nil && reply == orderDoubt+"\n":
			o.doubtful = append(o.doubtful, order)
		default:
			return fmt.Errorf("the answer to %s is %q, error %v", order, reply, err)
		}
	}
	return nil
}

func (o *orders) answered() int { return len(o.done) + len(o.doubtful) }

// deal sends n orders and takes their answers.
func (o *orders) deal(t *testing.T, n int) {
	t.Helper()
	if err := o.send(n); err != nil {
		t.Fatal(err)
	}
	o.collect(t, n)
}

func (o *orders) collect(t *testing.T, n int) {
	t.Helper()
	if err := o.receive(n); err != nil {
		t.Fatal(err)
	}
}

// check compares what the client was told with what was done: an order that is answered was carried out at least once and most times
// at most, one in doubt at most that often.
func (o *orders) check(t *testing.T, counts map[string]int, most int) (late int) {
	t.Helper()
	for _, order := range o.done {
		if n := counts[order]; n < 1 || n > most {
			t.Errorf("%s was answered, and carried out %d times", order, n)
		}
	}
	for _, order := range o.doubtful {
		if n := counts[order]; n > most {
			t.Errorf("%s, which was answered by the error, was carried out %d times", order, n)
		} else {
			late += n
		}
	}
	return late
}

// inDoubt reports whether exactly these were answered by the error.
func (o *orders) inDoubt(all ...string) bool { return slices.Equal(o.doubtful, all) }
