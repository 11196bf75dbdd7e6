package proxy

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/pool"
)

// filled makes a value of the type in which nothing is zero that diff can compare: with one entry in each list.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t {
	case reflect.TypeFor[netip.AddrPort]():
		return reflect.ValueOf(netip.MustParseAddrPort("192.0.2.1:7"))
	case reflect.TypeFor[netip.Addr]():
		return reflect.ValueOf(netip.MustParseAddr("192.0.2.1"))
	case reflect.TypeFor[netip.Prefix]():
		return reflect.ValueOf(netip.MustParsePrefix("192.0.2.1/32"))
	case reflect.TypeFor[*regexp.Regexp]():
		return reflect.ValueOf(regexp.MustCompile("a"))
	}
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if key := t.Name() + "." + t.Field(i).Name; t.Field(i).IsExported() && (settings[key].not == "" || settings[key].not == apart) {
				v.Field(i).Set(filled(t.Field(i).Type))
			}
		}
	case reflect.Slice:
		v.Set(reflect.Append(v, filled(t.Elem())))
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(filled(t.Elem()))
	case reflect.String:
		v.SetString("some text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	}
	return v
}

// spot is where a value of the configuration is: how to come to it, and by which field of which type.
type spot struct {
	path  string
	key   string // "User.Listen"
	reach func(*Config) reflect.Value
}

// spots lists all values that have no parts.
func spots(at spot, t reflect.Type) (all []spot) {
	within := func(name string, in reflect.Type, step func(reflect.Value) reflect.Value) {
		reach := at.reach
		all = append(all, spots(spot{at.path + name, at.key, func(c *Config) reflect.Value { return step(reach(c)) }}, in)...)
	}
	switch {
	case t == reflect.TypeFor[*regexp.Regexp]() || one(t):
		return []spot{at}
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			reach := at.reach
			all = append(all, spots(spot{at.path + "." + f.Name, t.Name() + "." + f.Name, func(c *Config) reflect.Value { return reach(c).Field(i) }}, f.Type)...)
		}
	case t.Kind() == reflect.Slice && settings[at.key].not != "" && settings[at.key].not != apart, t.Kind() == reflect.Pointer && settings[at.key].not != "":
		return []spot{at}
	case t.Kind() == reflect.Slice:
		within("[0]", t.Elem(), func(v reflect.Value) reflect.Value { return v.Index(0) })
		all = append(all, spot{at.path + " one more", at.key, at.reach})
	case t.Kind() == reflect.Pointer:
		within("*", t.Elem(), reflect.Value.Elem)
		all = append(all, spot{at.path + " none", at.key, at.reach})
	default:
		return []spot{at}
	}
	return all
}

// other puts another value in the place.
func other(p spot, v reflect.Value) {
	switch {
	case strings.HasSuffix(p.path, " one more"):
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		return
	case strings.HasSuffix(p.path, " none"):
		v.SetZero()
		return
	}
	switch v.Interface().(type) {
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("192.0.2.2:8")))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.2")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.0/24")))
		return
	case *regexp.Regexp:
		v.Set(reflect.ValueOf(regexp.MustCompile("b")))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("another text")
	case reflect.Bool:
		v.SetBool(false)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(2)
	default:
		v.SetUint(2)
	}
}

func sampleConfig() Config { return filled(reflect.TypeFor[Config]()).Interface().(Config) }

func allSpots() []spot {
	return spots(spot{reach: func(c *Config) reflect.Value { return reflect.ValueOf(c).Elem() }}, reflect.TypeFor[Config]())
}

