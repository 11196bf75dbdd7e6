package mapping_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/mapping/mappingtest"
)

// needSCTP skips where the kernel has no SCTP: test/sctplab runs these tests on one that has.
func needSCTP(t *testing.T) {
	if err := (mapping.SCTPMapping{}).Supported(); err != nil {
		t.Skipf("%v; test/sctplab runs this on a kernel that has it", err)
	}
}

func TestSCTPReal(t *testing.T) {
	needSCTP(t)
	mappingtest.Conformance(t, func(t *testing.T) *mappingtest.Env {
		e := mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{})(t)
		e.Bytes, e.Overtaking, e.KernelAcks, e.Beat = false, true, true, 250*time.Millisecond
		return e
	})
}

// Ten thousand messages each way, of 1 byte to 1 MiB, over 100 streams: every one whole, and in order on its stream.
func TestSCTPManyMessages(t *testing.T) {
	needSCTP(t)
	mappingtest.Flood(t, mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{}), 10_000, 100, 1<<20)
}

// Native peers have no sidecars: the same messages without introductions.
func TestSCTPNativeMessages(t *testing.T) {
	needSCTP(t)
	native := mapping.SCTPMapping{Native: true}
	mappingtest.Flood(t, mappingtest.Real(native, native), 1_000, 10, 1<<20)
}

// A peer that has not learned our rules, or lies, is told off: the association ends with ErrProtocol, another one does not notice.
func TestSCTPStranger(t *testing.T) {
	needSCTP(t)
	hello := mapping.Message{PPID: mapping.PPIDControl, Data: []byte{1, 1}}
	control := func(b ...byte) mapping.Message { return mapping.Message{PPID: mapping.PPIDControl, Data: b} }
	mappingtest.Strangers(t, mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{}), mapping.SCTPMapping{Native: true}, map[string][]mapping.Message{
		"data before the introduction": {{PPID: mapping.PPIDEnd, Data: []byte("data")}},
		"another version":              {control(1, 9)},
		"two introductions":            {hello, hello},
		"an unknown control message":   {hello, control(77)},
		"a short heartbeat":            {hello, control(2, 1, 2)},
		"an answer to no question":     {hello, control(3, 0, 0, 0, 0, 0, 0, 0, 1)},
		"two first messages":           {hello, control(5, 0, 0, 0, 1, 'a'), control(5, 0, 0, 0, 1, 'b')},
		"too much without a first one": {hello, {PPID: mapping.PPIDEnd, Data: make([]byte, 1<<20)}, {PPID: mapping.PPIDEnd, Data: make([]byte, 1<<20)}},
	})
}

// What SCTP can and TCP cannot (draft §6.1.2): a message may pass the others, and one may be given up.
func TestSCTPUnorderedAndLifetime(t *testing.T) {
	needSCTP(t)
	mappingtest.Lifetimes(t, mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{}))
}

// While reading is paused the kernel keeps what comes, and then the peer waits: nothing is lost, and nothing grows here.
func TestSCTPPauses(t *testing.T) {
	needSCTP(t)
	native := mapping.SCTPMapping{Native: true}
	for name, m := range map[string]mapping.SCTPMapping{"sidecar": {}, "native": native} {
		t.Run(name, func(t *testing.T) { mappingtest.Pauses(t, mappingtest.Real(m, m)) })
	}
}

// What the kernel says of acknowledgements is taken for what it is, without another message that would have it say more.
func TestSCTPAcknowledged(t *testing.T) {
	needSCTP(t)
	native := mapping.SCTPMapping{Native: true}
	for name, m := range map[string]mapping.SCTPMapping{"sidecar": {}, "native": native} {
		t.Run(name, func(t *testing.T) { mappingtest.Acknowledged(t, mappingtest.Real(m, m)) })
	}
}

// A host with many addresses (a node of Kubernetes has thousands) listens on all of them, and tells them all to its peers.
func TestSCTPHostOfManyAddresses(t *testing.T) {
	needSCTP(t)
	if all, err := net.InterfaceAddrs(); err != nil || len(all) < 100 {
		t.Skipf("this host has %d addresses, not 100 (%v); test/sctplab runs this on one that has", len(all), err)
	}
	x := mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{})(t)
	user, element := &end{}, &end{}
	var at netip.AddrPort
	x.Element.Do(func() {
		l, err := mapping.SCTPMapping{}.Listen(x.Element.Loop, netip.MustParseAddrPort("0.0.0.0:0"), beats, func(a mapping.Association) mapping.Handler {
			element.a = a
			return element
		})
		if err != nil {
			t.Error(err)
			return
		}
		at = netip.AddrPortFrom(nowhere.Addr(), l.Addr().Port())
	})
	if !at.IsValid() {
		t.FailNow()
	}
	x.User.Do(func() { user.a = mapping.SCTPMapping{}.Dial(x.User.Loop, at, beats, user) })
	if !x.Element.Await(func() bool { return element.ups == 1 }, 30*time.Second) || !x.User.Await(func() bool { return user.ups == 1 }, 10*time.Second) {
		t.Fatalf("it is not up: %v, %v", user.err, element.err)
	}
	for side, a := range map[*mappingtest.Side]mapping.Association{x.User: user.a, x.Element: element.a} {
		side.Do(func() {
			if paths := a.(mapping.Pather).Paths(); !a.Remote().IsValid() || !a.Local().IsValid() || len(paths) < 2 {
				t.Errorf("from %v to %v, %d paths", a.Local(), a.Remote(), len(paths))
			}
		})
	}
}

// An association that is dialled from where one listens shows its peer where to begin one itself. Nobody else may listen there.
func TestSCTPFromWhereItListens(t *testing.T) {
	needSCTP(t)
	x := mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{})(t)
	anywhere := netip.MustParseAddrPort("127.0.0.1:0")
	shared := mapping.SCTPMapping{Native: true, Shared: true}
	dialled, found, asked, answers := &end{}, &end{}, &end{}, &end{}
	listen := func(side *mappingtest.Side, m mapping.SCTPMapping, e *end) (at netip.AddrPort) {
		side.Do(func() {
			l, err := m.Listen(side.Loop, anywhere, beats, func(a mapping.Association) mapping.Handler {
				e.a = a
				return e
			})
			if err != nil {
				t.Error(err)
				return
			}
			at = l.Addr()
		})
		return at
	}
	user, element := listen(x.User, shared, answers), listen(x.Element, mapping.SCTPMapping{Native: true}, found)
	if t.Failed() {
		return
	}
	x.User.Do(func() {
		dialled.a = mapping.SCTPMapping{Native: true, From: user}.Dial(x.User.Loop, element, beats, dialled)
		if _, err := (mapping.SCTPMapping{Native: true}).Listen(x.User.Loop, user, beats, nil); err == nil {
			t.Error("somebody else listens there, too")
		}
	})
	var from netip.AddrPort
	if !x.Element.Await(func() bool {
		if found.ups == 1 {
			from = found.a.Remote()
		}
		return found.ups == 1
	}, 30*time.Second) {
		t.Fatalf("it is not up: %v", dialled.err)
	}
	if from != user {
		t.Errorf("it comes from %v, not from %v", from, user)
	}
	x.Element.Do(func() {
		asked.a = mapping.SCTPMapping{Native: true}.Dial(x.Element.Loop, from, beats, asked)
	})
	if !x.User.Await(func() bool { return answers.ups == 1 }, 30*time.Second) {
		t.Fatalf("nobody answers there: %v", asked.err)
	}
}
