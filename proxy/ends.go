package proxy

import (
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/secure"
)

// EndTLS is how TLS goes with clients (of a User), or with servers (of an Element, and of a Pool with mapping none): version 1.2 or later.
type EndTLS struct {
	Cert, Key  string   // paths of files in PEM: what is shown; towards servers "": nothing
	CA         string   // likewise: the authorities of servers; of clients, "": they need no certificate
	Allow      []string // names of clients, see secure.CheckName; nil: whomever the authorities have signed
	ServerName string   // whom the server's certificate must be for
	ALPN       string   // what the server is asked to speak (RFC 7301); "": nothing is said of it
}

func (t *EndTLS) files() secure.Files { return secure.Files{Cert: t.Cert, Key: t.Key, CA: t.CA} }

// doorTimeout bounds the handshake of a client.
const doorTimeout = 10 * time.Second

// door is how the clients of a pool_user come in on this shard.
func (s *Shard) door(b *userBlock) *secure.Door {
	c := b.config
	return secure.NewDoor(s.loop, secure.DoorRules{Credentials: b.credentials, Allow: c.TLS.Allow, Protocols: alpn(c),
		Timeout: doorTimeout, Refused: s.refused("client", "pool_user", c.Name, "client")})
}

// alpn is what is spoken with clients who ask: browsers would speak HTTP/2 if they could, which protocol http does not.
func alpn(c User) []string {
	if c.Protocol.Name() == "http" {
		return []string{"http/1.1"}
	}
	return nil
}

// origin is how a server is connected to; t is nil where that is without TLS.
func (s *Shard) origin(credentials *secure.Credentials, t *EndTLS, kind, name string) *secure.Origin {
	if t == nil {
		return nil
	}
	o := &secure.Origin{Credentials: credentials, Name: t.ServerName, Refused: s.refused("server", kind, name, "server")}
	if t.ALPN != "" {
		o.Protocols = []string{t.ALPN}
	}
	return o
}

// dial connects to a server, in TLS if there is an origin: then first goes before the handshake. Without one it is the caller's to send.
func (s *Shard) dial(o *secure.Origin, to netip.AddrPort, first []byte, h loop.Handler) loop.Conn {
	if o == nil {
		return s.loop.Dial(to, h)
	}
	return o.Dial(s.loop, to, first, h)
}
