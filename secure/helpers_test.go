package secure

import (
	"crypto/x509"
	"testing"

	"github.com/poolproxy/poolproxy/secure/securetest"
)

// authority is a securetest.Authority, in the words of this package.
type authority struct{ *securetest.Authority }

func newAuthority(t testing.TB) authority { return authority{securetest.NewAuthority(t)} }

func (a authority) issue(name string, change func(*x509.Certificate)) Files {
	return Files(a.Issue(name, change))
}

func load(t testing.TB, f Files) *Credentials {
	t.Helper()
	c, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair are the two sides of a pool: they allow each other.
func pair(t testing.TB) (user, element Mapping) {
	a := newAuthority(t)
	user = Mapping{Rules{Credentials: load(t, a.issue(userName, nil)), Allow: Allow{elementName}}}
	element = Mapping{Rules{Credentials: load(t, a.issue(elementName, nil)), Allow: Allow{userName}}}
	return user, element
}
