// Package registrar is ASAP (RFC 5352) as pool elements and pool users speak it with registrars (ENRP servers): it registers elements,
// keeps them registered, resolves pool handles and reports elements that have failed. Its Source is a pool.Source, pool.Registry,
// pool.Reporter and pool.Refresher.
//
// The rules (rules.go, hunt.go, resolution.go, registration.go) have no I/O, no goroutine and no clock: what happens comes in as method
// calls with the time, what is to be done goes out over a wire. A client (client.go) runs them on a loop, over associations; the Source
// has a loop of its own and may be called from any goroutine.
//
// Not here: announcements of registrars by multicast (ASAP_SERVER_ANNOUNCE, T7-ENRPoutdate; RFC 5352 §3.6 has the configured list for
// those who do without), ASAP over TCP, and TLS. A registrar is believed for its address alone, so this belongs into a network that is
// trusted.
package registrar

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// Config is what a Source is made of.
type Config struct {
	// Registrars are asked for service, up to three at once; who answers first becomes the home registrar. One that takes over, when
	// the home registrar dies, must be in the list, too: from others no association is accepted.
	Registrars []netip.AddrPort

	// Listen is where registrars begin associations that take over our elements, and where ours come from. Its address, or those of the
	// host if it is none, must be among those of the elements that register. Port 0 is one that the kernel chooses. The zero value
	// is any address and port; then nothing listens before an element registers.
	Listen netip.AddrPort

	Life     time.Duration // of a registration, unless it is renewed; 0: DefaultLife. Infinite is not for those who may die
	Interval time.Duration // how long the answer to a handle resolution is good (stale.cache.value); 0: DefaultInterval

	// Empty is how long registrars must have said, each time, that a pool does not exist, until that is believed and the pool is empty.
	// Until then it counts as a failure to know: registrars that have just begun say the same. 0: it is never believed.
	Empty time.Duration

	Dialect   asap.Dialect      // of the registrars: asap.RSPLIB(), or the zero value for the RFCs'
	Times     Times             // zero: those of RFC 5352
	Heartbeat mapping.Heartbeat // by which the death of a registrar is noticed, or of the way to it; zero: DefaultHeartbeat
	Transport Transport         // nil: SCTP
}

// Times are the timers and thresholds of RFC 5352 §7.1 and §7.2 that concern pool elements and pool users. 0 is the RFC's default.
type Times struct {
	T1 time.Duration // T1-ENRPrequest: for the answer to a handle resolution; 15 s
	T2 time.Duration // T2-registration: for the answer to a registration; 30 s
	T3 time.Duration // T3-deregistration: for the answer to a deregistration; 30 s
	T4 time.Duration // T4-reregistration: until a registration is renewed; 10 min or Life - 20 s, whichever is shorter
	T5 time.Duration // T5-Serverhunt: for an association with a registrar; 10 s, doubled each time up to Most
	// Most is RETRAN-MAX, the longest T5; 60 s.
	Most time.Duration

	Registrations int // MAX-REG-ATTEMPT: tries until a failure is told; 2
	Requests      int // MAX-REQUEST-RETRANSMIT: handle resolutions sent again until a failure is told; 2
}

// DefaultTimes are those of RFC 5352 §7; T4 follows from Config.Life.
func DefaultTimes() Times {
	return Times{T1: 15 * time.Second, T2: 30 * time.Second, T3: 30 * time.Second, T5: 10 * time.Second, Most: time.Minute,
		Registrations: 2, Requests: 2}
}

// What holds where the configuration says nothing.
const (
	DefaultLife     = 90 * time.Second // rsplib's
	DefaultInterval = 2 * time.Second
)

// DefaultHeartbeat gives a silent registrar up after about 15 s: later than other registrars do, which then take over.
var DefaultHeartbeat = mapping.Heartbeat{Interval: 3 * time.Second, Misses: 3}

// MaxHandle is how long a pool handle may be, in bytes: rspregistrar aborts if one is longer.
const MaxHandle = 32

// MaxElements is how many elements of one pool are taken from a registrar. If there are more, that is an error. rspregistrar answers
// with 128 at most.
const MaxElements = 4096

// filled is the configuration with its defaults.
func (c Config) filled() (Config, error) {
	c.Registrars = slices.Clone(c.Registrars)
	for i, at := range c.Registrars {
		c.Registrars[i] = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		if !at.IsValid() || at.Addr().IsUnspecified() || at.Port() == 0 || slices.Contains(c.Registrars[:i], c.Registrars[i]) {
			return c, fmt.Errorf("registrar: %v is no address of a registrar, or there twice", at)
		}
	}
	if len(c.Registrars) == 0 {
		return c, errors.New("registrar: there is no registrar")
	}
	orElse(&c.Life, DefaultLife)
	orElse(&c.Interval, DefaultInterval)
	if c.Heartbeat.Interval <= 0 {
		c.Heartbeat = DefaultHeartbeat
	}
	t, by := &c.Times, DefaultTimes()
	orElse(&t.T1, by.T1)
	orElse(&t.T2, by.T2)
	orElse(&t.T3, by.T3)
	orElse(&t.T4, renewal(c.Life))
	orElse(&t.T5, by.T5)
	orElse(&t.Most, by.Most)
	orElse(&t.Registrations, by.Registrations)
	orElse(&t.Requests, by.Requests)
	if t.T4 >= c.Life {
		return c, fmt.Errorf("registrar: a registration that lives for %v is renewed after %v: too late", c.Life, t.T4)
	}
	if c.Transport == nil {
		c.Transport = &overSCTP{}
	}
	return c, nil
}

// renewal is T4 by RFC 5352 §7.1; of lives so short that the RFC's formula makes no sense, half.
func renewal(life time.Duration) time.Duration {
	const margin = 20 * time.Second
	return min(10*time.Minute, max(life-margin, life/2))
}

func orElse[T time.Duration | int](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}
