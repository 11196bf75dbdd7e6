package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/whence"
)

// transparentUser is a pool_user that listens at an address, with these lines in it.
func transparentUser(name, listen, lines string) string {
	return fmt.Sprintf("pool_user %q {\nlisten = %q\npool = \"web\"\nprotocol \"http\" {}\n%s\n}\n", name, listen, lines)
}

const linux = runtime.GOOS == "linux"

func TestAddressesOfClients(t *testing.T) {
	if !linux {
		t.Skip("transparent is an error on this system")
	}
	l := loadText(t, minimal+
		transparentUser("one", ":5000", `transparent = "redirect"
match = ["10.0.0.5:80", "10.1.0.0/16:6379", "10.2.0.0/16", "192.0.2.1", "2001:db8::1", "[2001:db8::2]:80", "[2001:db8:1::/48]:443", "0.0.0.0/0:1"]
proxy_protocol {
  trusted = ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::ffff:192.0.2.2"]
}`)+transparentUser("two", ":5000", "transparent = \"redirect\"\nmatch = [\"10.0.0.0/24:80\"]\nproxy_protocol {\n  trusted = [\"10.0.0.0/8\"]\n  timeout = \"1s\"\n}")+
		element("b", "127.0.0.1:9002", `send_proxy = "v1"`)+
		poolBlockText(`"direct"`, "mapping = \"none\"\nsend_proxy = \"v2\"\nelement \"x\" { address = \"10.0.0.9:80\" }"))
	if len(l.Diagnostics) > 0 {
		t.Fatal(l.Diagnostics)
	}
	network := netip.MustParsePrefix
	one, two := l.Config.Users[1], l.Config.Users[2]
	if want := []proxy.Match{{Network: network("10.0.0.5/32"), Port: 80}, {Network: network("10.1.0.0/16"), Port: 6379}, {Network: network("10.2.0.0/16")},
		{Network: network("192.0.2.1/32")}, {Network: network("2001:db8::1/128")}, {Network: network("2001:db8::2/128"), Port: 80},
		{Network: network("2001:db8:1::/48"), Port: 443}, {Network: network("0.0.0.0/0"), Port: 1}}; !reflect.DeepEqual(one.Match, want) {
		t.Errorf("match is %v", one.Match)
	}
	if one.Transparent != loop.Redirect || two.Transparent != loop.Redirect || one.Listen != two.Listen {
		t.Errorf("%v at %v, %v at %v", one.Transparent, one.Listen, two.Transparent, two.Listen)
	}
	if want := (&proxy.AcceptProxy{Trusted: []netip.Prefix{network("10.0.0.0/8"), network("192.0.2.1/32"), network("fd00::/8"), network("192.0.2.2/32")},
		Timeout: 3 * time.Second}); !reflect.DeepEqual(one.Accept, want) {
		t.Errorf("proxy_protocol is %v", one.Accept)
	}
	if two.Accept.Timeout != time.Second || l.Config.Users[0].Accept != nil {
		t.Errorf("%v, %v", two.Accept, l.Config.Users[0].Accept)
	}
	if l.Config.Elements[0].SendProxy != whence.None || l.Config.Elements[1].SendProxy != whence.V1 || l.Config.Pools[1].SendProxy != whence.V2 {
		t.Errorf("%v, %v, %v", l.Config.Elements[0].SendProxy, l.Config.Elements[1].SendProxy, l.Config.Pools[1].SendProxy)
	}
	for i, text := range []string{"10.0.0.5:80", "10.1.0.0/16:6379", "10.2.0.0/16", "192.0.2.1", "2001:db8::1", "[2001:db8::2]:80", "[2001:db8:1::/48]:443", "0.0.0.0/0:1"} {
		if one.Match[i].String() != text {
			t.Errorf("%s is written %s", text, one.Match[i])
		}
	}
}

