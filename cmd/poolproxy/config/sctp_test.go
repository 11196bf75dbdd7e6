package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/mapping"
)

// sctpText is a configuration of both sides over SCTP. What is in the pool, its element, the pool_user and the pool_element follows
// what must be there.
func sctpText(pool, element, user, server string) string {
	return fmt.Sprintf(`
pool "p" {
  mapping = "sctp"
  %s
  element "a" {
    address = "127.0.1.1:7001"
    %s
  }
}
pool_user "u" {
  listen = "127.0.0.1:5000"
  pool   = "p"
  protocol "http" {}
  %s
}
pool_element "a" {
  mapping = "sctp"
  listen  = "127.0.1.1:7001"
  server  = "127.0.0.1:8081"
  %s
}
`, pool, element, user, server)
}

func TestSCTP(t *testing.T) {
	l := loadText(t, sctpText(`udp_port = 9899`, `paths = ["127.0.2.1", "::1"]`, `local = ["127.0.0.9", "::1"]
associations = 2`, `paths = ["127.0.2.1", "::1"]
udp_port = 9899`))
	if len(l.Diagnostics) != 0 {
		t.Fatal(written(t, l, ""))
	}
	paths := []netip.Addr{netip.MustParseAddr("127.0.2.1"), netip.IPv6Loopback()}
	c := l.Config
	if p := c.Pools[0]; p.Mapping != mapping.SCTP || p.UDPPort != 9899 || !slices.Equal(p.Elements[0].Paths, paths) {
		t.Errorf("the pool is %+v", p)
	}
	if u := c.Users[0]; len(u.Local) != 2 || u.Local[0].String() != "127.0.0.9" || u.Associations != 2 {
		t.Errorf("the pool_user is %+v", u)
	}
	if e := c.Elements[0]; e.Mapping != mapping.SCTP || e.UDPPort != 9899 || !slices.Equal(e.Paths, paths) {
		t.Errorf("the pool_element is %+v", e)
	}
}

// A port of SCTP and one of TCP have nothing to do with each other.
func TestSCTPListensBesideTCP(t *testing.T) {
	text := strings.Replace(sctpText("", "", "", ""), "127.0.0.1:8081", "127.0.1.1:7001", 1)
	if l := loadText(t, text, `pool_element "b" {
  listen = "127.0.1.1:7001"
  server = "127.0.0.1:8082"
}`); len(l.Diagnostics) != 0 {
		t.Error(written(t, l, ""))
	}
}

