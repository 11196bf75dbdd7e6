package registrar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// Name is what an element is called that others have registered: ASAP has a number for it.
func Name(id asap.PEIdentifier) string { return fmt.Sprintf("0x%08x", uint32(id)) }

// Identifier is the number that an element has in its pool. RFC 5352 §3.1 wants one by chance; here it follows from the element's name, and
// the mapping, so that an element which begins anew takes its old place, and two with the same name are noticed. A name that is such a
// number, as Name writes it, is that number.
func Identifier(handle string, e pool.Element) asap.PEIdentifier {
	if digits, is := strings.CutPrefix(e.Name, "0x"); is && len(digits) == 8 {
		if id, err := strconv.ParseUint(digits, 16, 32); err == nil && id != 0 {
			return asap.PEIdentifier(id)
		}
	}
	h := fnv.New64a()
	for _, s := range []string{handle, e.Name, e.Mapping} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		h.Write([]byte(s)) // a hash takes all
	}
	sum := h.Sum64()
	return asap.PEIdentifier(max(uint32(sum>>32)^uint32(sum), 1)) // rsplib takes no 0
}

// toASAP is the element as it registers. The error is that of one that can never be.
func toASAP(reg pool.Registration, life time.Duration, d asap.Dialect) (asap.PoolElement, error) {
	e := &reg.Element
	if n := len(reg.Handle); n == 0 || n > MaxHandle {
		return asap.PoolElement{}, fmt.Errorf("registrar: a pool handle has 1 to %d bytes, %.100q has %d", MaxHandle, reg.Handle, n)
	}
	policy, err := e.Tell(reg.Policy)
	if err != nil {
		return asap.PoolElement{}, fmt.Errorf("registrar: pool %q, element %.100q: %w", reg.Handle, e.Name, err)
	}
	to := asap.Transport{Protocol: asap.TCP, Port: e.Address.Port(), Addresses: []netip.Addr{e.Address.Addr().Unmap()}}
	switch e.Mapping {
	case mapping.None.String():
	case mapping.TCP.String():
		if d.TCPUse { // else ASAP cannot tell it from none
			to.Use = asap.DataPlusControl
		}
	case mapping.SCTP.String():
		to.Protocol, to.Use = asap.SCTP, asap.DataPlusControl
		for _, path := range e.Paths {
			to.Addresses = append(to.Addresses, path.Unmap())
		}
	default:
		return asap.PoolElement{}, fmt.Errorf("registrar: pool %q, element %.100q: it is reached by no mapping that ASAP can tell: %q",
			reg.Handle, e.Name, e.Mapping)
	}
	made := asap.PoolElement{ID: Identifier(reg.Handle, *e), Life: life, User: to, Policy: policy}
	if e.Address.Port() == 0 || e.Address.Addr().Unmap().IsUnspecified() {
		return asap.PoolElement{}, fmt.Errorf("registrar: pool %q, element %.100q: nobody can reach %v", reg.Handle, e.Name, e.Address)
	}
	if _, err := d.Append(nil, asap.Registration{Handle: asap.PoolHandle(reg.Handle), Element: made}); err != nil {
		return asap.PoolElement{}, fmt.Errorf("registrar: pool %q, element %.100q: %w", reg.Handle, e.Name, err)
	}
	return made, nil
}

