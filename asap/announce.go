package asap

import "fmt"

// maxTransports is how many transports an announcement may have. The RFC sets no limit.
const maxTransports = 64

// ServerAnnounce says where a registrar is (RFC 5352 §2.2.10). It comes by multicast, and nobody vouches for it: it is a hint.
type ServerAnnounce struct {
	unflagged
	Server uint32
	// Transports are SCTP's and TCP's. None: SCTP at the packet's source address and Port (§3.6; rsplib: its source port).
	Transports []Transport
}

func (ServerAnnounce) Type() MessageType { return TypeServerAnnounce }

func (m ServerAnnounce) check() error {
	if n := len(m.Transports); n > maxTransports {
		return fmt.Errorf("%w: %d transports, more than %d", ErrLimit, n, maxTransports)
	}
	for _, t := range m.Transports {
		if t.Protocol != SCTP && t.Protocol != TCP {
			return fmt.Errorf("%w: %v; a registrar speaks SCTP and TCP (RFC 5352 §2.2.10)", ErrMisplaced, t.Type())
		}
	}
	return nil
}

func (m ServerAnnounce) appendBody(w *writer) {
	w.u32(m.Server)
	for _, t := range m.Transports {
		w.parameter(t)
	}
}

func buildServerAnnounce(p *parts) Message {
	return ServerAnnounce{Server: p.server, Transports: p.transports}
}
