//go:build linux

package main

import (
	"io"
	"net"
)

// copyMain is the plainest proxy that Go can be: a goroutine a direction and io.Copy, which splices between TCP sockets on Linux. It
// shows what a sidecar costs that knows nothing of sessions.
func copyMain(listen, target string) error {
	l, err := net.Listen("tcp4", listen)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go carry(c.(*net.TCPConn), target)
	}
}

// carry owns client: it is closed when both directions have ended.
func carry(client *net.TCPConn, target string) {
	defer client.Close()
	c, err := net.Dial("tcp4", target)
	if err != nil {
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	done := make(chan struct{})
	go func() {
		copyOneWay(server, client)
		close(done)
	}()
	copyOneWay(client, server)
	<-done
}

// copyOneWay passes the end on as an end. After an error both connections are of no more use: closing the reading
// side wakes the other direction.
func copyOneWay(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite() // fails only if the connection is gone, which the other direction sees
}
