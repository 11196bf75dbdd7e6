//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// TestSingleElement is issue 2, item 6: the only server is gone for two seconds, and the client waits and goes on.
func TestSingleElement(t *testing.T) {
	const down = 2 * time.Second
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launch(t, plan{
				mapping:  mapping,
				protocol: `  protocol "line" { safe = ["."] }`,
				failover: `    replay   = "unacked"
    ack      = "reply"
    deadline = "30s"`,
				servers: []string{"line"},
			})
			client := f.dial()
			in := bufio.NewReader(client)
			for i := range 10 {
				ask(t, client, in, i)
			}
			f.elements[0].server.kill()
			died := time.Now()
			answered := make(chan error, 1)
			go func() { answered <- question(client, in, 10) }()
			select {
			case err := <-answered:
				t.Fatalf("answered with no server there, error %v", err)
			case <-time.After(down):
			}
			f.startServer(0)
			if err := <-answered; err != nil {
				t.Fatal(err)
			}
			t.Logf("answered %s after the death, %s after the restart", time.Since(died), time.Since(died)-down)
			for i := 11; i < 20; i++ {
				ask(t, client, in, i)
			}
		})
	}
}

// ask sends one numbered line and checks the reply.
func ask(t *testing.T, conn net.Conn, in *bufio.Reader, i int) {
	t.Helper()
	if err := question(conn, in, i); err != nil {
		t.Fatal(err)
	}
}

// question is ask for other goroutines.
func question(conn net.Conn, in *bufio.Reader, i int) error {
	request := fmt.Sprintf("question %d\n", i)
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	reply, err := in.ReadString('\n')
	if err != nil || reply != "did "+request {
		return fmt.Errorf("the reply to %q is %q, error %v", request, reply, err)
	}
	return nil
}