// Every value of the configuration, those that will be added, too, is compared, or it is said in settings why not. What is compared
// shows as one change, and only elements of pools are no reason for a restart.
func TestDiffKnowsAllFields(t *testing.T) {
	if changes := diff(sampleConfig(), sampleConfig()); len(changes) > 0 {
		t.Fatal("of the same configuration, read twice: ", changes)
	}
	compared := 0
	for _, p := range allSpots() {
		if s := settings[p.key]; s.not != "" && s.not != apart {
			continue
		}
		old, changed := sampleConfig(), sampleConfig()
		v := p.reach(&changed)
		if !v.CanSet() {
			t.Errorf("%s is neither compared nor named in settings: diff cannot see it", p.path)
			continue
		}
		switch v.Kind() {
		case reflect.Interface, reflect.Func, reflect.Map, reflect.Chan:
			t.Errorf("%s, a %s, cannot be compared: name it in settings, and compare what says which one it is", p.path, v.Type())
			continue
		}
		other(p, v)
		compared++
		checkChanges(t, p, diff(old, changed))
	}
	if compared < 80 {
		t.Errorf("only %d values were compared", compared)
	}
	there := map[string]bool{}
	for _, of := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[DNS](), reflect.TypeFor[Log](), reflect.TypeFor[Limits](), reflect.TypeFor[Pool](),
		reflect.TypeFor[User](), reflect.TypeFor[Callback](), reflect.TypeFor[Element](), reflect.TypeFor[Register](), reflect.TypeFor[HealthCheck](), reflect.TypeFor[TLS](),
		reflect.TypeFor[Admin](), reflect.TypeFor[EndTLS](), reflect.TypeFor[Traces](), reflect.TypeFor[Rehearsal]()} {
		for i := range of.NumField() {
			there[of.Name()+"."+of.Field(i).Name] = true
		}
	}
	for key := range settings {
		if !there[key] {
			t.Errorf("settings name %s, which there is not", key)
		}
	}
}

func checkChanges(t *testing.T, p spot, changes []change) {
	elements := p.key == "Pool.Elements" || strings.HasPrefix(p.key, "Element.") && strings.HasPrefix(p.path, ".Pools[0].Elements")
	want := 1
	if p.key == "Pool.Handle" || p.key == "User.Name" || p.key == "Element.Name" && strings.HasPrefix(p.path, ".Elements") {
		want = 2 // a new one, and one that is gone
	}
	if len(changes) != want {
		t.Errorf("%s: %v, not %d changes", p.path, changes, want)
	}
	for _, c := range changes {
		if (c.pool != nil) != elements {
			t.Errorf("%s: %v: to be done while running: %v", p.path, c, c.pool != nil)
		}
		if text := c.String(); strings.Contains(text, "\n") || strings.TrimSpace(text) == "changed" {
			t.Errorf("%s: %q", p.path, text)
		}
	}
}

