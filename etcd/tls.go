package etcd

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc/credentials"
)

// TLS is how members are spoken to.
type TLS struct {
	// Config is asked for before each handshake: so another certificate is shown from the next one on. It may be asked from many goroutines.
	Config func() *tls.Config

	// ServerName is whom the members' certificates must be for; "": the host of each one's endpoint.
	ServerName string
}

// scheme is how URLs of members begin.
func (c *Config) scheme() string {
	if c.TLS != nil {
		return "https://"
	}
	return "http://"
}

// anew are credentials that are made for each handshake.
type anew struct{ *TLS }

func (a anew) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if a.ServerName != "" {
		authority = a.ServerName
	}
	return credentials.NewTLS(a.Config()).ClientHandshake(ctx, authority, raw)
}

// ServerHandshake is not used: we are no server.
func (a anew) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(a.Config()).ServerHandshake(raw)
}

func (a anew) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (a anew) Clone() credentials.TransportCredentials { return a }

// OverrideServerName is not used: TLS.ServerName says it.
func (a anew) OverrideServerName(string) error { return nil }
