package asap

import (
	"encoding/binary"
	"fmt"
)

// PolicyType is the number of a pool's policy (RFC 5356 §7.1). Bit 31: private; bit 30: adaptive, elements tell their load.
type PolicyType uint32

const (
	RoundRobin           PolicyType = 0x00000001 // RFC 5356 §4.1; what a pool has that names none
	WeightedRoundRobin   PolicyType = 0x00000002 // §4.2
	Random               PolicyType = 0x00000003 // §4.3
	WeightedRandom       PolicyType = 0x00000004 // §4.4
	Priority             PolicyType = 0x00000005 // §4.5
	LeastUsed            PolicyType = 0x40000001 // §5.1
	LeastUsedDegradation PolicyType = 0x40000002 // §5.2
	PriorityLeastUsed    PolicyType = 0x40000003 // §5.3
	RandomizedLeastUsed  PolicyType = 0x40000004 // §5.4
)

func (t PolicyType) String() string {
	switch t {
	case RoundRobin:
		return "round_robin"
	case WeightedRoundRobin:
		return "weighted_round_robin"
	case Random:
		return "random"
	case WeightedRandom:
		return "weighted_random"
	case Priority:
		return "priority"
	case LeastUsed:
		return "least_used"
	case LeastUsedDegradation:
		return "least_used_degradation"
	case PriorityLeastUsed:
		return "priority_least_used"
	case RandomizedLeastUsed:
		return "randomized_least_used"
	}
	return fmt.Sprintf("policy 0x%08x", uint32(t))
}

// Policy is a Pool Member Selection Policy (RFC 5354 §3.8, RFC 5356 §4, §5). Only the fields of its type are written; the
// others are zero in what was parsed.
type Policy struct {
	Kind        PolicyType
	Weight      uint32 // WeightedRoundRobin, WeightedRandom: relative; 0 is no service
	Priority    uint32 // Priority: more is better
	Load        uint32 // adaptive ones: 0xffffffff is 100 %
	Degradation uint32 // LeastUsedDegradation, PriorityLeastUsed: load that one more user adds
	Data        []byte // types that are not known here: all behind the type
}

func (Policy) Type() ParameterType { return ParameterPolicy }

// words are the fields of a policy in the order of the wire. known is false for types that this package does not know.
func (p *Policy) words() (fields []*uint32, known bool) {
	switch p.Kind {
	case RoundRobin, Random:
		return nil, true
	case WeightedRoundRobin, WeightedRandom:
		return []*uint32{&p.Weight}, true
	case Priority:
		return []*uint32{&p.Priority}, true
	case LeastUsed, RandomizedLeastUsed:
		return []*uint32{&p.Load}, true
	case LeastUsedDegradation, PriorityLeastUsed:
		return []*uint32{&p.Load, &p.Degradation}, true
	}
	return nil, false
}

func (p Policy) check(Dialect) error {
	if p.Kind == 0 || p.Kind == 0x40000000 {
		return fmt.Errorf("%w: %v; the number 0 is no policy's (RFC 5356 §7.1)", ErrValue, p.Kind)
	}
	return checkOpaque(p.Data)
}

func (p Policy) appendValue(w *writer) {
	w.u32(uint32(p.Kind))
	fields, known := p.words()
	for _, f := range fields {
		w.u32(*f)
	}
	if !known {
		w.bytes(p.Data)
	}
}

func (r *reader) policy(t tlv) (Policy, error) {
	v, err := r.atLeast(t, 4)
	if err != nil {
		return Policy{}, err
	}
	p := Policy{Kind: PolicyType(binary.BigEndian.Uint32(v))}
	v = v[4:]
	fields, known := p.words()
	if !known {
		p.Data = v
		return p, r.judge(t, p)
	}
	if len(v) != 4*len(fields) {
		return Policy{}, fmt.Errorf("byte %d: %v: %w: %d; of %v it is %d (RFC 5356 §4, §5)",
			t.at, t.kind, ErrLength, t.end-t.at, p.Kind, 8+4*len(fields))
	}
	for i, f := range fields {
		*f = binary.BigEndian.Uint32(v[4*i:])
	}
	return p, nil
}
