package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// certificate writes a certificate, which is its own authority, and its key, and returns the directory.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func tlsText(dir, allow string) string {
	return fmt.Sprintf("tls {\ncert = %q\nkey = %q\nca = %q\nallow = %s\n}\n", dir+"/cert.pem", dir+"/key.pem", dir+"/cert.pem", allow)
}

func TestTLS(t *testing.T) {
	dir := certificate(t)
	text := "require_tls = true\n" + minimal + poolBlockText(`"p"`, tlsText(dir, `["*.example.org"]`)+
		"element \"a\" {\naddress = \"10.0.0.1:1\"\ntls { allow = [\"spiffe://example.org/a\"] }\n}\nelement \"b\" { address = \"10.0.0.2:1\" }") +
		element("b", "10.0.0.3:9002", tlsText(dir, `["spiffe://example.org/*"]`))
	l := loadText(t, text)
	for _, d := range l.Diagnostics {
		if l.Failed() || strings.Contains(d.Summary, "no TLS") {
			t.Fatal(d)
		}
	}
	last := l.Config.Elements[len(l.Config.Elements)-1]
	if last.TLS == nil || last.TLS.Key != dir+"/key.pem" || !reflect.DeepEqual(last.TLS.Allow, []string{"spiffe://example.org/*"}) {
		t.Errorf("pool_element: %+v", last.TLS)
	}
	for _, p := range l.Config.Pools {
		if p.Handle == "p" && (p.TLS == nil || !reflect.DeepEqual(p.TLS.Elements, []proxy.ElementName{{Element: "a", Allow: []string{"spiffe://example.org/a"}}})) {
			t.Errorf("pool: %+v", p.TLS)
		}
	}
}

func TestTLSMistakes(t *testing.T) {
	dir := certificate(t)
	with := func(text string) string { return minimal + element("b", "127.0.0.1:9002", text) }
	open := certificate(t)
	if err := os.Chmod(open+"/key.pem", 0o644); err != nil {
		t.Fatal(err)
	}
	mixed := strings.Replace(tlsText(dir, `["a.test"]`), dir+"/key.pem", certificate(t)+"/key.pem", 1)
	for name, m := range map[string]struct {
		text string
		has  []string
	}{
		"no block":           {with(`tls = true`), []string{`"tls" needs a block`}},
		"nobody":             {with(tlsText(dir, `[]`)), []string{`"allow" is empty`}},
		"no name":            {with(tlsText(dir, `["a..b"]`)), []string{"Nobody can be allowed so", `"a..b"`}},
		"everybody":          {with(tlsText(dir, `["*"]`)), []string{"Nobody can be allowed so"}},
		"no file":            {with(tlsText(dir+"/none", `["a.test"]`)), []string{"tls cannot be used", "none/cert.pem"}},
		"key of another":     {with(mixed), []string{"tls cannot be used", "private key does not match"}},
		"relative":           {with(strings.Replace(tlsText(dir, `["a.test"]`), dir, "x", 1)), []string{"not the full path"}},
		"key for all":        {with(tlsText(open, `["a.test"]`)), []string{"used by everybody", "0644"}},
		"unknown":            {with(strings.Replace(tlsText(dir, `["a.test"]`), "tls {", "tls {\nciphers = 1", 1)), []string{`ciphers`}},
		"mapping none":       {minimal + poolBlockText(`"p"`, "mapping = \"none\"\n"+tlsText(dir, `["a.test"]`)+`element "a" { address = "10.0.0.1:1" }`), []string{"impossible with mapping none"}},
		"of an element only": {minimal + poolBlockText(`"p"`, "element \"a\" {\naddress = \"10.0.0.1:1\"\ntls { allow = [\"a.test\"] }\n}"), []string{`"tls" needs a block of the pool`}},
		"required, listen":   {"require_tls = true\n" + minimal + element("b", "10.0.0.1:9002", ""), []string{"require_tls", "can be reached from other machines"}},
		"required, pool":     {"require_tls = true\n" + minimal + poolBlockText(`"p"`, `element "a" { address = "10.0.0.1:1" }`), []string{"require_tls", `pool "p" goes to other machines`}},
	} {
		t.Run(name, func(t *testing.T) { checkMistake(t, m.text, m.has, true) })
	}
}
