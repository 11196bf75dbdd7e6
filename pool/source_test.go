package pool

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

// at are elements with one letter each, at addresses that go with the letter.
func at(names string) (elements []Element) {
	for _, n := range names {
		elements = append(elements, Element{Name: string(n), Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 7001)})
	}
	return elements
}

func names(p *Pool) (s string) {
	for _, e := range p.States() {
		s += e.Name
	}
	return s
}

// Who stays keeps health and place, who is new is used at once, who is gone is not chosen any more.
func TestUpdate(t *testing.T) {
	p := New("p", RoundRobin, at("abc"))
	p.Failed(start, "a")
	if got := choices(p, start, 1); got != "b" {
		t.Fatal(got)
	}
	c := p.Update(at("dcad"))
	if !slices.Equal(c.Added, []string{"d"}) || !slices.Equal(c.Gone, []string{"b"}) || len(c.Moved) > 0 || c.None() {
		t.Errorf("%+v", c)
	}
	if got := choices(p, start, 4); got != "cdcd" { // a has failed, and the round goes on where it was
		t.Error(got)
	}
	if s := p.States()[0]; s.Name != "a" || s.Failures != 1 || !s.Retry.Equal(start.Add(FirstPause)) {
		t.Errorf("%+v", s)
	}
	if c := p.Update(at("cda")); !c.None() || names(p) != "acd" {
		t.Errorf("another order is no change: %+v %s", c, names(p))
	}
}

// The same name at another address is another element.
func TestUpdateMoved(t *testing.T) {
	p := New("p", RoundRobin, at("ab"))
	p.Failed(start, "a")
	p.Serves("b")
	before := p.Failures("a")
	elements := at("ab")
	elements[0].Address = netip.MustParseAddrPort("10.1.1.1:1")
	elements[1].Priority = 7
	if c := p.Update(elements); !slices.Equal(c.Moved, []string{"a"}) || len(c.Added)+len(c.Gone) > 0 {
		t.Errorf("%+v", c)
	}
	if s := p.States(); s[0].Failures != 0 || s[0].Address != elements[0].Address || s[1].Priority != 7 {
		t.Errorf("%+v", s)
	}
	if p.Failures("a") == before {
		t.Error("what was learned of the one before looks as if it were true of this one")
	}
	if p.Serves("b") {
		t.Error("b stands where it was: that it serves is known")
	}
	if e, ok := p.Element("a"); !ok || e.Address != elements[0].Address {
		t.Error(e, ok)
	}
	if e, ok := p.Element("c"); ok {
		t.Error(e)
	}
}

// Further addresses are those of the last update.
func TestPaths(t *testing.T) {
	p := New("p", Priority, at("ab"))
	a, b := p.elements[0].Address, p.elements[1].Address
	if p.Paths(a) != nil || p.Paths(netip.AddrPort{}) != nil {
		t.Error("there are none yet")
	}
	told := at("ba")
	told[0].Paths = []netip.Addr{netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.2.0.2")}
	p.Update(told)
	if got := p.Paths(b); !slices.Equal(got, told[0].Paths) || p.Paths(a) != nil {
		t.Error(got)
	}
	p.Update(at("a"))
	if got := p.Paths(b); got != nil {
		t.Error("it is gone, and has ", got)
	}
}

// The round survives that all is gone and comes again.
func TestUpdateEmpty(t *testing.T) {
	p := New("p", RoundRobin, at("abc"))
	choices(p, start, 2)
	p.Update(nil)
	if e, wait, ok := p.Choose(start); ok || wait <= 0 {
		t.Error(e, wait)
	}
	p.Update(at("xy"))
	if got := choices(p, start, 3); got != "xyx" {
		t.Error(got)
	}
}

// A source that fails takes nothing away, and how old the knowledge is can be told.
func TestLearn(t *testing.T) {
	p := New("p", RoundRobin, nil)
	p.Follow(start, silent{}, nil)
	down := errors.New("down")
	p.Learn(start.Add(time.Second), News{Err: down})
	if s := p.Standing(); !s.Told.IsZero() || s.Err != down || s.Age(start.Add(5*time.Second)) != 5*time.Second {
		t.Errorf("%+v", s)
	}
	told := start.Add(6 * time.Second)
	if c := p.Learn(told, News{Elements: at("ab")}); len(c.Added) != 2 {
		t.Errorf("%+v", c)
	}
	if c := p.Learn(told.Add(time.Minute), News{Err: down, Elements: at("z")}); !c.None() || names(p) != "ab" {
		t.Errorf("%+v %s", c, names(p))
	}
	if s := p.Standing(); s.Told != told || s.Err != down || s.Age(told.Add(time.Hour)) != time.Hour {
		t.Errorf("%+v", s)
	}
	p.Learn(told.Add(2*time.Hour), News{Elements: at("ab")})
	if s := p.Standing(); s.Err != nil || s.Age(told.Add(2*time.Hour)) != 0 {
		t.Errorf("%+v", s)
	}
}

// A source changes the pool while shards use it: run with -race.
func TestUpdateFromManyGoroutines(t *testing.T) {
	p := New("p", RoundRobin, at("abc"))
	var g sync.WaitGroup
	for n := range 4 {
		g.Go(func() {
			for i := range 200 {
				now := start.Add(time.Duration(i) * time.Millisecond)
				if n == 0 {
					p.Learn(now, News{Elements: at("abcde")[i%3:]})
				} else if e, _, ok := p.Choose(now); ok {
					p.Failed(now, e.Name)
					p.Serves(e.Name)
				}
				p.Standing()
				p.Element("d")
			}
		})
	}
	g.Wait()
	p.Update(at("abc"))
	for _, name := range "abc" {
		p.Alive(string(name))
	}
	if got := []byte(choices(p, start, 3)); len(slices.Compact(slices.Sorted(slices.Values(got)))) != 3 {
		t.Errorf("the round has %s", got)
	}
}

// What was said last is compared in all that an element has: what is not compared would not be taken.
func TestLearnSame(t *testing.T) {
	p := New("p", RoundRobin, nil)
	now := time.Unix(1, 0)
	told := at("ab")
	p.Learn(now, News{Elements: told})
	if c := p.Learn(now.Add(time.Second), News{Elements: at("ab")}); !c.None() || p.Standing().Told != now.Add(time.Second) {
		t.Errorf("%+v %+v", c, p.Standing())
	}
	for i := range reflect.TypeFor[Element]().NumField() {
		other := at("ab")
		f := reflect.ValueOf(&other[1]).Elem().Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString("another")
		case reflect.Uint32:
			f.SetUint(77)
		case reflect.Int64:
			f.SetInt(77)
		case reflect.Slice:
			other[1].Paths = []netip.Addr{netip.MustParseAddr("10.7.7.7")}
		default:
			other[1].Address = netip.MustParseAddrPort("10.7.7.7:7")
		}
		if p.Learn(now, News{Elements: other}); !p.States()[1].same(other[1]) {
			t.Errorf("another %s was not taken", reflect.TypeFor[Element]().Field(i).Name)
		}
		p.Learn(now, News{Elements: told})
	}
	p.Update(at("c")) // by others
	if c := p.Learn(now, News{Elements: told}); len(c.Added) != 2 {
		t.Errorf("%+v", c)
	}
}

// silent is a source that says nothing.
type silent struct{}

func (silent) Follow(string, func(News)) (stop func()) { return func() {} }