func TestMistakesOfAddresses(t *testing.T) {
	redirect := func(match string) string {
		return minimal + transparentUser("x", ":5000", `transparent = "redirect"`+"\nmatch = "+match)
	}
	accept := func(lines string) string {
		return minimal + transparentUser("x", ":5000", "proxy_protocol {\n"+lines+"\n}")
	}
	for _, m := range []struct {
		name, text string
		has        []string
	}{
		{"match alone", minimal + transparentUser("x", ":5000", `match = ["10.0.0.5:80"]`), []string{`"match" has no effect without transparent`}},
		{"transparent alone", minimal + transparentUser("x", ":5000", `transparent = "redirect"`), []string{`"match" is missing`, "10.0.0.5:80", `at: "redirect"`}},
		{"the way", minimal + transparentUser("x", ":5000", `transparent = "tprox"`), []string{`"transparent" cannot be "tprox"`, `Did you mean "tproxy"?`}},
		{"a name", redirect(`["web:80"]`), []string{`"web:80" is no address or network`}},
		{"no port", redirect(`["10.0.0.5:0"]`), []string{`"0" is not a port`}},
		{"a named port", redirect(`["10.0.0.5:http"]`), []string{`"http" is not a port`}},
		{"not a network", redirect(`["10.0.0.5/8:80"]`), []string{"that is the network 10.0.0.0/8"}},
		{"IPv6 without brackets", redirect(`["2001:db8::/32:80"]`), []string{"is no address or network", "[2001:db8::/32]:443"}},
		{"no matches", redirect(`[]`), []string{`"match" has 0 entries`}},
		{"one twice", redirect(`["10.0.0.5:80", "10.0.0.5/32:80"]`), []string{"10.0.0.5:80 is in two matches", `at: "10.0.0.5/32:80"`}},
		{"two have one", redirect(`["10.0.0.5:80"]`) + transparentUser("y", ":5000", "transparent = \"redirect\"\nmatch = [\"10.0.0.5:80\"]"),
			[]string{"10.0.0.5:80 is in two matches of one listener", `pool_user "x"`}},
		{"two ways at one address", redirect(`["10.0.0.5:80"]`) + transparentUser("y", ":5000", ""), []string{`cannot listen on [::]:5000`, `The pool_user "x" listens there`}},
		{"trusted is missing", accept(`timeout = "1s"`), []string{`"trusted" is missing`}},
		{"nobody is trusted", accept(`trusted = []`), []string{`"trusted" has 0 entries`}},
		{"a name is trusted", accept(`trusted = ["lb.example.org"]`), []string{`"lb.example.org" is not a network`, "10.0.0.0/8"}},
		{"not that network", accept(`trusted = ["10.0.0.1/8"]`), []string{"that is the network 10.0.0.0/8"}},
		{"IPv4 in IPv6 clothes", accept(`trusted = ["::ffff:10.0.0.0/104"]`), []string{"write it as IPv4"}},
		{"no time", accept("trusted = [\"10.0.0.0/8\"]\ntimeout = \"0s\""), []string{"from 10ms to 1m"}},
		{"everybody is trusted", accept(`trusted = ["0.0.0.0/0"]`), []string{"believes everybody's PROXY protocol header"}},
		{"a header from the pool", minimal + poolBlockText(`"p"`, "send_proxy = \"v2\"\nelement \"x\" { address = \"10.0.0.1:1\" }"),
			[]string{`"send_proxy" belongs to the pool_element`, "mapping tcp", `at: "v2"`}},
		{"a header for native elements", minimal + poolBlockText(`"p"`, "mapping = \"sctp\"\npeer = \"native\"\nsend_proxy = \"v2\"\nelement \"x\" { address = \"10.0.0.1:1\" }"),
			[]string{`"send_proxy" is impossible with native elements`}},
		{"a header of version 3", minimal + element("b", "127.0.0.1:9002", `send_proxy = "v3"`), []string{`"send_proxy" cannot be "v3"`, `Did you mean "v1"?`}},
	} {
		t.Run(m.name, func(t *testing.T) {
			if !linux && m.name != "match alone" {
				t.Skip("transparent is an error of its own on this system")
			}
			checkMistake(t, m.text, m.has, m.name != "everybody is trusted")
		})
	}
}