// What is said of a change names the block and the setting as they are written, and the values, but no secrets.
func TestDiffTells(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   []string
	}{
		{func(c *Config) { c.Users[0].Listen = netip.MustParseAddrPort("127.0.0.1:5001") },
			[]string{`pool_user "some text" listen changed from 192.0.2.1:7 to 127.0.0.1:5001`}},
		{func(c *Config) { c.Users[0].Memory = 7 }, []string{`pool_user "some text" retrieval.memory changed from 1 to 7`}},
		{func(c *Config) { c.Users[0].Failover.Deadline = 2e9 }, []string{`pool_user "some text" failover.deadline changed from 1ns to 2s`}},
		{func(c *Config) { c.Users[0].ProtocolDigest = "x" }, []string{`pool_user "some text" protocol changed`}},
		{func(c *Config) { c.Users[0].Callbacks[0].Digest = "x" }, []string{`pool_user "some text" failover.callback 1.block changed`}},
		{func(c *Config) { c.Users[0].Callbacks = nil }, []string{`pool_user "some text" failover.callback changed from 1 to 0`}},
		{func(c *Config) { c.Pools[0].Policy = pool.Random }, []string{`pool "some text" policy changed from priority to random`}},
		{func(c *Config) { c.Pools[0].Native = false }, []string{`pool "some text" peer changed from native to sidecar`}},
		{func(c *Config) { c.Admin.Unix = "/run/x" }, []string{`admin.listen changed from unix:some text to unix:/run/x`}},
		{func(c *Config) { c.Admin = Admin{TokenFile: c.Admin.TokenFile, TLS: c.Admin.TLS} }, []string{`admin.listen changed from unix:some text to off`}},
		{func(c *Config) { c.Admin.Unix, c.Admin.Listen = "", netip.MustParseAddrPort("127.0.0.1:7") },
			[]string{`admin.listen changed from unix:some text to 127.0.0.1:7`}},
		{func(c *Config) { c.Metrics.Statsd = netip.AddrPort{} }, []string{`metrics.statsd changed from 192.0.2.1:7 to none`}},
		{func(c *Config) { c.Elements[0].CookieKey = []byte("secret") }, []string{`pool_element "some text" cookie_key_file changed`}},
		{func(c *Config) { c.Elements[0].Health.Send = []byte("AUTH secret\r\n") }, []string{`pool_element "some text" health_check.send changed`}},
		{func(c *Config) { c.Elements[0].Health.Exec = []string{"/check", "-password=secret"} }, []string{`pool_element "some text" health_check.exec changed`}},
		{func(c *Config) { c.Elements[0].FenceExec = []string{"/fence", "-password=secret"} }, []string{`pool_element "some text" fence_exec changed`}},
		{func(c *Config) { c.Users[0].Callbacks[0].Exec[0] = "secret" }, []string{`pool_user "some text" failover.callback 1.exec changed`}},
		{func(c *Config) { c.Elements[0].Register[0].LoadExec[0] = "secret" }, []string{`pool_element "some text" register 1.load_exec changed`}},
		{func(c *Config) { c.Elements[0].Health = nil }, []string{`pool_element "some text" health_check changed from given to none`}},
		{func(c *Config) { c.Elements[0].Health.Expect = regexp.MustCompile("^ok") },
			[]string{`pool_element "some text" health_check.expect changed from "a" to "^ok"`}},
		{func(c *Config) { c.Users = nil }, []string{`pool_user "some text" is gone`}},
		{func(c *Config) { c.Users = append(c.Users, User{Name: "two"}) }, []string{`pool_user "two" is new`}},
		{func(c *Config) { c.Log.JSON, c.Grace = false, 2 }, []string{"log.format changed from json to text", "grace changed from 1ns to 2ns"}},
	} {
		changed := sampleConfig()
		c.change(&changed)
		var got []string
		for _, x := range diff(sampleConfig(), changed) {
			got = append(got, x.String())
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// The order of blocks and of elements is no difference: they are known by their names.
func TestDiffOrder(t *testing.T) {
	make := func(order ...int) (c Config) {
		for _, i := range order {
			name := fmt.Sprint(i)
			c.Users, c.Elements = append(c.Users, User{Name: name}), append(c.Elements, Element{Name: name})
			c.Pools = append(c.Pools, Pool{Handle: name, Elements: []pool.Element{{Name: fmt.Sprint(order[0])}, {Name: fmt.Sprint(order[1])}}})
		}
		return c
	}
	if changes := diff(make(1, 2), make(2, 1)); len(changes) > 0 {
		t.Error(changes)
	}
}

// Elements are added, gone, moved, or have other values.
func TestDiffElements(t *testing.T) {
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port) }
	old := Config{Pools: []Pool{{Handle: "p", Elements: []pool.Element{
		{Name: "stays", Address: at(1)}, {Name: "moves", Address: at(2)}, {Name: "goes", Address: at(3)}, {Name: "weighs", Address: at(4), Weight: 1},
		{Name: "paths", Address: at(5)}}}}}
	changed := Config{Pools: []Pool{{Handle: "p", Elements: []pool.Element{
		{Name: "comes", Address: at(3)}, {Name: "stays", Address: at(1)}, {Name: "moves", Address: at(6)}, {Name: "weighs", Address: at(4), Weight: 2},
		{Name: "paths", Address: at(5), Paths: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}}}}}
	changes := diff(old, changed)
	if len(changes) != 1 || changes[0].pool == nil {
		t.Fatal(changes)
	}
	got := changes[0].pool
	want := &poolChange{handle: "p", elements: changed.Pools[0].Elements,
		Change: pool.Change{Valued: []string{"weighs"}, Added: []string{"comes"}, Gone: []string{"goes"}, Moved: []string{"moves", "paths"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
