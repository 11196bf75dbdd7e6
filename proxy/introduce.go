package proxy

import (
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/whence"
)

// A server with send_proxy is told by the header of the PROXY protocol whose connection it is, before all else: by each leg anew, so also
// by the one that carries a session on after a failover, ahead of what is replayed. The header is no part of the session: it is not counted
// in positions, and never retained.

// unnamedAgain is how often it is said that clients' addresses are not known.
const unnamedAgain = time.Minute

// header is what the server is told of a client whose connection has these ends; nil: nothing.
func (e *elementSide) header(ends whence.Ends) []byte {
	if e.sendProxy == whence.None {
		return nil
	}
	if now := e.shard.loop.Now(); !ends.Known() && (e.unnamed.IsZero() || now.Sub(e.unnamed) >= unnamedAgain) {
		e.unnamed = now
		e.shard.log.Info("the server is told that the client's address is not known: the pool user's sidecar is too old to say it, or is the client itself",
			"pool_element", e.name, "server", e.server)
	}
	return e.sendProxy.Append(make([]byte, 0, 128), ends)
}

// introduce writes the header to a server that has just accepted the connection. It fits into any socket's empty buffer, so one
// that does not take it has failed. With TLS it goes before the handshake; see secure.Origin.
func introduce(to loop.Conn, header []byte) error {
	for len(header) > 0 {
		n, err := to.Write(header)
		if n == 0 {
			return fmt.Errorf("the server takes no PROXY protocol header: %w", err)
		}
		header = header[n:]
	}
	return nil
}

// introduced is the server's health check, which begins with a header that says that nobody's connection is passed on, if the server
// expects one.
func (c *Element) introduced() HealthCheck {
	check := *c.Health
	if check.Address == c.Server {
		check.SendProxy = c.SendProxy
	}
	return check
}

// ends are those of a native pool user: it is the server's client.
func (s *nativeSession) ends() whence.Ends {
	return whence.Ends{Client: s.association.Remote(), Dialed: s.association.Local()}
}
