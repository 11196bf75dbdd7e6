package asap

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTsharkAgrees has random messages of every type, with every optional part, read by tshark, and compares all fields that it knows, each
// occurrence in its order, with what was meant. So nothing that this package can write is read by nobody but itself.
func TestTsharkAgrees(t *testing.T) {
	const count = 600
	m := maker{rand.New(rand.NewPCG(1, 3863))}
	var meant []meaning
	var wires [][]byte
	for i := range count {
		d := Dialect{}
		if i%2 == 1 {
			d = RSPLIB()
		}
		x := m.message(MessageType(1+i/2%int(TypeError)), d)
		wire, err := d.Append(nil, x)
		if err != nil {
			t.Fatalf("%+v: %v", x, err)
		}
		w := meaning{}
		w.message(x, d)
		w.add("message_length", "%d", binary.BigEndian.Uint16(wire[2:]))
		wires, meant = append(wires, wire), append(meant, w)
	}
	fields := []string{"_ws.malformed", "_ws.expert.message"}
	for _, f := range tsharkFields {
		fields = append(fields, "asap."+f)
	}
	for i, row := range tshark(t, wires, fields...) {
		if row[0] != "" || row[1] != "" {
			t.Errorf("%x: tshark complains: %q", wires[i], row[:2])
		}
		for k, f := range tsharkFields {
			if want := strings.Join(meant[i][f], ","); !agrees(f, row[k+2], want) {
				t.Errorf("%x:\ntshark reads %s as %q, want %q", wires[i], f, row[k+2], want)
			}
		}
	}
}

// tsharkFields are all that tshark 4.0 reads of the messages and parameters that are tested here.
var tsharkFields = []string{
	"message_type", "message_flags", "message_length", "r_bit", "h_bit", "server_identifier", "pool_handle_pool_handle", "pe_identifier",
	"pool_element_pe_identifier", "pool_element_home_enrp_server_identifier", "pool_element_registration_life", "ipv4_address", "ipv6_address",
	"sctp_transport_port", "tcp_transport_port", "udp_transport_port", "udp_lite_transport_port", "dccp_transport_port",
	"dccp_transport_service_code", "transport_use", "pool_member_selection_policy_type", "pool_member_selection_policy_weight",
	"pool_member_selection_policy_priority", "pool_member_selection_policy_load", "pool_member_selection_policy_degradation", "cookie",
	"hropt_items", "cause_code", "parameter_type",
}

// agrees compares what tshark has read with what was meant. It shows loads in per cent, with some digits.
func agrees(field, got, want string) bool {
	if field != "pool_member_selection_policy_load" && field != "pool_member_selection_policy_degradation" || got == "" || want == "" {
		return got == want
	}
	g, w := strings.Split(got, ","), strings.Split(want, ",")
	for i := range g {
		x, err := strconv.ParseFloat(g[i], 64)
		if err != nil || i >= len(w) {
			return false
		}
		if y, _ := strconv.ParseFloat(w[i], 64); math.Abs(x-y) > 1e-6 {
			return false
		}
	}
	return len(g) == len(w)
}

// maker makes random messages.
type maker struct{ *rand.Rand }

func (m maker) bytes(most int) []byte {
	b := make([]byte, 1+m.IntN(most))
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

func (m maker) maybe() bool { return m.IntN(2) == 0 }

func (m maker) addresses(most int) (all []netip.Addr) {
	for range 1 + m.IntN(most) {
		if b := m.bytes(1); m.maybe() {
			all = append(all, netip.AddrFrom4([4]byte{192, 0, 2, b[0]}))
		} else {
			all = append(all, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: b[0], 15: 1}))
		}
	}
	return all
}

func (m maker) transport(d Dialect, kinds ...Protocol) Transport {
	t := Transport{Protocol: kinds[m.IntN(len(kinds))], Port: uint16(m.Uint32())}
	if t.Protocol == SCTP || t.Protocol == TCP && d.TCPUse {
		t.Use = TransportUse(m.IntN(2))
	}
	if t.Protocol == DCCP {
		t.Service = m.Uint32()
	}
	if t.Addresses = m.addresses(1); t.Protocol == SCTP {
		t.Addresses = m.addresses(4)
	}
	return t
}

func (m maker) policy() Policy {
	kinds := []PolicyType{RoundRobin, WeightedRoundRobin, Random, WeightedRandom, Priority, LeastUsed, LeastUsedDegradation, PriorityLeastUsed,
		RandomizedLeastUsed}
	p := Policy{Kind: kinds[m.IntN(len(kinds))]}
	fields, _ := p.words()
	for _, f := range fields {
		*f = m.Uint32()
	}
	return p
}