// elementsOf are the elements that a registrar names, each once. Those that cannot be reached by any of our mappings are left.
func elementsOf(m asap.HandleResolutionResponse, d asap.Dialect) (elements []pool.Element, left []asap.PEIdentifier, err error) {
	switch {
	case causes(m.Errors).has(asap.CauseUnknownPoolHandle):
		return nil, nil, fmt.Errorf("registrar: pool %q: %w", m.Handle, pool.ErrUnknownPool)
	case len(m.Errors) > 0:
		return nil, nil, fmt.Errorf("registrar: pool %q: the registrar says: %v", m.Handle, m.Errors)
	case len(m.Elements) > MaxElements:
		return nil, nil, fmt.Errorf("registrar: pool %q has %d elements, more than %d", m.Handle, len(m.Elements), MaxElements)
	}
	policy, policyErr := pool.PolicyOf(m.Policy)
	elements, named := make([]pool.Element, 0, len(m.Elements)), make(map[asap.PEIdentifier]bool, len(m.Elements))
	for i := range m.Elements {
		id := m.Elements[i].ID
		if named[id] {
			continue
		}
		named[id] = true
		e, ok := fromASAP(&m.Elements[i], d)
		if !ok {
			left = append(left, id)
			continue
		}
		if policyErr == nil { // else it is one that we do not know: the elements are still good
			_ = e.Take(policy, m.Elements[i].Policy) // one that differs from its pool has no values
		}
		if !slices.Contains(policy.Needs(), "weight") {
			e.Weight = 1
		}
		elements = append(elements, e)
	}
	return elements, left, nil
}

// fromASAP is where an element is.
func fromASAP(from *asap.PoolElement, d asap.Dialect) (e pool.Element, ok bool) {
	to := &from.User
	switch {
	case to.Protocol == asap.SCTP:
		e.Mapping = mapping.SCTP.String()
	case to.Protocol != asap.TCP:
		return e, false
	case !d.TCPUse: // it is one of the two
	case to.Use == asap.DataPlusControl:
		e.Mapping = mapping.TCP.String()
	default:
		e.Mapping = mapping.None.String()
	}
	var reached []netip.Addr
	for _, a := range to.Addresses {
		linked := a.Is6() && a.IsLinkLocalUnicast() // ASAP does not say on which link
		if a = a.Unmap(); !a.IsUnspecified() && !a.IsMulticast() && !linked {
			reached = append(reached, a)
		}
	}
	if len(reached) == 0 || to.Port == 0 {
		return e, false
	}
	e.Name, e.Address = Name(from.ID), netip.AddrPortFrom(reached[0], to.Port)
	if e.Paths = reached[1:]; len(e.Paths) == 0 {
		e.Paths = nil
	}
	return e, true
}

// sameTransport reports whether an element that a registrar names could be ours: the registrar may know of fewer addresses.
func sameTransport(named, our asap.Transport) bool {
	return named.Protocol == our.Protocol && named.Port == our.Port &&
		slices.ContainsFunc(named.Addresses, func(at netip.Addr) bool { return slices.Contains(our.Addresses, at.Unmap()) })
}

// Causes of rsplib's own (rserpool-errors).
const (
	causeProtocolDiffers asap.CauseCode = 0x100a // the transport's protocol differs from the pool's
	causeNoAddress       asap.CauseCode = 0xf007 // no address of the element's is of use
	causeNotAssociated   asap.CauseCode = 0xf008 // none is one of the association's
)

type causes asap.OperationError

func (c causes) has(codes ...asap.CauseCode) bool {
	return slices.ContainsFunc(c, func(one asap.Cause) bool { return slices.Contains(codes, one.Code) })
}

// rejection is the error of a registration that was refused.
func rejection(handle, name string, why asap.OperationError) error {
	c, err := causes(why), error(nil)
	hint := ""
	switch {
	case c.has(asap.CauseNonUniquePE):
		err = pool.ErrDuplicate
	case c.has(asap.CauseInconsistentPolicy, asap.CauseInconsistentTransport, asap.CauseInconsistentTransportUse, causeProtocolDiffers):
		err = pool.ErrInconsistent
	case c.has(causeNoAddress, causeNotAssociated):
		hint = ": the element's address is none of those from which this host registers it (listen)"
		fallthrough
	default:
		err = errors.New("refused")
	}
	said := why.String()
	if len(why) == 0 {
		said = "no reason"
	}
	return fmt.Errorf("registrar: pool %q, element %.100q: %w: the registrar says: %s%s", handle, name, err, said, hint)
}
