package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	wire "github.com/miekg/dns"

	"github.com/poolproxy/poolproxy/internal/sockets"
	"github.com/poolproxy/poolproxy/pool"
)

// AnswererConfig is what an Answerer is made of.
type AnswererConfig struct {
	Listen netip.AddrPort               // over UDP and TCP; port 0: a free one
	Pools  func() map[string]*pool.Pool // by their handles, as they are now; the map is not changed. It is asked by many at a time
	TTL    time.Duration                // of all answers, in whole seconds; 0: they are not to be kept. See SetTTL
	Log    func(err error)              // is told why listening has ended before Close; nil: nobody is
}

// DefaultTTL is short: an answer shall not be older than what one would notice.
const DefaultTTL = time.Second

const (
	mostConnections = 64              // over TCP at once; more are closed at once
	mostQueries     = 16              // over one of them
	connectionTime  = 5 * time.Second // that one may be silent
	mostAtOnce      = 256             // questions; more are dropped, and will be asked again
	mostServices    = 100             // SRV records in one answer
)

// Answerer answers questions for "<pool>.pool." by the pool's policy: A and AAAA with the one element that the policy names (that is the
// draft's IPAddressOfPrimaryServer, for programs that only know gethostbyname), SRV with that element first and the others behind it.
// Nothing is said of other names. The library gives each question over UDP a goroutine; they wait for nothing but the pool's lock.
type Answerer struct {
	c     AnswererConfig
	at    netip.AddrPort
	udp   *wire.Server
	tcp   *wire.Server
	ended chan struct{} // gets one for each that has ended
	stops atomic.Bool
	busy  atomic.Int32 // questions that are being answered
	ttl   atomic.Int64 // a time.Duration
}

// Listen begins to answer. The error names the address that cannot be had; then nothing is left.
func Listen(c AnswererConfig) (*Answerer, error) {
	tcp, udp, err := listen(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("dns: listening on %v: %w", c.Listen, err)
	}
	a := &Answerer{c: c, at: tcp.Addr().(*net.TCPAddr).AddrPort(), ended: make(chan struct{}, 2)}
	a.SetTTL(c.TTL)
	a.udp = &wire.Server{PacketConn: udp, Handler: a, UDPSize: 512 + 64, ReadTimeout: connectionTime, WriteTimeout: connectionTime}
	a.tcp = &wire.Server{Listener: &fewConnections{Listener: tcp}, Handler: a, MaxTCPQueries: mostQueries, ReadTimeout: connectionTime,
		WriteTimeout: connectionTime, IdleTimeout: func() time.Duration { return connectionTime }}
	started := make(chan struct{}, 2)
	for _, s := range []*wire.Server{a.udp, a.tcp} {
		s.NotifyStartedFunc = func() { started <- struct{}{} }
		go a.serve(s)
	}
	for range 2 { // a server that has not started cannot be stopped
		<-started
	}
	return a, nil
}

// SetTTL says how long answers may be kept from now on, in whole seconds. It may be called from any goroutine.
func (a *Answerer) SetTTL(ttl time.Duration) { a.ttl.Store(int64(ttl)) }

// seconds is how long answers may be kept.
func (a *Answerer) seconds() uint32 { return uint32(time.Duration(a.ttl.Load()) / time.Second) }

// listen takes the same port of both protocols.
func listen(at netip.AddrPort) (tcp net.Listener, udp net.PacketConn, err error) {
	for range 10 { // where a free port of one is not free in the other
		if tcp, err = sockets.Given.Listen(at); err != nil {
			return nil, nil, err
		}
		if udp, err = sockets.Given.ListenPacket(tcp.Addr().(*net.TCPAddr).AddrPort()); err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		if at.Port() != 0 {
			break
		}
	}
	return nil, nil, err
}

// serve is the goroutine of one protocol. Close ends it, and waits for it.
func (a *Answerer) serve(s *wire.Server) {
	err := s.ActivateAndServe()
	if err != nil && !a.stops.Load() && a.c.Log != nil {
		a.c.Log(fmt.Errorf("dns: answering on %v has ended: %w", a.at, err))
	}
	a.ended <- struct{}{}
}

// Addr is where it listens.
func (a *Answerer) Addr() netip.AddrPort { return a.at }

// Close ends it, and waits until nothing of it runs. Twice is harmless.
func (a *Answerer) Close() error {
	if a.stops.Swap(true) {
		return nil
	}
	err := errors.Join(a.udp.Shutdown(), a.tcp.Shutdown())
	for range 2 {
		<-a.ended
	}
	return err
}

// fewConnections is a listener that closes what is too much.
type fewConnections struct {
	net.Listener
	open atomic.Int32
}

// Accept waits for a connection that there is room for (net.Listener).
func (l *fewConnections) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= mostConnections {
			return &counted{Conn: c, open: &l.open}, nil
		}
		l.open.Add(-1)
		c.Close()
	}
}

// counted is a connection of fewConnections.
type counted struct {
	net.Conn
	open   *atomic.Int32
	closed atomic.Bool
}

// Close closes the connection, and makes room for another one.
func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}
