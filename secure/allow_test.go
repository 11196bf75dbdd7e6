package secure

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "a.example.org": true, "*.example.org": true, "A-1_b.test": true,
		"spiffe://example.org/a": true, "spiffe://example.org/a/*": true, "spiffe://example.org/*": true,
		"": false, "*": false, "*.org": false, "a..b": false, ".a": false, "a.*.org": false, "a.org.": false, "a b": false, "10.0.0.1:1": false,
		"spiffe://": false, "spiffe:///a": false, "spiffe://*/a": false, "spiffe://example.org/*/a": false, "spiffe://example.org/a*": false,
		"spiffe://example.org/a?b": false, "http://[": false, strings.Repeat("a", 64): false, strings.Repeat("a.", 200) + "a": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func certOf(t testing.TB, names ...string) *x509.Certificate {
	c := &x509.Certificate{}
	for _, n := range names {
		if u, err := url.Parse(n); err == nil && u.Scheme != "" {
			c.URIs = append(c.URIs, u)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	return c
}

func TestIdentity(t *testing.T) {
	for _, x := range []struct {
		allow Allow
		names []string
		want  string
	}{
		{Allow{"a.test"}, []string{"a.test"}, "a.test"},
		{Allow{"A.test"}, []string{"a.TEST"}, "a.test"},
		{Allow{"*.test.org"}, []string{"a.test.org"}, "a.test.org"},
		{Allow{"*.test.org"}, []string{"a.b.test.org"}, ""},
		{Allow{"*.test.org"}, []string{"test.org"}, ""},
		{Allow{"*.test.org"}, []string{"*.test.org"}, ""}, // what it would stand for is not known
		{Allow{"a.test.org"}, []string{"*.test.org"}, ""},
		{Allow{"a.test", "spiffe://t/a"}, []string{"a.test", "spiffe://t/a"}, "spiffe://t/a"},
		{Allow{"b.test", "a.test"}, []string{"c.test", "b.test", "a.test"}, "a.test"},
		{Allow{"spiffe://t/x/*"}, []string{"spiffe://t/x/y/z"}, "spiffe://t/x/y/z"},
		{Allow{"spiffe://t/x/*"}, []string{"spiffe://t/x/"}, ""},
		{Allow{"spiffe://t/x/*"}, []string{"spiffe://t/x"}, ""},
		{Allow{"spiffe://t/x/*"}, []string{"spiffe://t/xy"}, ""},
		{Allow{"spiffe://t/x/*"}, []string{"spiffe://t/x/../y"}, ""},
		{Allow{"spiffe://t/x/*"}, []string{"spiffe://t/x/%2e%2e/y"}, ""},
		{Allow{"spiffe://t/x"}, []string{"spiffe://T/x"}, ""}, // to the letter
		{Allow{}, []string{"a.test"}, ""},
		{Allow{"a.test"}, nil, ""},
	} {
		if got, ok := x.allow.identity(certOf(t, x.names...)); got != x.want || ok != (x.want != "") {
			t.Errorf("%v, %v: %q, %v; want %q", x.allow, x.names, got, ok, x.want)
		}
	}
}

// Whatever is allowed and shown: who is let in has a name that is in the certificate, and what CheckName takes allows itself or what is below.
func FuzzIdentity(f *testing.F) {
	f.Add("*.example.org", "a.example.org")
	f.Add("spiffe://t/x/*", "spiffe://t/x/../y")
	f.Add("*", "*")
	f.Fuzz(func(t *testing.T, allowed, shown string) {
		if CheckName(allowed) != nil {
			return
		}
		c := certOf(t, shown)
		got, ok := Allow{allowed}.identity(c)
		if !ok {
			return
		}
		stem := strings.ToLower(strings.Trim(allowed, "*"))
		if len(c.URIs) > 0 && got != c.URIs[0].String() || len(c.URIs) == 0 && got != strings.ToLower(shown) || !strings.Contains(strings.ToLower(got), stem) {
			t.Errorf("%q allows %q as %q", allowed, shown, got)
		}
	})
}
