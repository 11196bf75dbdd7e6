package registrar

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
)

// A pool that is followed is resolved again and again; what is asked and what is told.
func TestFollow(t *testing.T) {
	g := newRig(t, 1, nil)
	news := g.follow()
	home := g.home()
	g.expect(home, "at once", whoIsNews)
	g.says(home, answer(ourElement()))
	want := []pool.News{{Policy: ptr(pool.RoundRobin), // what is not told is that
		Elements: []pool.Element{{Name: "0x11223344", Mapping: "sctp", Weight: 1, Address: ours.Element.Address, Paths: ours.Element.Paths}}}}
	if !reflect.DeepEqual(*news, want) {
		t.Fatalf("told %+v", *news)
	}
	g.pass(DefaultInterval - 1)
	g.expect(home, "before it is stale")
	g.pass(1)
	g.expect(home, "stale", whoIsNews)
	g.says(home, answer(ourElement()))
	g.says(home, answer(ourElement())) // an update that nobody has asked for (RFC 5352 §2.2.6)
	if len(*news) != 3 {
		t.Errorf("told %d times", len(*news))
	}
	for kind, want := range map[asap.PolicyType]*pool.Policy{asap.Random: ptr(pool.Random), 0xb0001001: nil} {
		m := answer(ourElement())
		m.Policy = &asap.Policy{Kind: kind}
		g.says(home, m)
		if got := (*news)[len(*news)-1].Policy; !reflect.DeepEqual(got, want) {
			t.Errorf("of a pool with %v it tells policy %v, want %v", kind, got, want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// T1-ENRPrequest: it is asked again, while another registrar is looked for; after MAX-REQUEST-RETRANSMIT that is told.
func TestResolutionTimeout(t *testing.T) {
	g := newRig(t, 2, nil)
	news := g.follow()
	home := g.home()
	home.take()
	g.pass(15*time.Second - 1)
	g.expect(home, "before T1")
	g.pass(1)
	g.expect(home, "T1", whoIsNews)
	other := g.last(1)[0]
	if other.link.remote != server(2) || len(g.ends) != 3 {
		t.Fatal("no other one is tried")
	}
	g.pass(30 * time.Second)
	if n := *news; len(n) == 0 || !errors.Is(n[len(n)-1].Err, pool.ErrSourceDown) {
		t.Fatalf("told %v", n)
	}
	other = g.last(1)[0]
	g.up(other)
	if !home.closed {
		t.Error("the association that does not answer stays, though nothing is registered over it")
	}
	*news = nil
	g.pass(DefaultInterval)
	g.expect(other, "there it is asked", whoIsNews)
	g.says(other, answer(ourElement()))
	if n := *news; len(n) != 1 || n[0].Err != nil {
		t.Errorf("told %v", n)
	}
}

// If all others refuse, the slow one has its time.
func TestSlowRegistrar(t *testing.T) {
	g := newRig(t, 3, nil)
	news := g.follow()
	home := g.home()
	g.pass(15 * time.Second)
	g.down(g.last(2)[0])
	g.down(g.last(1)[0])
	if g.r.home != home.link || len(*news) > 0 || g.r.hunt.on {
		t.Fatalf("home %v, told %v, hunting %v", g.r.home, *news, g.r.hunt.on)
	}
	g.says(home, answer(ourElement()))
	if n := *news; len(n) != 1 || n[0].Err != nil {
		t.Errorf("told %v", n)
	}
}

// A registrar that is found while the answer is awaited is asked at once.
func TestResolutionMoves(t *testing.T) {
	g := newRig(t, 2, nil)
	g.follow()
	home := g.home()
	g.pass(15 * time.Second)
	other := g.last(1)[0]
	g.up(other)
	g.expect(other, "at once", whoIsNews)
	g.down(other)
	if g.r.home != nil {
		t.Error("home is what has gone")
	}
	g.says(home, answer(ourElement())) // nothing but an answer of one that was closed
}

// A pool that does not exist is an error, until that is believed.
func TestUnknownPool(t *testing.T) {
	for _, empty := range []time.Duration{0, time.Minute} {
		g := newRig(t, 1, func(c *Config) { c.Empty = empty })
		news := g.follow()
		home := g.home()
		ask := func() pool.News {
			g.says(home, unknown)
			n := (*news)[len(*news)-1]
			g.pass(DefaultInterval)
			return n
		}
		begin := g.now
		for g.now.Sub(begin) < time.Minute {
			if n := ask(); !errors.Is(n.Err, pool.ErrUnknownPool) {
				t.Fatalf("after %v: %+v", g.now.Sub(begin), n)
			}
		}
		if n := ask(); (n.Err == nil) != (empty > 0) || len(n.Elements) > 0 {
			t.Errorf("empty %v: %+v", empty, n)
		}
		g.says(home, answer(ourElement()))
		g.pass(DefaultInterval)
		if n := ask(); n.Err == nil {
			t.Error("after an answer it is believed at once")
		}
	}
}

// A failed element is reported, once a second at most, and what has become of the pool is asked behind that.
func TestReport(t *testing.T) {
	g := newRig(t, 1, nil)
	g.r.report(g.now, "orders", ourID) // nobody is there to be told
	g.follow()
	home := g.home()
	g.says(home, answer(ourElement()))
	home.take()
	report := asap.EndpointUnreachable{Handle: handle, PE: ourID}
	for range 10 {
		g.r.report(g.now, "orders", ourID)
	}
	g.expect(home, "reported", report, whoIsNews)
	g.says(home, answer(ourElement()))
	g.r.report(g.now, "orders", ourID+1)
	g.expect(home, "another one", asap.EndpointUnreachable{Handle: handle, PE: ourID + 1}, whoIsNews)
	g.r.report(g.now, "other", ourID)
	g.expect(home, "of another pool", asap.EndpointUnreachable{Handle: asap.PoolHandle("other"), PE: ourID})
	g.says(home, answer(ourElement()))
	g.pass(reportPause)
	g.r.report(g.now, "orders", ourID)
	g.expect(home, "again", report, whoIsNews)
	for i := range asap.PEIdentifier(2 * mostReported) {
		g.r.report(g.now, "orders", i)
	}
	if len(g.r.reported) > mostReported {
		t.Errorf("%d are remembered", len(g.r.reported))
	}
}

// Whoever asks gets an answer that is not older than the question.
func TestRefresh(t *testing.T) {
	g := newRig(t, 1, nil)
	var answers []error
	refresh := func() {
		g.r.refresh(g.now, "orders", func(_ []asap.PoolElement, err error) { answers = append(answers, err) })
	}
	refresh()
	home := g.home()
	g.expect(home, "asked", whoIs)
	refresh()
	g.expect(home, "one question at a time")
	g.says(home, unknown)
	if len(answers) != 1 || !errors.Is(answers[0], pool.ErrUnknownPool) {
		t.Fatalf("%v", answers)
	}
	g.expect(home, "then the second", whoIs)
	g.says(home, answer(ourElement()))
	if len(answers) != 2 || answers[1] != nil {
		t.Fatalf("%v", answers)
	}
	if g.pass(time.Hour); len(g.r.pools) > 0 {
		t.Error("the pool is not forgotten")
	}
	g.expect(home, "nobody asks any more")
	g.down(home)
	refresh()
	g.down(g.last(1)[0])
	if len(answers) != 3 || !errors.Is(answers[2], pool.ErrSourceDown) {
		t.Errorf("%v", answers)
	}
}

// What elements are made of.
func TestElements(t *testing.T) {
	at := netip.MustParseAddr("10.1.0.1")
	pe := func(id asap.PEIdentifier, p asap.Policy, to asap.Transport) asap.PoolElement {
		if to.Port == 0 {
			to.Port = 7001
		}
		if to.Addresses == nil {
			to.Addresses = []netip.Addr{at}
		}
		return asap.PoolElement{ID: id, Policy: p, User: to}
	}
	weights := asap.Policy{Kind: asap.WeightedRandom}
	m := asap.HandleResolutionResponse{Handle: handle, Policy: &weights, Elements: []asap.PoolElement{
		pe(1, asap.Policy{Kind: asap.WeightedRandom, Weight: 7}, asap.Transport{Protocol: asap.SCTP}),
		pe(2, asap.Policy{Kind: asap.WeightedRandom, Weight: 0}, asap.Transport{Protocol: asap.TCP, Use: asap.DataPlusControl}),
		pe(3, asap.Policy{Kind: asap.Random}, asap.Transport{Protocol: asap.TCP}),
		pe(4, weights, asap.Transport{Protocol: asap.UDP}),
		pe(5, weights, asap.Transport{Protocol: asap.SCTP, Addresses: []netip.Addr{netip.IPv4Unspecified()}}),
	}}
	e := func(name, mapping string, weight uint32) pool.Element {
		return pool.Element{Name: name, Address: netip.AddrPortFrom(at, 7001), Mapping: mapping, Weight: weight}
	}
	for _, c := range []struct {
		d    asap.Dialect
		want []pool.Element
	}{
		{asap.RSPLIB(), []pool.Element{e("0x00000001", "sctp", 7), e("0x00000002", "tcp", 0), e("0x00000003", "none", 0)}},
		{asap.Dialect{}, []pool.Element{e("0x00000001", "sctp", 7), e("0x00000002", "", 0), e("0x00000003", "", 0)}},
	} {
		if got, left, err := elementsOf(m, c.d); len(left) != 2 || err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	m.Policy = &asap.Policy{Kind: 0xb0001001} // a private one
	if got, _, err := elementsOf(m, asap.RSPLIB()); err != nil || len(got) != 3 || got[0].Weight != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	m.Elements = make([]asap.PoolElement, MaxElements+1)
	if _, _, err := elementsOf(m, asap.RSPLIB()); err == nil {
		t.Error("too many elements are taken")
	}
}

// Names and identifiers.
func TestIdentifier(t *testing.T) {
	id := func(name, mapping string) asap.PEIdentifier {
		return Identifier("orders", pool.Element{Name: name, Mapping: mapping})
	}
	for _, want := range []asap.PEIdentifier{1, 0x11223344, 0xffffffff} {
		if got := id(Name(want), "sctp"); got != want {
			t.Errorf("%v is %v", want, got)
		}
	}
	seen := map[asap.PEIdentifier]string{}
	for _, name := range []string{"a", "b", "0x1", "0x00000000", "0xzzzzzzzz", ""} {
		for _, m := range []string{"tcp", "sctp"} {
			n := id(name, m)
			if other, twice := seen[n]; twice || n == 0 {
				t.Errorf("%q over %s: %v, as %s", name, m, n, other)
			}
			seen[n] = name + " " + m
		}
	}
}