func (m maker) element(d Dialect) PoolElement {
	unit, _ := d.life()
	e := PoolElement{ID: PEIdentifier(m.Uint32()), Home: m.Uint32(), Life: time.Duration(m.Int32()) * unit,
		User: m.transport(d, SCTP, TCP, UDP, UDPLite, DCCP), Policy: m.policy()}
	if m.maybe() {
		e.Life = Infinite
	}
	if m.maybe() {
		e.ASAP = ptr(m.transport(d, SCTP))
	}
	return e
}

func (m maker) elements(d Dialect) (all []PoolElement) {
	for range 1 + m.IntN(4) {
		all = append(all, m.element(d))
	}
	return all
}

// errors has causes whose information tshark does not take apart into what is compared here.
func (m maker) errors() (e OperationError) {
	codes := []CauseCode{CauseUnspecified, CauseNonUniquePE, CauseLackOfResources, CauseInconsistentTransportUse, CauseUnknownPoolHandle, CauseSecurity}
	for range 1 + m.IntN(3) {
		e = append(e, Cause{Code: codes[m.IntN(len(codes))]})
	}
	return e
}

func (m maker) message(kind MessageType, d Dialect) Message {
	handle, pe := PoolHandle(m.bytes(32)), PEIdentifier(m.Uint32())
	var errors OperationError
	var policy *Policy
	if m.maybe() {
		errors = m.errors()
	}
	if m.maybe() {
		policy = ptr(m.policy())
	}
	switch kind {
	case TypeRegistration:
		return Registration{Handle: handle, Element: m.element(d)}
	case TypeRegistrationResponse:
		return RegistrationResponse{Rejected: m.maybe(), Handle: handle, PE: pe, Errors: errors}
	case TypeDeregistration:
		return Deregistration{Handle: handle, PE: pe}
	case TypeDeregistrationResponse:
		return DeregistrationResponse{Handle: handle, PE: pe, Errors: errors}
	case TypeHandleResolution:
		return HandleResolution{Updates: m.maybe(), Handle: handle, Items: uint32(m.IntN(3))}
	case TypeHandleResolutionResponse:
		if errors != nil {
			return HandleResolutionResponse{Handle: handle, Errors: errors}
		}
		return HandleResolutionResponse{Updates: m.maybe(), Handle: handle, Policy: policy, Elements: m.elements(d)}
	case TypeEndpointKeepAlive:
		k := EndpointKeepAlive{Home: m.maybe(), Server: m.Uint32(), Handle: handle}
		if m.maybe() {
			k.PE = &pe
		}
		return k
	case TypeEndpointKeepAliveAck:
		return EndpointKeepAliveAck{Handle: handle, PE: pe}
	case TypeEndpointUnreachable:
		return EndpointUnreachable{Handle: handle, PE: pe}
	case TypeServerAnnounce:
		a := ServerAnnounce{Server: m.Uint32()}
		for range m.IntN(4) {
			a.Transports = append(a.Transports, m.transport(d, SCTP, TCP))
		}
		return a
	case TypeCookie:
		return CookieMessage{Cookie: m.bytes(40)}
	case TypeCookieEcho:
		return CookieEcho{Cookie: m.bytes(40)}
	case TypeBusinessCard:
		return BusinessCard{Handle: handle, Policy: policy, Elements: m.elements(d)}
	}
	return ErrorMessage{Errors: m.errors()}
}

// meaning is what tshark should read, by its fields.
type meaning map[string][]string

func (w meaning) add(field, format string, value any) {
	w[field] = append(w[field], fmt.Sprintf(format, value))
}

func (w meaning) parameter(p ParameterType) { w.add("parameter_type", "0x%04x", uint16(p)) }

func (w meaning) message(x Message, d Dialect) {
	w.add("message_type", "%d", x.Type())
	flags := 0
	if x.flagged() {
		flags = 1
	}
	w.add("message_flags", "0x%02x", flags)
	switch x := x.(type) {
	case Registration:
		w.handle(x.Handle)
		w.element(x.Element, d)
	case RegistrationResponse:
		w.add("r_bit", "%d", flags)
		w.handle(x.Handle)
		w.pe(x.PE)
		w.errors(x.Errors)
	case Deregistration:
		w.handle(x.Handle)
		w.pe(x.PE)
	case DeregistrationResponse:
		w.handle(x.Handle)
		w.pe(x.PE)
		w.errors(x.Errors)
	case HandleResolution:
		w.handle(x.Handle)
		if x.Items != 0 {
			w.parameter(ParameterResolutionOption)
			w.add("hropt_items", "%d", x.Items)
		}
	case HandleResolutionResponse:
		w.handle(x.Handle)
		w.pool(x.Policy, x.Elements, d)
		w.errors(x.Errors)
	case EndpointKeepAlive:
		w.add("h_bit", "%d", flags)
		w.add("server_identifier", "0x%08x", x.Server)
		w.handle(x.Handle)
		if x.PE != nil {
			w.pe(*x.PE)
		}
	default:
		w.rest(x, d)
	}
}

