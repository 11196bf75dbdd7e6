package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What goes wrong on the way to the admin API is told apart: a proxy that has ended meanwhile, and one that wants a certificate.
func TestUnreachable(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	go func() { // ends with the listener
		for {
			c, err := dead.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1)
			c.Read(buf)
			c.Close()
		}
	}()
	mutual := httptest.NewUnstartedServer(http.NotFoundHandler())
	mutual.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	mutual.StartTLS()
	defer mutual.Close()
	for _, x := range []struct {
		at   string
		want string
	}{
		{dead.Addr().String(), "has ended the connection before it had answered"},
		{"https://" + mutual.Listener.Addr().String(), "see -cert and -key"},
	} {
		a := adminPlace{address: x.at}
		if strings.HasPrefix(x.at, "https") {
			a.cacert = pemOf(t, mutual)
		}
		_, _, err := callAdmin(context.Background(), a, http.MethodGet, "/v1/status", nil)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v; want %q", x.at, err, x.want)
		}
	}
}

// pemOf is a file with the certificate of a server.
func pemOf(t *testing.T, s *httptest.Server) string {
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
