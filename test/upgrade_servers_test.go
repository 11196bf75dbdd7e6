//go:build linux

package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// TestUpgradeRedis is issue 7, item 1, in one run: every redis server is drained and restarted, then every sidecar before them, then these are
// replaced, and the pool user's five times, while clients are at work that have names, databases and pipelines and never connect again.
func TestUpgradeRedis(t *testing.T) {
	needs(t, false, "redis-server")
	r := launchRolling(t, "tcp")
	r.clients = upgradeClients
	r.under(func() {
		for i, e := range r.elements {
			if text, err := r.command("drain", e.name, "-timeout", "30s"); err != nil || !strings.Contains(text, "no session is left") {
				t.Fatalf("drain %s: %v: %s", e.name, err, text)
			}
			r.restartRedis(i)
			if text, err := r.command("undrain", e.name); err != nil {
				t.Fatalf("undrain %s: %v: %s", e.name, err, text)
			}
			r.further()
		}
		for i, e := range r.elements {
			e.sidecar.signal(t, syscall.SIGTERM)
			e.sidecar.wait(t, patience)
			r.startSidecar(i)
			r.further()
		}
		r.moved()
		for _, e := range r.elements {
			r.upgraded(e.admin, "pool element "+e.name)
			r.further()
		}
		for i := range 5 {
			r.upgraded(r.admin, fmt.Sprintf("pool user, time %d", i+1))
			r.further()
		}
		if n := len(r.status().Sessions); n != r.clients {
			t.Errorf("%d sessions of %d clients", n, rollingClients)
		}
		r.untouched()
	})
}

// downloaded is the size of the file that is fetched from nginx.
const downloaded = 48 << 20

// TestUpgradeDownload: both sidecars are replaced in the middle of a download from nginx, which comes as pages without copies where the protocol
// is stream.
func TestUpgradeDownload(t *testing.T) {
	needs(t, false, "nginx")
	for _, protocol := range []string{"http", "stream"} {
		for _, mapping := range []string{"tcp", "none"} {
			t.Run(protocol+" "+mapping, func(t *testing.T) { download(t, protocol, mapping) })
		}
	}
}

func download(t *testing.T, protocol, mapping string) {
	f := &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t), plan: plan{mapping: mapping, protocol: fmt.Sprintf("  protocol %q {}\n", protocol)}}
	e := &element{name: "a", address: porttest.FreeString(t)}
	f.elements = []*element{e}
	want := f.nginx(e)
	if mapping != "none" {
		e.listen, e.admin = porttest.FreeString(t), porttest.FreeString(t)
		f.startSidecar(0)
	}
	f.user = f.run("user", f.userConfig())
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.listen+"/file", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{}).RoundTrip(request) // which never asks again when something has come
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got bytes.Buffer
	read := func(n int64) {
		t.Helper()
		if _, err := io.CopyN(&got, response.Body, n); err != nil {
			t.Fatalf("behind %d bytes: %v", got.Len(), err)
		}
	}
	for range 3 {
		read(downloaded / 6)
		f.upgraded(f.admin, "pool user")
		if mapping != "none" {
			read(downloaded / 12)
			f.upgraded(e.admin, "pool element")
		}
	}
	read(downloaded - int64(got.Len()))
	if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes, %d behind them, %v; they are right: %v", got.Len(), len(rest), err, bytes.Equal(got.Bytes(), want))
	}
	f.untouched()
}

// nginx starts one that serves a file, and returns what is in it.
func (f *fleet) nginx(e *element) []byte {
	f.t.Helper()
	dir := filepath.Join(logDir(f.t), "nginx")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	content := make([]byte, downloaded)
	rand.NewChaCha8([32]byte{2}).Read(content)
	config := fmt.Sprintf(`worker_processes 1; daemon off; pid %[1]s/pid; error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp; uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
  server { listen %[2]s; root %[1]s; }
}
`, dir, e.address)
	if os.Geteuid() == 0 {
		config = "user root; " + config
	}
	for name, text := range map[string][]byte{"file": content, "nginx.conf": []byte(config)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		f.t.Fatal(err)
	}
	e.server = startProcess(f.t, command{name: "nginx", args: []string{program, "-c", filepath.Join(dir, "nginx.conf")}})
	e.server.waitListening(f.t, e.address)
	return content
}
