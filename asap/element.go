package asap

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Infinite is the Registration Life of an element that is never to be forgotten.
const Infinite time.Duration = -1

// PoolElement is an element of a pool, as it registers and as it is named to pool users (RFC 5354 §3.10).
type PoolElement struct {
	ID     PEIdentifier
	Home   uint32        // its registrar; 0: undetermined
	Life   time.Duration // whole seconds, or whole milliseconds in a dialect that has them; or Infinite
	User   Transport     // where it serves
	Policy Policy        // its part in the pool's policy
	ASAP   *Transport    // where it speaks ASAP, over SCTP. Registrars fill it in for each other (RFC 5352 §3.1); else nil
}

// elementFields is how many bytes of plain fields a Pool Element has.
const elementFields = 12

func (PoolElement) Type() ParameterType { return ParameterPoolElement }

func (e PoolElement) check(d Dialect) error {
	if e.ASAP != nil && e.ASAP.Protocol != SCTP {
		return fmt.Errorf("%w: %v as ASAP Transport; ASAP is spoken over SCTP (RFC 5354 §3.10)", ErrValue, e.ASAP.Type())
	}
	unit, most := d.life()
	if e.Life == Infinite || e.Life >= 0 && e.Life <= most && e.Life%unit == 0 {
		return nil
	}
	return fmt.Errorf("%w: Registration Life %v; it is %v to %v in steps of %v, or infinite (RFC 5354 §3.10)",
		ErrValue, e.Life, time.Duration(0), most, unit)
}

// life is what one unit of Registration Life is, and the longest that is not infinite.
func (d Dialect) life() (unit, most time.Duration) {
	if d.LifeMilliseconds {
		return time.Millisecond, (math.MaxUint32 - 1) * time.Millisecond
	}
	return time.Second, math.MaxInt32 * time.Second
}

func (e PoolElement) appendValue(w *writer) {
	w.u32(uint32(e.ID))
	w.u32(e.Home)
	unit, _ := w.dialect.life()
	life := uint32(math.MaxUint32)
	if e.Life != Infinite {
		life = uint32(e.Life / unit)
	}
	w.u32(life)
	w.parameter(e.User)
	w.parameter(e.Policy)
	if e.ASAP != nil {
		w.parameter(*e.ASAP)
	}
}

func (r *reader) element(t tlv) (PoolElement, error) {
	v, err := r.atLeast(t, elementFields)
	if err != nil {
		return PoolElement{}, err
	}
	e := PoolElement{ID: PEIdentifier(binary.BigEndian.Uint32(v)), Home: binary.BigEndian.Uint32(v[4:]), Life: Infinite}
	if life := binary.BigEndian.Uint32(v[8:]); life != math.MaxUint32 {
		unit, _ := r.dialect.life()
		e.Life = time.Duration(life) * unit // more than most if the sign is set, which check refuses
	}
	var seen parameterSet
	err = r.each(t.at+headerSize+elementFields, t.end, func(p tlv) error { return r.addToElement(&e, &seen, p) })
	if err != nil {
		return PoolElement{}, err
	}
	switch {
	case !transports.has(e.User.Type()):
		return PoolElement{}, fmt.Errorf("byte %d: %v: %w: User Transport (RFC 5354 §3.10)", t.at, t.kind, ErrMissing)
	case !seen.has(ParameterPolicy):
		return PoolElement{}, fmt.Errorf("byte %d: %v: %w (RFC 5354 §3.10)", t.at, t.kind, missing(ParameterPolicy))
	}
	return e, r.judge(t, e)
}

// addToElement takes a parameter of a Pool Element. The first transport is the user's, and a second one ASAP's, wherever the
// policy stands.
func (r *reader) addToElement(e *PoolElement, seen *parameterSet, p tlv) error {
	switch {
	case p.kind == ParameterPolicy && !seen.has(ParameterPolicy):
		policy, err := r.policy(p)
		e.Policy = policy
		*seen |= setOf(ParameterPolicy)
		return err
	case !transports.has(p.kind) || e.ASAP != nil:
		return misplaced(p, "in Pool Element; it holds a transport, a policy, and perhaps an ASAP Transport (RFC 5354 §3.10)")
	}
	transport, err := r.transport(p)
	if err != nil {
		return err
	}
	if e.User.Protocol == 0 {
		e.User = transport
	} else {
		e.ASAP = &transport
	}
	return nil
}

// ServerInformation says where a registrar is (RFC 5354 §3.11). Only ENRP uses it.
type ServerInformation struct {
	ID        uint32
	Transport Transport // SCTP
}

func (ServerInformation) Type() ParameterType { return ParameterServerInformation }

func (s ServerInformation) check(Dialect) error {
	if s.Transport.Protocol != SCTP {
		return fmt.Errorf("%w: %v; a registrar is reached over SCTP (RFC 5354 §3.11)", ErrValue, s.Transport.Type())
	}
	return nil
}

func (s ServerInformation) appendValue(w *writer) {
	w.u32(s.ID)
	w.parameter(s.Transport)
}

func (r *reader) server(t tlv) (ServerInformation, error) {
	v, err := r.atLeast(t, 4)
	if err != nil {
		return ServerInformation{}, err
	}
	s := ServerInformation{ID: binary.BigEndian.Uint32(v)}
	err = r.each(t.at+headerSize+4, t.end, func(p tlv) error {
		if !transports.has(p.kind) || s.Transport.Protocol != 0 {
			return misplaced(p, "in Server Information; it holds one transport (RFC 5354 §3.11)")
		}
		transport, err := r.transport(p)
		s.Transport = transport
		return err
	})
	switch {
	case err != nil:
		return ServerInformation{}, err
	case s.Transport.Protocol == 0:
		return ServerInformation{}, fmt.Errorf("byte %d: %v: %w (RFC 5354 §3.11)", t.at, t.kind, missing(ParameterSCTPTransport))
	}
	return s, r.judge(t, s)
}
