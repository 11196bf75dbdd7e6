package proxy

import (
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
	"github.com/poolproxy/poolproxy/whence"
)

// Config is what a process runs: plain values, checked. cmd/poolproxy makes it from HCL.
type Config struct {
	Log      Log
	Admin    Admin
	Metrics  Telemetry
	Access   AccessLog
	Traces   Traces
	DNS      DNS
	Limits   Limits
	Watch    bool          // the configuration is read again when its files have changed
	Grace    time.Duration // how long sessions may go on after a stop was asked for
	Pools    []Pool
	Users    []User
	Elements []Element

	Watched   []Watched  // certificates of others in this process, whose expiry is to be told
	Observers []Observer // of what becomes of sessions: what Access and Traces ask for is among them, and run beside the proxy
}

// Log says what is logged and how.
type Log struct {
	Level string // trace, debug, info, warn, error
	JSON  bool
}

// Admin is where the admin API listens, and who may use it.
type Admin struct {
	Listen    netip.AddrPort // an invalid address is none
	Unix      string         // the path of a unix socket, in place of Listen; "": there is none
	TokenFile string         // a file with what those must know who change something, or ask from elsewhere; "": there is none
	TLS       *EndTLS        // nil: without; with CA others must show a certificate
}

// On reports whether there is an admin API.
func (a Admin) On() bool { return a.Listen.IsValid() || a.Unix != "" }

// place is where it listens, as it is written.
func (a Admin) place() string {
	switch {
	case a.Unix != "":
		return "unix:" + a.Unix
	case a.Listen.IsValid():
		return a.Listen.String()
	}
	return "off"
}

// Telemetry is where the metrics are sent, beside the admin API's page /metrics.
type Telemetry struct {
	Statsd netip.AddrPort // over UDP; an invalid address is nowhere
}

// AccessLog is where what remains of each session is written, as a line of JSON (package proxy/access).
type AccessLog struct {
	File string // its path; AccessStdout; "": nowhere
}

// AccessStdout is what File is if lines go to the standard output.
const AccessStdout = "stdout"

// Traces are where failovers are told as traces of OpenTelemetry (package proxy/traces).
type Traces struct {
	OTLP string // the URL of a collector that takes OTLP over HTTP; "": nowhere
}

// DNS is where questions for the pools are answered; an invalid address is nowhere. It is run beside the proxy (package dns).
type DNS struct {
	Listen netip.AddrPort
	TTL    time.Duration
}

// Limits bound the process.
type Limits struct {
	Sessions int   // at once
	Memory   int64 // bytes retained and queued, all sessions together
	Shards   int   // how many loops share the work, at most MostShards; 0: as many as Go's scheduler has processors (GOMAXPROCS)
	Pipes    int   // by which bulk is moved without copying it, where the system can; 0: all is copied
}

// MaxShards is the largest number of shards.
const MaxShards = 64

// ShardMemory is how much of Limits.Memory each shard needs, in bytes: with less, what the shards do not know of each other would be
// much of it.
const ShardMemory = 4 * slackEach

// MostShards is how many shards there are at most, whatever Shards says.
func (l Limits) MostShards() int {
	if l.Memory <= 0 {
		return MaxShards
	}
	return int(max(1, min(l.Memory/ShardMemory, MaxShards)))
}

// Pool is a pool: a static one, or one whose elements a source knows.
type Pool struct {
	Handle  string
	Policy  pool.Policy
	Mapping mapping.ID
	Native  bool   // mapping SCTP: the elements are RSerPool applications, not sidecars
	PPID    uint32 // of what they say and are told, if they are native

	dialer   mapping.Dialer // of tests, in place of SCTP, for native elements
	UDPPort  uint16         // mapping SCTP: the port of UDP at the elements' hosts that it goes to (RFC 6951); 0: it goes without UDP
	Elements []pool.Element

	// Rehearsals are elements that are there for rehearsals alone: they are not among Elements, nor known to any source, policy or answer.
	Rehearsals []pool.Element

	SendProxy whence.Version // mapping none: of the header that tells the elements whose connection it is; None: they are sent none

	Source     pool.Source   // where its elements come from; nil: they are Elements, and those that are registered in this process
	SourceName string        // what the configuration calls it: "dns.k8s"; "": it stands there itself
	Stale      time.Duration // how old what is known of the elements may become until that is an alarm; 0: there is none

	SourceDigest string // of the source's settings: what tells it from one with others

	TLS       *TLS    // how associations of mapping TCP are secured; nil: they are not
	ServerTLS *EndTLS // mapping none: how the servers are spoken to; nil: without TLS

	Chaos bool // its pool_users may be disturbed on purpose; see Proxy.Disturb
}

