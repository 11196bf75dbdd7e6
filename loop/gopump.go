package loop

import (
	"context"
	"io"
	"net"
)

// dial connects, and then goes on as the conn's writer. It ends when the dial fails or is given up, or as writeAll does.
func (c *goConn) dial(ctx context.Context) {
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	nc, err := dialer.DialContext(ctx, "tcp", c.remote.String())
	c.mu.Lock()
	if err != nil || c.closing {
		if err != nil {
			c.fail(failure("connect", c.remote, err))
			c.inErr = c.err
		}
		c.mu.Unlock()
		if err == nil {
			nc.Close() // the loop closed the conn before it knew its transport
		}
		c.loop.running.Done()
		return
	}
	c.attach(nc)
	c.tell(Connected)
	c.mu.Unlock()
	c.loop.running.Add(1)
	go c.readAll()
	c.writeAll()
}

// readAll fills the ring from the transport. It waits for the transport's data and for room; it ends with the transport's
// end or error, or when the conn is closed (the writer then closes the transport, which wakes a Read). closeAll waits for it.
func (c *goConn) readAll() {
	defer c.loop.running.Done()
	for {
		c.mu.Lock()
		for len(c.in.room()) == 0 && !c.closing {
			c.changed.Wait()
		}
		room, closing := c.in.room(), c.closing
		c.mu.Unlock()
		if closing {
			return
		}
		n, err := c.nc.Read(room)
		c.mu.Lock()
		c.in.fill(n)
		if err != nil {
			c.inErr = io.EOF
			if err != io.EOF {
				c.fail(failure("read from", c.remote, err))
				c.inErr = c.err
			}
		}
		if !c.told && (n > 0 || err != nil) {
			c.told = true
			c.tell(Readable)
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// writeAll empties the ring into the transport, and closes the transport when all is written and the conn is closed. It
// waits for something to write and for the transport to take it; it ends when the conn is closed or the transport
// refuses, which closeAll bounds by a deadline. closeAll waits for it.
func (c *goConn) writeAll() {
	defer c.loop.running.Done()
	defer c.nc.Close()
	shut := false
	for {
		c.mu.Lock()
		for c.out.size == 0 && c.shut == shut && !c.closing {
			c.changed.Wait()
		}
		held, finish := c.out.held(), c.shut && !shut
		done := c.reset || c.closing && len(held) == 0
		c.mu.Unlock()
		switch {
		case done:
			return
		case len(held) > 0:
			if !c.writeSome(held) {
				c.waitClosed()
				return
			}
		case finish:
			shut = true
			if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // if it fails the connection has, of which the reader tells
			}
		}
	}
}

// writeSome writes held and makes room; false says that the transport refused.
func (c *goConn) writeSome(held []byte) bool {
	n, err := c.nc.Write(held)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.take(n)
	if c.blocked && c.out.size <= ringSize/2 {
		c.blocked = false
		c.tell(Writable)
	}
	if err != nil {
		c.fail(failure("write to", c.remote, err))
	}
	return err == nil
}

// waitClosed keeps the transport open after an error, for what can still be read.
func (c *goConn) waitClosed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closing {
		c.changed.Wait()
	}
}
