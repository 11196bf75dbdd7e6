package asap

// Registration puts an element into a pool, or changes what is known of it there (RFC 5352 §2.2.1).
type Registration struct {
	unflagged
	unruled
	Handle  PoolHandle
	Element PoolElement
}

// RegistrationResponse answers a Registration (RFC 5352 §2.2.3).
type RegistrationResponse struct {
	unruled
	Rejected bool // the R flag
	Handle   PoolHandle
	PE       PEIdentifier
	Errors   OperationError // why it was rejected; or, if it was not, what the registrar has changed. May be nil
}

// Deregistration takes an element out of its pool. Only the element itself may (RFC 5352 §2.2.2).
type Deregistration struct {
	unflagged
	unruled
	Handle PoolHandle
	PE     PEIdentifier
}

// DeregistrationResponse answers a Deregistration, or says that the life of a registration is over (RFC 5352 §2.2.4).
type DeregistrationResponse struct {
	unflagged
	unruled
	Handle PoolHandle
	PE     PEIdentifier
	Errors OperationError // why it failed; nil if it did not
}

func (Registration) Type() MessageType           { return TypeRegistration }
func (RegistrationResponse) Type() MessageType   { return TypeRegistrationResponse }
func (Deregistration) Type() MessageType         { return TypeDeregistration }
func (DeregistrationResponse) Type() MessageType { return TypeDeregistrationResponse }

func (m RegistrationResponse) flagged() bool { return m.Rejected }

func (m Registration) appendBody(w *writer) {
	w.parameter(m.Handle)
	w.parameter(m.Element)
}

func (m RegistrationResponse) appendBody(w *writer) {
	w.handleAndPE(m.Handle, m.PE)
	w.errors(m.Errors)
}

func (m Deregistration) appendBody(w *writer) { w.handleAndPE(m.Handle, m.PE) }

func (m DeregistrationResponse) appendBody(w *writer) {
	w.handleAndPE(m.Handle, m.PE)
	w.errors(m.Errors)
}

// handleAndPE writes what names an element.
func (w *writer) handleAndPE(handle PoolHandle, pe PEIdentifier) {
	w.parameter(handle)
	w.parameter(pe)
}

// errors writes an Operation Error where there is one.
func (w *writer) errors(e OperationError) {
	if len(e) != 0 {
		w.parameter(e)
	}
}

func buildRegistration(p *parts) Message {
	return Registration{Handle: p.handle, Element: p.elements[0]} // its layout has exactly one
}

func buildRegistrationResponse(p *parts) Message {
	return RegistrationResponse{Rejected: p.flag, Handle: p.handle, PE: p.pe, Errors: p.errors}
}

func buildDeregistration(p *parts) Message { return Deregistration{Handle: p.handle, PE: p.pe} }

func buildDeregistrationResponse(p *parts) Message {
	return DeregistrationResponse{Handle: p.handle, PE: p.pe, Errors: p.errors}
}