func TestSCTPMistakes(t *testing.T) {
	for _, m := range []struct {
		name, text string
		has        []string
	}{
		{"tls of a pool", sctpText(`tls {}`, "", "", ""), []string{`"tls" is impossible with mapping sctp`, "IPsec", `mapping = "tcp"`, "at: tls"}},
		{"tls of a pool, before", strings.Replace(sctpText("", "", "", ""), "{", "{\ntls = 1", 1), []string{"IPsec", "at: tls"}},
		{"tls of an element of a pool", sctpText("", `tls {}`, "", ""), []string{"IPsec"}},
		{"tls of a pool_element", sctpText("", "", "", `tls {}`), []string{"IPsec"}},
		{"tls of a pool with tcp", minimal + poolBlockText(`"p"`, "tls {}\n"+`element "a" { address = "10.0.0.1:1" }`),
			[]string{`A tls block lacks`, `"cert"`, `"allow"`}},
		{"tls of a pool_element with tcp", minimal + element("b", "127.0.0.1:9002", `tls {}`), []string{`A tls block lacks`, `"key"`, `"ca"`}},

		{"paths with tcp", minimal + poolBlockText(`"p"`, "element \"a\" {\naddress = \"10.0.0.1:1\"\npaths = [\"10.0.0.2\"]\n}"),
			[]string{`"paths" is impossible without mapping sctp`}},
		{"paths of a pool_element with tcp", minimal + element("b", "127.0.0.1:9002", `paths = ["127.0.0.2"]`),
			[]string{`"paths" is impossible without mapping sctp`}},
		{"udp_port with tcp", minimal + poolBlockText(`"p"`, "udp_port = 1\nelement \"a\" { address = \"10.0.0.1:1\" }"),
			[]string{`"udp_port" is impossible without mapping sctp`}},
		{"udp_port of a pool_element with tcp", minimal + element("b", "127.0.0.1:9002", `udp_port = 9899`),
			[]string{`"udp_port" is impossible without mapping sctp`}},
		{"local with tcp", user(`protocol "http" {}`, `local = ["127.0.0.1"]`), []string{`"local" is impossible without mapping sctp`}},
		{"local without mapping", strings.Replace(user(`protocol "http" {}`, `local = ["127.0.0.1"]`), "\n", "\nmapping = \"none\"\n", 1),
			[]string{`"local" is impossible without mapping sctp`}},

		{"paths that are no list", sctpText("", `paths = "10.0.0.1"`, "", ""), []string{`"paths" must be a list`}},
		{"no paths", sctpText("", `paths = []`, "", ""), []string{`"paths" has 0 entries`, "1 to 15"}},
		{"many paths", sctpText("", `paths = [`+strings.Repeat(`"127.0.2.1", `, 16)+`]`, "", ""), []string{`"paths" has 16 entries`}},
		{"path with a port", sctpText("", `paths = ["127.0.2.1:7001"]`, "", ""), []string{`"127.0.2.1:7001" is not an IP address`, "no ports"}},
		{"path with a name", sctpText("", `paths = ["both.test"]`, "", ""), []string{`"both.test" is not an IP address`}},
		{"path of all", sctpText("", "", `local = ["0.0.0.0"]`, ""), []string{"0.0.0.0 cannot be a path"}},
		{"path of many", sctpText("", `paths = ["224.0.0.1"]`, "", ""), []string{"224.0.0.1 cannot be a path"}},
		{"path with a zone", sctpText("", `paths = ["fe80::1%lo"]`, "", ""), []string{"fe80::1%lo cannot be a path"}},
		{"path that is a number", sctpText("", `paths = [1]`, "", ""), []string{"must be a string"}},
		{"path twice", sctpText("", `paths = ["127.0.2.1", "127.0.2.1"]`, "", ""), []string{`127.0.2.1 is in "paths" twice`}},
		{"path twice, mapped", sctpText("", `paths = ["127.0.2.1", "::ffff:127.0.2.1"]`, "", ""), []string{`127.0.2.1 is in "paths" twice`}},
		{"path that is the address", sctpText("", `paths = ["127.0.1.1"]`, "", ""), []string{`127.0.1.1 is in "address" and in "paths"`}},
		{"path that is listened on", sctpText("", "", "", `paths = ["127.0.1.1"]`), []string{`127.0.1.1 is in "listen" and in "paths"`}},
		{"path of another element", sctpText(`element "b" { address = "127.0.2.1:7001" }`, `paths = ["127.0.2.1"]`, "", ""),
			[]string{`Two elements of pool "p" have the address 127.0.2.1:7001`}},
		{"path of another listener", sctpText("", "", "", `paths = ["127.0.2.1"]`) + strings.Replace(element("b", "127.0.2.1:7001", ""), "{", "{\nmapping = \"sctp\"", 1),
			[]string{`"b" cannot listen on 127.0.2.1:7001`}},
		{"local of another kind", sctpText("", `paths = ["::1"]`, `local = ["127.0.0.1"]`, ""),
			[]string{`No address of "local" reaches ::1 of element "a"`, "IPv6"}},
		{"udp_port", sctpText(`udp_port = 0`, "", "", ""), []string{`"udp_port" is out of range`, "from 1 to 65535"}},
	} {
		t.Run(m.name, func(t *testing.T) { checkMistake(t, m.text, m.has, true) })
	}
}

func TestSCTPWarnings(t *testing.T) {
	checkMistake(t, sctpText("", "", `local = ["192.0.2.77"]`, ""), []string{"192.0.2.77 is not an address of this machine"}, false)
	checkMistake(t, sctpText("", "", "", `paths = ["192.0.2.77"]`), []string{"can be reached from other machines"}, false)
	everywhere := strings.Replace(sctpText("", "", "", `paths = ["127.0.2.1"]`), `listen  = "127.0.1.1:7001"`, `listen = ":7001"`, 1)
	l := loadText(t, everywhere)
	if got := written(t, l, ""); !l.Failed() || !strings.Contains(got, `"paths" says nothing new`) {
		t.Error(got)
	}
}
