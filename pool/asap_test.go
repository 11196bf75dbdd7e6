package pool

import (
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/asap"
)

// answer is what comes back of a handle resolution response that has been on the wire.
func answer(t *testing.T, m asap.HandleResolutionResponse) asap.HandleResolutionResponse {
	t.Helper()
	b, err := asap.Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := asap.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.(asap.HandleResolutionResponse)
}

// A pool of every policy goes over the wire as a handle resolution response and comes back the same, with the values that its policy has.
func TestOverTheWire(t *testing.T) {
	for _, policy := range Standard() {
		elements := sized(policy, 3).elements
		elements[2].Load, elements[2].Weight, elements[2].Priority, elements[2].Degradation = math.MaxUint32, 0, math.MaxUint32, math.MaxUint32
		where := asap.Transport{Protocol: asap.SCTP, Port: 1, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
		m := asap.HandleResolutionResponse{Handle: asap.PoolHandle("p")}
		for i, e := range elements {
			told, err := e.Tell(policy)
			if err != nil || told.Kind.String() != policy.String() {
				t.Fatalf("%v: %+v, %v", policy, told, err)
			}
			m.Policy = &told
			m.Elements = append(m.Elements, asap.PoolElement{ID: asap.PEIdentifier(i + 1), Life: asap.Infinite, User: where, Policy: told})
		}
		m = answer(t, m)
		if got, err := PolicyOf(m.Policy); got != policy || err != nil {
			t.Errorf("%v, %v, not %v", got, err, policy)
		}
		for i, told := range m.Elements {
			want := Element{Name: elements[i].Name}
			for _, name := range policy.Needs() { // "load" is the field Load
				field := strings.ToUpper(name[:1]) + name[1:]
				value := reflect.ValueOf(elements[i].Element).FieldByName(field)
				reflect.ValueOf(&want).Elem().FieldByName(field).Set(value)
			}
			got := Element{Name: elements[i].Name}
			if err := got.Take(policy, told.Policy); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v: %+v, %v, not %+v", policy, got, err, want)
			}
		}
	}
}

func TestPoliciesOfOthers(t *testing.T) {
	if p, err := PolicyOf(nil); p != RoundRobin || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	for _, kind := range []asap.PolicyType{0, 6, 0x40000000, 0x40000005, 0xb0001001} {
		if p, err := PolicyOf(&asap.Policy{Kind: kind}); p != RoundRobin || !errors.Is(err, ErrNoPolicy) || !strings.Contains(err.Error(), kind.String()) {
			t.Errorf("%v: %v, %v", kind, p, err)
		}
	}
	e := Element{Name: "a", Weight: 3}
	err := e.Take(WeightedRandom, asap.Policy{Kind: asap.WeightedRoundRobin, Weight: 7})
	if !errors.Is(err, ErrInconsistent) || e.Weight != 3 || err.Error() != `element "a": weighted_round_robin, the pool has weighted_random: inconsistent pool policy` {
		t.Errorf("%v, %+v", err, e)
	}
	if err := e.Take(Application, asap.Policy{}); !errors.Is(err, ErrNoPolicy) {
		t.Error(err)
	}
	if _, err := e.Tell(Application); !errors.Is(err, ErrNoPolicy) {
		t.Error(err)
	}
}
