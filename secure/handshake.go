package secure

import (
	"crypto/tls"
	"crypto/x509"
	"iter"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// config is that of one handshake, by the certificates of now. Tickets would let a peer in whose certificate has been looked at long ago;
// associations last, and are few.
func (c *Conn) config(r *Rules, allow Allow, client bool) *tls.Config {
	m := r.Credentials.now.Load()
	usage := x509.ExtKeyUsageClientAuth
	if client {
		usage = x509.ExtKeyUsageServerAuth
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: m.certs, Time: func() time.Time { return c.loop.Now() },
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
		ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true, // VerifyConnection does it: peers have addresses, and no host names
		VerifyConnection: func(s tls.ConnectionState) (err error) {
			c.peer, err = m.verify(s.PeerCertificates, usage, allow, c.loop.Now())
			return err
		},
	}
}

// shake is a handshake under way: a coroutine that runs while the loop waits in next, and waits while it has nothing to read.
type shake struct {
	next func() (struct{}, bool)
	stop func()
	err  error
}

// begin begins the handshake. What comes of it is told by shaken. The coroutine ends with the handshake, or by giveUp, which waits for it.
func (c *Conn) begin() {
	h := &shake{}
	h.next, h.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.wire.wait = func() bool { return yield(struct{}{}) }
		h.err = c.tls.Handshake()
		c.wire.wait = nil
	})
	c.shake = h
	c.goOn()
}

// goOn has the handshake take what has come.
func (c *Conn) goOn() {
	h := c.shake
	_, more := h.next()
	if _, err := c.wire.flush(); err != nil && h.err == nil && !more {
		h.err = err
	}
	if more {
		return
	}
	c.shake = nil
	c.shaken(h.err)
}

// giveUp ends a handshake under way.
func (c *Conn) giveUp() {
	if c.shake != nil {
		c.shake.stop()
		c.shake = nil
	}
}

// shaken is called once, when the handshake has ended, in whatever way.
func (c *Conn) shaken(err error) {
	if err == nil {
		c.up = true
		c.opened()
		return
	}
	why := refusal(err)
	if c.refused != nil {
		c.refused(c.raw.Remote(), why)
	}
	c.broken = why
	c.failed()
}

// dialled follows the handshake of a Conn that we have dialled: either it is connected, or it has failed.
func (c *Conn) dialled() { c.handler.Ready(loop.Connected | loop.Readable) }
