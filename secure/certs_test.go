package secure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t), file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, a.key)
	writePEM(t, a.file, "CERTIFICATE", a.cert.Raw)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign gives c a number and, if it has none, a time, from long ago to far away: virtual time begins where it likes.
func (a *authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Unix(0, 0)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made
}

// both is what a sidecar's certificate is for.
var both = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}

// issue writes a certificate for a DNS name or a URI, with its key; change may change it before it is signed.
func (a *authority) issue(name string, change func(*x509.Certificate)) Files {
	a.t.Helper()
	dir := a.t.TempDir()
	f := Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: a.file}
	a.renew(f, name, change)
	return f
}

func (a *authority) renew(f Files, name string, change func(*x509.Certificate)) {
	a.t.Helper()
	key := newKey(a.t)
	c := &x509.Certificate{ExtKeyUsage: both, KeyUsage: x509.KeyUsageDigitalSignature}
	if u, err := url.Parse(name); err == nil && u.Scheme != "" {
		c.URIs = []*url.URL{u}
	} else {
		c.DNSNames = []string{name}
	}
	if change != nil {
		change(c)
	}
	writePEM(a.t, f.Cert, "CERTIFICATE", a.sign(c, key).Raw)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, f.Key, "PRIVATE KEY", der)
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
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
	const userName, elementName = "spiffe://example.org/orders/user", "element.example.org"
	user = Mapping{Rules{Credentials: load(t, a.issue(userName, nil)), Allow: Allow{elementName}}}
	element = Mapping{Rules{Credentials: load(t, a.issue(elementName, nil)), Allow: Allow{userName}}}
	return user, element
}
