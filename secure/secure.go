// Package secure carries associations of the TCP mapping in TLS 1.3 (RFC 8446), both sides of which show a certificate. Who the peer
// is follows from a name in its certificate (a DNS name, or a URI as those of SPIFFE), and never from its address. Towards clients and
// servers, which are no sidecars, it speaks TLS as these are used to it: see Door and Origin.
//
// crypto/tls waits for its net.Conn; a shard must not. So a Conn gives crypto/tls a net.Conn that never waits: what the loop's
// connection has not got yet is a temporary error, which crypto/tls does not keep (net/http rests on that, too: it interrupts reads by
// a deadline and goes on later). The handshake cannot be interrupted so; it runs as a coroutine (iter.Pull) of the loop's goroutine,
// which goes on when more has come. So there is no goroutine beside the loop's, no lock, and no queue but one of at most
// mostWaiting bytes; a Conn works over every loop, that of virtual time too, and can leave it for another.
package secure

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Files are the paths of what a side shows, and of whom it believes; all in PEM. Sidecars have all three among themselves. Else Cert
// and Key may be "", both, for a side that shows nothing, and CA for one that asks for nothing.
type Files struct {
	Cert string // the certificate, and behind it those between it and an authority
	Key  string // its private key
	CA   string // the authorities of peers
}

// Credentials are what is in the Files, as it was last read. They may be used from any goroutine.
type Credentials struct {
	files Files
	now   atomic.Pointer[material]
}

// material is what was in the files together.
type material struct {
	digest [sha256.Size]byte
	certs  []tls.Certificate // one, or none
	roots  *x509.CertPool    // nil: none
}

// mostFile bounds each file, in bytes.
const mostFile = 1 << 20

// Load reads the files. An error names the file.
func Load(f Files) (*Credentials, error) {
	c := &Credentials{files: f}
	_, err := c.Refresh()
	return c, err
}

// Refresh reads the files again, and reports whether something else is in them. Handshakes from then on go by that; associations that
// there are go on. On an error everything stays as it was: the files may be half written.
func (c *Credentials) Refresh() (changed bool, err error) {
	var all [3][]byte
	digest := sha256.New()
	for i, path := range []string{c.files.Cert, c.files.Key, c.files.CA} {
		if path == "" {
			continue
		}
		if all[i], err = readFile(path); err != nil {
			return false, err
		}
		fmt.Fprintf(digest, "%d:", len(all[i]))
		digest.Write(all[i])
	}
	m := &material{digest: [sha256.Size]byte(digest.Sum(nil))}
	if old := c.now.Load(); old != nil && old.digest == m.digest {
		return false, nil
	}
	if c.files.Cert != "" || c.files.Key != "" {
		cert, err := tls.X509KeyPair(all[0], all[1])
		if err != nil {
			return false, fmt.Errorf("certificate %s with key %s: %w", c.files.Cert, c.files.Key, err)
		}
		m.certs = []tls.Certificate{cert}
	}
	if c.files.CA != "" {
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(all[2]) {
			return false, fmt.Errorf("%s: there is no certificate in it", c.files.CA)
		}
	}
	c.now.Store(m)
	return true, nil
}

// Files are where they are read.
func (c *Credentials) Files() Files { return c.files }

// Expires is the time from which on peers refuse our certificate; ok is false if there is none.
func (c *Credentials) Expires() (at time.Time, ok bool) {
	m := c.now.Load()
	if len(m.certs) == 0 {
		return time.Time{}, false
	}
	at = m.certs[0].Leaf.NotAfter
	for _, der := range m.certs[0].Certificate[1:] { // it is of no use longer than those between it and its authority
		if between, err := x509.ParseCertificate(der); err == nil && between.NotAfter.Before(at) {
			at = between.NotAfter
		}
	}
	return at, true
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // it names the file
	}
	defer f.Close() // nothing was written to it
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(f, mostFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	case n > mostFile:
		return nil, fmt.Errorf("%s is larger than %d bytes: is it a certificate or a key?", path, mostFile)
	}
	return b.Bytes(), nil
}

// trusts says whether a peer's certificate is from an authority that we know; usage is what it must be good for.
func (m *material) trusts(certs []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) error {
	if len(certs) == 0 {
		return &Refusal{NoCertificate, errors.New("it shows no certificate")}
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: m.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return &Refusal{badCertificate(err), err}
	}
	return nil
}

// verify says who a peer is: the name in its certificate by which it is allowed. usage is what the certificate must be good for.
func (m *material) verify(certs []*x509.Certificate, usage x509.ExtKeyUsage, allow Allow, now time.Time) (string, error) {
	if err := m.trusts(certs, usage, now); err != nil {
		return "", err
	}
	peer, ok := allow.identity(certs[0])
	if !ok {
		return "", &Refusal{NotAllowed, fmt.Errorf("its certificate is for %s, which allow does not name", names(certs[0]))}
	}
	return peer, nil
}

func badCertificate(err error) Reason {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return Expired
	}
	return NotTrusted
}