func (w meaning) rest(x Message, d Dialect) {
	switch x := x.(type) {
	case EndpointKeepAliveAck:
		w.handle(x.Handle)
		w.pe(x.PE)
	case EndpointUnreachable:
		w.handle(x.Handle)
		w.pe(x.PE)
	case ServerAnnounce:
		w.add("server_identifier", "0x%08x", x.Server)
		for _, to := range x.Transports {
			w.transport(to, d)
		}
	case CookieMessage:
		w.cookie(x.Cookie)
	case CookieEcho:
		w.cookie(x.Cookie)
	case BusinessCard:
		w.handle(x.Handle)
		w.pool(x.Policy, x.Elements, d)
	case ErrorMessage:
		w.errors(x.Errors)
	}
}

func (w meaning) handle(h PoolHandle) {
	w.parameter(ParameterPoolHandle)
	w.add("pool_handle_pool_handle", "%s", hex.EncodeToString(h))
}

func (w meaning) pe(id PEIdentifier) {
	w.parameter(ParameterPEIdentifier)
	w.add("pe_identifier", "0x%08x", uint32(id))
}

func (w meaning) cookie(c Cookie) {
	w.parameter(ParameterCookie)
	w.add("cookie", "%s", hex.EncodeToString(c))
}

func (w meaning) errors(e OperationError) {
	if len(e) == 0 {
		return
	}
	w.parameter(ParameterOperationError)
	for _, c := range e {
		w.add("cause_code", "0x%04x", uint16(c.Code))
	}
}

func (w meaning) pool(p *Policy, elements []PoolElement, d Dialect) {
	if p != nil {
		w.policy(*p)
	}
	for _, e := range elements {
		w.element(e, d)
	}
}

func (w meaning) policy(p Policy) {
	w.parameter(ParameterPolicy)
	w.add("pool_member_selection_policy_type", "0x%08x", uint32(p.Kind))
	for name, of := range map[string][]PolicyType{
		"weight":      {WeightedRoundRobin, WeightedRandom},
		"priority":    {Priority},
		"load":        {LeastUsed, LeastUsedDegradation, PriorityLeastUsed, RandomizedLeastUsed},
		"degradation": {LeastUsedDegradation, PriorityLeastUsed},
	} {
		for _, kind := range of {
			if kind == p.Kind {
				w.value(p, name)
			}
		}
	}
}

func (w meaning) value(p Policy, name string) {
	const field, full = "pool_member_selection_policy_", math.MaxUint32
	switch name {
	case "weight":
		w.add(field+name, "%d", p.Weight)
	case "priority":
		w.add(field+name, "%d", p.Priority)
	case "load":
		w.add(field+name, "%.9f", 100*float64(p.Load)/full)
	case "degradation":
		w.add(field+name, "%.9f", 100*float64(p.Degradation)/full)
	}
}

func (w meaning) element(e PoolElement, d Dialect) {
	w.parameter(ParameterPoolElement)
	w.add("pool_element_pe_identifier", "0x%08x", uint32(e.ID))
	w.add("pool_element_home_enrp_server_identifier", "0x%08x", e.Home)
	unit, _ := d.life()
	life := int32(-1)
	if e.Life != Infinite {
		life = int32(e.Life / unit)
	}
	w.add("pool_element_registration_life", "%d", life)
	w.transport(e.User, d)
	w.policy(e.Policy)
	if e.ASAP != nil {
		w.transport(*e.ASAP, d)
	}
}

func (w meaning) transport(to Transport, d Dialect) {
	w.parameter(to.Type())
	port := map[Protocol]string{SCTP: "sctp", TCP: "tcp", UDP: "udp", UDPLite: "udp_lite", DCCP: "dccp"}[to.Protocol] + "_transport_port"
	w.add(port, "%d", to.Port)
	if to.Protocol == SCTP || to.Protocol == TCP {
		w.add("transport_use", "%d", to.Use)
	}
	if to.Protocol == DCCP {
		w.add("dccp_transport_service_code", "%d", to.Service)
	}
	for _, a := range to.Addresses {
		w.parameter(Address{a}.Type())
		w.add(map[bool]string{true: "ipv4_address", false: "ipv6_address"}[a.Is4()], "%v", a)
	}
}
