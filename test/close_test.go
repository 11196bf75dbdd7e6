//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"testing"
)

// closing is one way in which a connection ends, and what both ends see of it.
type closing struct {
	name   string
	client func(t *testing.T, f *fleet)
	server string // what the server must have written down
}

var closings = []closing{
	{"half-close", halfClose, "got 1000 more bytes, then end of file"},
	{"reset by client", resetByClient, "got 1000 more bytes, then reset"},
	{"client killed", killedClient, "got 0 more bytes, then end of file"},
	{"reset by server", resetByServer, "asked to reset"},
	{"end of file by server", finishByServer, "asked to finish"},
}

// TestClosings is issue 2, item 8: each end of a connection arrives at the other side as what it is.
func TestClosings(t *testing.T) {
	for _, mapping := range []string{"tcp", "none"} {
		for _, c := range closings {
			t.Run(c.name+", mapping "+mapping, func(t *testing.T) {
				f := launch(t, plan{mapping: mapping, protocol: `  protocol "stream" {}`, servers: []string{"closer"}})
				c.client(t, f)
				f.elements[0].server.said(t, c.server, 1)
				f.sessionsEnd()
				if moved := f.recorded("moved"); len(moved) > 0 {
					t.Errorf("a close was taken for a death: %+v", moved)
				}
			})
		}
	}
}

// halfClose finishes sending and still gets its answer, and then the end.
func halfClose(t *testing.T, f *fleet) {
	client := f.dial()
	in := bufio.NewReader(client)
	say(t, client, "listen\n")
	hear(t, in, "listening\n")
	say(t, client, string(make([]byte, 1000)))
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	hear(t, in, "counted 1000\n")
	hearEnd(t, in, "end of file")
}

// resetByClient resets when its bytes have arrived: bytes under way would be lost to a reset on any path.
func resetByClient(t *testing.T, f *fleet) {
	client := f.dial()
	in := bufio.NewReader(client)
	say(t, client, "listen\n")
	hear(t, in, "listening\n")
	say(t, client, string(make([]byte, 1000)))
	waitFor(t, "the client's bytes to be delivered", func() bool {
		s := f.status().Sessions
		return len(s) == 1 && s[0].FromClient == int64(len("listen\n")+1000) && s[0].Retained == 0
	})
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
}

// killedClient is a process that dies with the connection open: the kernel closes it in its name.
func killedClient(t *testing.T, f *fleet) {
	client := startProcess(t, command{name: "client", role: "hang", args: []string{"-connect", f.listen}})
	client.said(t, `heard "listening\n"`, 1)
	client.kill()
}

// resetByServer sees a reset, not an end.
func resetByServer(t *testing.T, f *fleet) {
	client := f.dial()
	say(t, client, "reset\n")
	hearEnd(t, bufio.NewReader(client), "reset")
}

// finishByServer sees the server's last bytes, then an end, not a reset.
func finishByServer(t *testing.T, f *fleet) {
	client := f.dial()
	in := bufio.NewReader(client)
	say(t, client, "finish\n")
	hear(t, in, "goodbye\n")
	hearEnd(t, in, "end of file")
	client.Close()
}

// say writes.
func say(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// hear expects exactly one line.
func hear(t *testing.T, in *bufio.Reader, want string) {
	t.Helper()
	if got, err := in.ReadString('\n'); got != want {
		t.Fatalf("heard %q, error %v; not %q", got, err, want)
	}
}

// hearEnd expects the connection to end without another byte, in the named way.
func hearEnd(t *testing.T, in *bufio.Reader, want string) {
	t.Helper()
	rest, err := io.ReadAll(in)
	if got := fmt.Sprintf("%d bytes, %s", len(rest), ending(err)); got != "0 bytes, "+want {
		t.Errorf("the connection ended with %s; not 0 bytes, %s", got, want)
	}
}