// User is the pool_user side: it stands beside clients.
type User struct {
	Name   string
	Listen netip.AddrPort

	// Transparent is how connections that were addressed to others are led to Listen, which several such pool_users may share; Match are
	// the addresses that are this one's.
	Transparent loop.Interception
	Match       []Match

	Accept    *AcceptProxy // not nil: each connection begins with a header of the PROXY protocol
	Pool      string       // a pool handle in Config.Pools
	Protocol  protocol.Protocol
	Heartbeat mapping.Heartbeat
	Memory    int // bytes of one session's retrieval
	Failover  session.Failover
	Callbacks []Callback // asked in this order when a leg has been opened

	// Local are this host's addresses that associations over SCTP use; nil: the kernel chooses.
	Local []netip.Addr

	Associations int // with each pool element; sessions are spread over them by count. Mapping none has its own; 0: one

	// Commands is with protocol redis what servers say of their commands: it is learned here, and the Protocol asks it. Else nil.
	Commands *protocol.RedisTable

	ProtocolDigest string // of the settings of Protocol: what tells it from one with others

	TLS *EndTLS // how clients come in; nil: without TLS

	Rehearsal *Rehearsal // what is recorded of sessions so that they can be rehearsed; nil: nothing
}

// Rehearsal says which sessions are recorded from their beginning, so that what they were told can be compared with what another element says.
type Rehearsal struct {
	Memory int    // bytes of one session's record: of what its client has sent, and has been answered
	Sample uint32 // which share of the sessions; 0xffffffff is 100 %
}

// AcceptProxy says that clients are proxies, which begin each connection with a header of the PROXY protocol.
type AcceptProxy struct {
	Trusted []netip.Prefix // the networks that are believed; all others are refused
	Timeout time.Duration  // how long the header may take
}

// Callback is a failover callback (draft-conrad-rserpool-service-00 §6.3): a rule, or a program. One of Rule and Exec is set.
type Callback struct {
	Rule    session.Callback
	Exec    []string      // a program's path and its arguments
	Timeout time.Duration // how long the program may take; 0: 5 s

	Digest string // of Rule as it is written: what tells it from another
}

// Element is the pool_element side: it stands in front of one server.
type Element struct {
	Name      string
	Listen    netip.AddrPort
	Server    netip.AddrPort
	SendProxy whence.Version // of the header that tells the server whose connection it is; None: it is sent none
	Mapping   mapping.ID
	Paths     []netip.Addr // mapping SCTP: further addresses that it listens on
	UDPPort   uint16       // mapping SCTP: the kernel's own port of UDP, where peers send to (RFC 6951); 0: they may do without
	Heartbeat mapping.Heartbeat
	Memory    int           // bytes of one session's buffers
	Hold      time.Duration // the longest that a leg is kept for a pool user out of touch

	MaxSessions int // how many its server takes at once; 0: as many as the process

	FenceExec    []string      // a program's path and its arguments, which makes certain that the server is dead; nil: there is none
	FenceTimeout time.Duration // how long it may take; 0: 10 s
	Health       *HealthCheck  // nil: the server is not checked

	CookieKey []byte // by which all elements of the pool sign cookies, at least session.LeastCookieKey bytes; nil: there are no cookies
	Card      *Card  // nil: it has none

	TLS       *TLS    // how associations of mapping TCP are secured; nil: they are not
	ServerTLS *EndTLS // how the server is spoken to; nil: without TLS

	Chaos bool // it may be disturbed on purpose; see Proxy.Disturb

	Register []Register // the pools that it registers itself in

	Native   bool              // mapping SCTP: pool users are RSerPool applications, not sidecars
	PPID     uint32            // of what they say and are told, if they are native
	Protocol protocol.Protocol // if they are native: it tells where the server's messages end, and when a request is in flight

	ProtocolDigest string // of the settings of Protocol: what tells it from one with others
}
