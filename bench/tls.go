//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The systems with TLS between the hops. Both sides show a certificate of P-256; version 1.3, and one cipher for all: what Go chooses where
// processors have AES, and OpenSSL would not.
const (
	haproxyTLSSystem   = "haproxy-tls"
	poolproxyTLSSystem = "poolproxy-tls"
	tlsName            = "bench.test"
)

func tlsSystems() []system {
	most := classBulk | classRequests | classConnect | classIdle
	return []system{
		{name: haproxyTLSSystem, needs: "haproxy", class: most, option: true, hop: haproxyTLS,
			about: "as haproxy, with TLS 1.3 between the two, certificates on both sides"},
		{name: poolproxyTLSSystem, needs: "poolproxy", class: most, option: true, hop: poolproxyTLS(poolproxyLine),
			about: "as poolproxy-line, with a tls block on both sides"},
		{name: poolproxyTLSSystem + "-stream", needs: "poolproxy", class: most, option: true, hop: poolproxyTLS(`protocol "stream" {}`),
			about: "as poolproxy-stream, with a tls block on both sides"},
	}
}

// certificate writes a certificate that is its own authority, with its key, once, and returns the folder: cert.pem, key.pem and both.pem.
func (e *environment) certificate() (string, error) {
	dir := filepath.Join(e.folder, "tls")
	if _, err := os.Stat(filepath.Join(dir, "both.pem")); err == nil {
		return dir, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: tlsName}, DNSNames: []string{tlsName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	own := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{"cert.pem", cert}, {"key.pem", own}, {"both.pem", slices.Concat(cert, own)}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.text, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// haproxyTLS speaks TLS to the next hop, or is spoken to.
func haproxyTLS(e *environment, first bool, listen, target string) (*process, error) {
	dir, err := e.certificate()
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	const suite = "ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256"
	how := fmt.Sprintf(" ssl crt %s/both.pem ca-file %s/cert.pem verify required %s", dir, dir, suite)
	if first {
		target += how + " verifyhost " + tlsName
	} else {
		listen += how
	}
	return haproxy(2, "")(e, first, listen, target)
}

// poolproxyTLS is poolproxy with a tls block on both sides.
func poolproxyTLS(user string) hop {
	return func(e *environment, first bool, listen, target string) (*process, error) {
		dir, err := e.certificate()
		if err != nil {
			return nil, fmt.Errorf("making a certificate: %w", err)
		}
		block := fmt.Sprintf("  tls {\n    cert = \"%s/cert.pem\"\n    key = \"%s/key.pem\"\n    ca = \"%s/cert.pem\"\n    allow = [%q]\n  }\n}\n", dir, dir, dir, tlsName)
		config := commonConfig + fmt.Sprintf("pool_element \"origin\" {\n  listen = %q\n  server = %q\n", listen, target) + block
		if first {
			config = commonConfig + fmt.Sprintf("pool_user \"bench\" {\n  listen = %q\n  pool = \"bench\"\n  %s\n}\n", listen, user) +
				fmt.Sprintf("pool \"bench\" {\n  element \"origin\" { address = %q }\n", target) + block
		}
		return e.start(e.poolproxy, config, runConfig)
	}
}

// tlsSeries: what TLS between the hops costs.
func tlsSeries() []series {
	four := []string{baseSystem, haproxyTLSSystem, "poolproxy-line", poolproxyTLSSystem}
	work := func(kind string, c class, length time.Duration) func(x float64) workload {
		return func(x float64) workload {
			warm := length/4 + time.Duration(x)*4*time.Millisecond // all must have shaken hands by then
			return workload{class: c, job: job{Kind: kind, Connections: int(x), Warmup: warm, Length: length}}
		}
	}
	microseconds := func(name string, of func(o outcome) int64) figure {
		return figure{name: name, unit: "µs", less: true, of: func(o outcome) float64 { return float64(of(o)) / 1e3 }}
	}
	crypt := map[string]reasons{"": {falls: whyWakeShared, rises: whyCaches}, "poolproxy-line": {falls: whyBatches, rises: whyCaches},
		poolproxyTLSSystem: {falls: whyRecords, rises: whyCaches}}
	queue := map[string]reasons{"": {rises: whyClosedLoop64}}
	return []series{{
		name: "tls", title: "TLS, requests", axis: "connections", label: count, systems: four, rounds: 3, points: []float64{1, 64, 512},
		workload: work(jobClosed, classRequests, 2*growthLength),
		figures: []growthFigure{
			{figure: figure{name: "rate", unit: "replies/s", of: rateOf}, file: "tls-rate", about: "TLS between the hops: replies per second, requests of 128 bytes",
				why: map[string]reasons{"": {rises: whyMoreAtOnce, falls: whyCaches}}},
			{figure: microseconds("p50", func(o outcome) int64 { return int64(o.P50) }), file: "tls-p50", about: "TLS between the hops: median latency", why: queue},
			{figure: microseconds("p99", func(o outcome) int64 { return int64(o.P99) }), file: "tls-p99", about: "TLS between the hops: p99 of latency", why: queue},
			{figure: growthCPU, file: "tls-cpu", about: "TLS between the hops: CPU per request", why: crypt},
		},
	}, {
		name: "tls-bulk", title: "TLS, bulk", axis: "connections", label: count, rounds: 3, points: []float64{1, 8},
		systems:  []string{baseSystem, haproxyTLSSystem, "poolproxy-stream", poolproxyTLSSystem + "-stream"},
		workload: work(jobDown, classBulk, 2*growthLength),
		figures:  []growthFigure{{figure: bulkFigures[0], file: "tls-bulk", about: "TLS between the hops: bulk down", why: map[string]reasons{"": {rises: whyMoreAtOnce, falls: whyCaches}}}},
	}, {
		name: "tls-connect", title: "TLS, connections", axis: "connections at once", label: count, systems: four, rounds: 3, points: []float64{1, 32},
		workload: work(jobConnect, classConnect, 2*growthLength),
		figures: []growthFigure{{figure: connectFigures[0], file: "tls-connect", about: "TLS between the hops: connect, request, close",
			why: map[string]reasons{"": {rises: whyMoreAtOnce}}}},
	}, {
		name: "tls-idle", title: "TLS, idle sessions", axis: "idle sessions", label: count, systems: four, rounds: 2, points: []float64{100, 1000},
		workload: func(x float64) workload { return idle(int(x), "", classIdle) },
		figures: []growthFigure{{figure: idleFigures[0], file: "tls-idle", about: "TLS between the hops: memory of both per idle session",
			why: map[string]reasons{"": {falls: whyOnce, rises: whyPools}}}},
	}}
}

const (
	whyRecords = "the more sessions are busy, the more messages one record of TLS carries, beside one read and one write: sealing and opening it " +
		"costs each of them less"
	whyMoreAtOnce   = "with more connections there is always something to do; one alone waits for each wake-up"
	whyClosedLoop64 = "with more connections each waits for the others, whose requests are served before"
)
