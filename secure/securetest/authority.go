// Package securetest makes certificates for tests.
package securetest

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

// Files are the paths of a certificate, its key, and the authorities to be believed.
type Files struct{ Cert, Key, CA string }

// Authority signs certificates.
type Authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	File string // its own certificate
}

// NewAuthority makes one. Its certificate is in a directory of the test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, key: newKey(t), File: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, a.key)
	WritePEM(t, a.File, "CERTIFICATE", a.cert.Raw)
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
func (a *Authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
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

// Both is what a sidecar's certificate is for.
var Both = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}

// Issue writes a certificate for a DNS name or a URI, with its key; change may change it before it is signed.
func (a *Authority) Issue(name string, change func(*x509.Certificate)) Files {
	a.t.Helper()
	dir := a.t.TempDir()
	f := Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: a.File}
	a.Renew(f, name, change)
	return f
}

// Renew writes another certificate, with another key, in place of one.
func (a *Authority) Renew(f Files, name string, change func(*x509.Certificate)) {
	a.t.Helper()
	key := newKey(a.t)
	c := &x509.Certificate{ExtKeyUsage: Both, KeyUsage: x509.KeyUsageDigitalSignature}
	if u, err := url.Parse(name); err == nil && u.Scheme != "" {
		c.URIs = []*url.URL{u}
	} else {
		c.DNSNames = []string{name}
	}
	if change != nil {
		change(c)
	}
	WritePEM(a.t, f.Cert, "CERTIFICATE", a.sign(c, key).Raw)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	WritePEM(a.t, f.Key, "PRIVATE KEY", der)
}

// WritePEM writes one block.
func WritePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
