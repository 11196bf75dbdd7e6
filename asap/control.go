package asap

import "fmt"

// CookieMessage is ASAP_COOKIE: an element gives a pool user its state to keep; the newest counts (RFC 5352 §2.2.11, §3.8).
type CookieMessage struct {
	unflagged
	unruled
	Cookie Cookie
}

// CookieEcho hands the newest cookie to the element that takes over, before anything else (RFC 5352 §2.2.12, §3.8).
type CookieEcho struct {
	unflagged
	unruled
	Cookie Cookie
}

// BusinessCard tells a peer which pool one belongs to, and in which order its elements should be tried (RFC 5352 §2.2.13,
// §3.9).
type BusinessCard struct {
	unflagged
	Handle PoolHandle
	// Policy is rsplib's, which puts one between the handle and the elements. The RFC has none: nil.
	Policy   *Policy
	Elements []PoolElement // at least one, the preferred first
}

// ErrorMessage is ASAP_ERROR: it reports what was wrong with a message (RFC 5352 §2.2.14). Dialect.Parse says when to send one.
type ErrorMessage struct {
	unflagged
	unruled
	Errors OperationError
}

func (CookieMessage) Type() MessageType { return TypeCookie }
func (CookieEcho) Type() MessageType    { return TypeCookieEcho }
func (BusinessCard) Type() MessageType  { return TypeBusinessCard }
func (ErrorMessage) Type() MessageType  { return TypeError }

func (m BusinessCard) check() error {
	if len(m.Elements) == 0 {
		return fmt.Errorf("%w (RFC 5352 §2.2.13)", missing(ParameterPoolElement))
	}
	return nil
}

func (m CookieMessage) appendBody(w *writer) { w.parameter(m.Cookie) }
func (m CookieEcho) appendBody(w *writer)    { w.parameter(m.Cookie) }

func (m BusinessCard) appendBody(w *writer) {
	w.parameter(m.Handle)
	w.policyAndElements(m.Policy, m.Elements)
}

func (m ErrorMessage) appendBody(w *writer) { w.parameter(m.Errors) }

func buildCookie(p *parts) Message     { return CookieMessage{Cookie: p.cookie} }
func buildCookieEcho(p *parts) Message { return CookieEcho{Cookie: p.cookie} }

func buildBusinessCard(p *parts) Message {
	return BusinessCard{Handle: p.handle, Policy: p.policy, Elements: p.elements}
}

func buildError(p *parts) Message { return ErrorMessage{Errors: p.errors} }
