package main

import (
	"bufio"
	"bytes"
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
	nginx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "nginx/1.26.3")
		http.Error(w, "<html>\n<title>404", http.StatusNotFound)
	}))
	defer nginx.Close()
	for _, x := range []struct {
		at   string
		want string
	}{
		{nginx.Listener.Addr().String(), "is not the admin address of a poolproxy: another HTTP server (nginx/1.26.3), or a poolproxy of another version, answers GET /v1/status there with 404 Not Found"},
		{banner(t, "220 mail.example ESMTP\r\n"), "is not the admin address of a poolproxy: what listens there does not speak HTTP"},
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

// A server that answers all with JSON of its own has no status to show.
func TestStatusOfAnother(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"sessions":[]}`)) }))
	defer other.Close()
	for _, flags := range [][]string{nil, {"-json"}} {
		var stdout, stderr bytes.Buffer
		status := dispatch(append([]string{"status", "-admin", other.Listener.Addr().String()}, flags...), &stdout, &stderr)
		if status != exitFailed || stdout.Len() > 0 || !strings.Contains(stderr.String(), "is not the admin address of a poolproxy") {
			t.Errorf("%q: exit status %d, %q, %q", flags, status, stdout.String(), stderr.String())
		}
	}
}

// banner is where a server says this to all who come.
func banner(t *testing.T, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte(text))
			bufio.NewReader(c).ReadString('\n') // a reset would take the text with it
			c.Close()
		}
	}()
	return l.Addr().String()
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
