package registrar

import (
	"net/netip"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// Transport makes the associations with registrars, on which one message is one of ASAP.
type Transport interface {
	// Dial begins one; see mapping.Dialer. from, if it is valid, is what Listen listens at: there the registrar is to reach us, so the
	// association comes from that address and port, as far as the transport can do so.
	Dial(l loop.Loop, to, from netip.AddrPort, c mapping.Config, h mapping.Handler) mapping.Association

	// Listen accepts those that registrars begin; see mapping.Acceptor.
	Listen(l loop.Loop, at netip.AddrPort, c mapping.Config, accept func(mapping.Association) mapping.Handler) (loop.Listener, error)
}

// overSCTP is what RFC 5352 §2.1 wants of pool elements.
type overSCTP struct{}

func (overSCTP) Dial(l loop.Loop, to, from netip.AddrPort, c mapping.Config, h mapping.Handler) mapping.Association {
	return mapping.SCTPMapping{Native: true, From: from}.Dial(l, to, c, h)
}

func (overSCTP) Listen(l loop.Loop, at netip.AddrPort, c mapping.Config, accept func(mapping.Association) mapping.Handler) (loop.Listener, error) {
	return mapping.SCTPMapping{Native: true, Shared: true}.Listen(l, at, c, accept)
}
