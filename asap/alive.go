package asap

// EndpointKeepAlive asks an element whether it is alive (RFC 5352 §2.2.7). It must answer.
type EndpointKeepAlive struct {
	unruled
	Home   bool   // the H flag: the sender wants to be the element's registrar from now on
	Server uint32 // the sender
	Handle PoolHandle
	// PE is rsplib's: the element that is meant. Nil, as the RFC has it, are all elements of the pool on this association.
	PE *PEIdentifier
}

// EndpointKeepAliveAck answers an EndpointKeepAlive (RFC 5352 §2.2.8).
type EndpointKeepAliveAck struct {
	unflagged
	unruled
	Handle PoolHandle
	PE     PEIdentifier
}

// EndpointUnreachable reports an element that cannot be reached (RFC 5352 §2.2.9).
type EndpointUnreachable struct {
	unflagged
	unruled
	Handle PoolHandle
	PE     PEIdentifier
}

func (EndpointKeepAlive) Type() MessageType    { return TypeEndpointKeepAlive }
func (EndpointKeepAliveAck) Type() MessageType { return TypeEndpointKeepAliveAck }
func (EndpointUnreachable) Type() MessageType  { return TypeEndpointUnreachable }

func (m EndpointKeepAlive) flagged() bool { return m.Home }

func (m EndpointKeepAlive) appendBody(w *writer) {
	w.u32(m.Server)
	w.parameter(m.Handle)
	if m.PE != nil {
		w.parameter(*m.PE)
	}
}

func (m EndpointKeepAliveAck) appendBody(w *writer) { w.handleAndPE(m.Handle, m.PE) }
func (m EndpointUnreachable) appendBody(w *writer)  { w.handleAndPE(m.Handle, m.PE) }

func buildEndpointKeepAlive(p *parts) Message {
	m := EndpointKeepAlive{Home: p.flag, Server: p.server, Handle: p.handle}
	if p.seen.has(ParameterPEIdentifier) {
		m.PE = &p.pe
	}
	return m
}

func buildEndpointKeepAliveAck(p *parts) Message {
	return EndpointKeepAliveAck{Handle: p.handle, PE: p.pe}
}

func buildEndpointUnreachable(p *parts) Message {
	return EndpointUnreachable{Handle: p.handle, PE: p.pe}
}
