package secure

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Allow are the names of peers that are allowed. Names that are in a certificate elsewhere than among its subject alternative names (RFC
// 5280 §4.2.1.6) do not count.
type Allow []string

// mostName bounds a name in bytes.
const mostName = 2048

// CheckName says what is wrong with an entry of Allow. One is a DNS name, whose first label may be "*", which stands for any one label; or
// a URI, which may end in "/*", which stands for any path below (spiffe://example.org/orders/*).
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > mostName:
		return fmt.Errorf("a name has 1 to %d bytes, and not %d", mostName, len(name))
	case strings.Contains(name, "://"):
		plain := strings.TrimSuffix(name, "/*")
		u, err := url.Parse(plain)
		if err != nil || u.Host == "" || strings.ContainsAny(plain, "*?#%") {
			return fmt.Errorf("%q is no URI that could be allowed; one is like spiffe://example.org/orders/element, or spiffe://example.org/orders/*", name)
		}
		return nil
	}
	labels := strings.Split(name, ".")
	if labels[0] == "*" && len(labels) > 2 {
		labels = labels[1:]
	}
	if len(name) > 253 || slices.ContainsFunc(labels, badLabel) {
		return fmt.Errorf("%q is no DNS name; one is like element.example.org, or *.example.org", name)
	}
	return nil
}

func badLabel(label string) bool {
	if label == "" || len(label) > 63 {
		return true
	}
	return strings.ContainsFunc(label, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// identity is the name by which a certificate is allowed: the first URI in the order of the alphabet, else the first DNS name, so that it
// stays the same when a certificate is renewed.
func (a Allow) identity(c *x509.Certificate) (string, bool) {
	var uris, hosts []string
	for _, u := range c.URIs {
		if s := u.String(); slices.ContainsFunc(a, func(allowed string) bool { return matchesURI(allowed, s) }) {
			uris = append(uris, s)
		}
	}
	for _, s := range c.DNSNames {
		s = strings.ToLower(s)
		if slices.ContainsFunc(a, func(allowed string) bool { return matchesHost(strings.ToLower(allowed), s) }) {
			hosts = append(hosts, s)
		}
	}
	for _, all := range [][]string{uris, hosts} {
		if len(all) > 0 {
			return slices.Min(all), true
		}
	}
	return "", false
}

func matchesURI(allowed, name string) bool {
	below, any := strings.CutSuffix(allowed, "*")
	switch {
	case !strings.Contains(allowed, "://"):
		return false
	case !any:
		return allowed == name
	}
	// A path that goes up again is not below, however that is written.
	return strings.HasPrefix(name, below) && len(name) > len(below) && !strings.Contains(name, "%") && !slices.Contains(strings.Split(name, "/"), "..")
}

// matchesHost compares names in small letters. A name with "*" in a certificate is that name, and stands for no other.
func matchesHost(allowed, name string) bool {
	domain, any := strings.CutPrefix(allowed, "*.")
	if strings.Contains(allowed, "://") || !any {
		return allowed == name
	}
	label, rest, found := strings.Cut(name, ".")
	return found && label != "" && label != "*" && rest == domain
}

// names lists whom a certificate is for, for people. It is the peer's word: quoted, and no more than a line.
func names(c *x509.Certificate) string {
	var all []string
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	all = append(all, c.DNSNames...)
	if len(all) == 0 {
		return "no DNS name and no URI"
	}
	s := fmt.Sprintf("%q", all)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + " …"
	}
	return s
}
