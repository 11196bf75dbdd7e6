package loop

import (
	"errors"
	"net/netip"
)

// Interception is how the system hands a listener connections that were addressed to others.
type Interception uint8

const (
	Addressed Interception = iota // it does not: all were addressed to the listener
	Redirect                      // by changing their destination (nftables: redirect); it remembers the one before
	TProxy                        // unchanged (nftables: tproxy): the socket's own address is the one that the peer has dialled
)

func (i Interception) String() string { return [...]string{"none", "redirect", "tproxy"}[i] }

// ErrIntercept is wrapped by the errors of an Interception that cannot be had.
var ErrIntercept = errors.New("connections to other addresses cannot be taken")

// Interceptor is a Loop that can take connections that were addressed to others: Epoll.
type Interceptor interface {
	Adopter

	// Intercept is ListenFor at an address to which the system's rules lead connections. Accepted.Dialed says where each wanted to go. The
	// error names the address, and wraps ErrIntercept where the system, or the rights of the process, do not allow it.
	Intercept(at netip.AddrPort, how Interception, take func(Accepted)) (Listener, error)
}
