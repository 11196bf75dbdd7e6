package secure

import (
	"container/list"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// Clients and servers are what they are: they may speak TLS 1.2, show no certificate, and end a connection by FIN alone. So there is a
// Door for clients and an Origin for servers, beside Mapping for sidecars.

// ErrCut is (wrapped by) the error of a connection with a client or a server that has ended without saying so in TLS: whether that was
// its end, its death, or somebody between is not known. It is no loop.ErrReset, which is a proof that not all was read.
var ErrCut = errors.New("secure: it is cut off")

// cut is what an end without close_notify is.
func (c *Conn) cut() error {
	if c.bare {
		return ErrCut
	}
	return loop.ErrReset
}

// proves keeps a reset from proving more than it does. A process that dies leaves a reset where it has not read everything, and of what
// it has not read to the end of a record it knows nothing. But what it has not read may be ours alone: our close_notify, or an answer of
// crypto/tls. And an alert, which a Refusal says is a reset, too, may come at any time.
func (c *Conn) proves(err error) error {
	var alert *Refusal
	if c.bare && errors.Is(err, loop.ErrReset) && (c.shut || c.spoken || errors.As(err, &alert)) {
		return fmt.Errorf("%v: %w", err, ErrCut)
	}
	return err
}

// Waiting is how many bytes have been taken by Write and not by the transport, at most: as they are encrypted.
func (c *Conn) Waiting() int { return len(c.wire.out) }

// Record is the most that one record holds, in bytes: who has read a part of it knows nothing of it yet.
const Record = record

// Transport is the connection below. It is for asking, not for reading and writing.
func (c *Conn) Transport() loop.Conn { return c.raw }

// Door is how clients come in.
type Door struct {
	meeting
	rules DoorRules
}

// DoorRules are how a Door does TLS. It shows its certificate; if its Credentials have authorities, clients must show one, too.
type DoorRules struct {
	Credentials *Credentials
	Allow       Allow    // who may be a client; nil: whomever the authorities have signed
	Protocols   []string // by ALPN (RFC 7301); nil: it is not spoken of
	Timeout     time.Duration
	Refused     Refused
}

// NewDoor makes a Door on a loop; Close ends what is under way there.
func NewDoor(l loop.Loop, r DoorRules) *Door {
	d := &Door{rules: r}
	d.meeting = meeting{loop: l, shaking: list.New(), refused: r.Refused, timeout: r.Timeout, config: d.configOf, ends: true}
	return d
}

// Meet shakes hands with a client that has connected. accept is called behind that; what it returns hears of the connection, nil
// refuses it. failed is called once, instead, if the handshake comes to nothing, but not by Close. Meet returns the Handler of raw.
func (d *Door) Meet(raw loop.Conn, accept func(*Conn) loop.Handler, failed func()) loop.Handler {
	return d.meet(raw, accept, failed)
}

// Shaking is how many are shaking hands.
func (d *Door) Shaking() int { return d.shaking.Len() }

// Close resets those who are shaking hands.
func (d *Door) Close() { d.close() }

// configOf is that of one handshake.
func (d *Door) configOf(c *Conn) *tls.Config {
	m := d.rules.Credentials.now.Load()
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: m.certs, NextProtos: d.rules.Protocols, SessionTicketsDisabled: true,
		Time: func() time.Time { return c.loop.Now() }}
	if m.roots == nil {
		return config
	}
	config.ClientAuth, config.ClientCAs = tls.RequireAnyClientCert, m.roots // which are told to the client, so that it can choose
	config.VerifyConnection = func(s tls.ConnectionState) (err error) {
		if d.rules.Allow == nil {
			return m.trusts(s.PeerCertificates, x509.ExtKeyUsageClientAuth, c.loop.Now())
		}
		c.peer, err = m.verify(s.PeerCertificates, x509.ExtKeyUsageClientAuth, d.rules.Allow, c.loop.Now())
		return err
	}
	return config
}

// Origin is how a server is connected to.
type Origin struct {
	Credentials *Credentials // with authorities; a certificate is shown if there is one and the server asks for it
	Name        string       // whom the server's certificate must be for: a DNS name or an IP address
	Protocols   []string     // by ALPN; nil: it is not spoken of
	Refused     Refused
}

// Dial connects, sends first as it is (a header of the PROXY protocol; it may be nil), and shakes hands; see loop.Loop. How long that may take is
// the caller's to bound.
func (o *Origin) Dial(l loop.Loop, to netip.AddrPort, first []byte, h loop.Handler) loop.Conn {
	c := dial(l, to, h, &Conn{refused: o.Refused, bare: true}, func(c *Conn) *tls.Config {
		config := o.Config()
		config.Time = func() time.Time { return c.loop.Now() }
		return config
	})
	if len(first) > 0 {
		_, _ = c.wire.Write(first) // it only waits there: nothing can fail
	}
	return c
}

// Config is that of a handshake of now.
func (o *Origin) Config() *tls.Config {
	m := o.Credentials.now.Load()
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: m.certs, NextProtos: o.Protocols, ServerName: o.Name,
		InsecureSkipVerify: true} // VerifyConnection does it, and says what is wrong in a Reason
	config.VerifyConnection = func(s tls.ConnectionState) error {
		now := time.Now()
		if config.Time != nil {
			now = config.Time()
		}
		if err := m.trusts(s.PeerCertificates, x509.ExtKeyUsageServerAuth, now); err != nil {
			return err
		}
		if err := s.PeerCertificates[0].VerifyHostname(o.Name); err != nil {
			return &Refusal{NotAllowed, err}
		}
		return nil
	}
	return config
}

// ServerConfig is how a server that waits for its connections comes by the certificates of now; allow is who may come, as for a Door. refused is told why
// somebody is not let in, on his goroutine; what has nothing to do with certificates is not told.
func (c *Credentials) ServerConfig(allow Allow, refused func(*Refusal)) *tls.Config {
	first := &tls.Config{MinVersion: tls.VersionTLS12}
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m := c.now.Load()
		config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: m.certs, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true}
		if m.roots == nil {
			return config, nil
		}
		config.ClientAuth, config.ClientCAs = tls.RequestClientCert, m.roots
		config.VerifyConnection = func(s tls.ConnectionState) (err error) {
			if err = m.trusts(s.PeerCertificates, x509.ExtKeyUsageClientAuth, time.Now()); err == nil && allow != nil {
				_, err = m.verify(s.PeerCertificates, x509.ExtKeyUsageClientAuth, allow, time.Now())
			}
			if err != nil {
				refused(refusal(err))
			}
			return err
		}
		return config, nil
	}
	return first
}

// ClientConfig is how a client that waits for its connections comes by the certificates of now: for one handshake, whose ServerName is the
// caller's to set. The files are read for it, so nobody need call Refresh.
func (c *Credentials) ClientConfig() *tls.Config {
	_, _ = c.Refresh() // on an error what was there before is used, and who watches the files says so
	m := c.now.Load()
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: m.certs, RootCAs: m.roots}
}
