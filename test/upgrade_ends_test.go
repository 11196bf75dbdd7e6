//go:build linux

package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

// upgradeEnds is one sidecar with an admin API on a unix socket, and a line server behind pool_users for clients without TLS, in TLS, and behind
// a proxy that sends headers.
type upgradeEnds struct {
	*fleet
	plain, secret, header string // where they listen
	config                func(changes ...string) string
}

func launchUpgradeEnds(t *testing.T) *upgradeEnds {
	t.Helper()
	dir, err := os.MkdirTemp("", "up") // a path that a unix socket can have
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	front := securetest.NewAuthority(t).Issue("front.test", nil)
	f := &upgradeEnds{fleet: &fleet{t: t, admin: "unix:" + filepath.Join(dir, "admin")}, plain: porttest.FreeString(t), secret: porttest.FreeString(t), header: porttest.FreeString(t)}
	e := &element{name: "a", address: porttest.FreeString(t)}
	e.server = startProcess(t, command{name: "server", role: "line", args: []string{"-listen", e.address}})
	e.server.waitListening(t, e.address)
	user := func(name, listen, more string) string {
		return fmt.Sprintf("pool_user %q {\n  listen = %q\n  pool   = \"test\"\n  protocol \"line\" { safe = [\".\"] }\n%s}\n", name, listen, more)
	}
	text := fmt.Sprintf("admin { listen = %q }\npool \"test\" {\n  mapping = \"none\"\n  element \"a\" { address = %q }\n}\n", f.admin, e.address) +
		user("plain", f.plain, "") +
		user("secret", f.secret, fmt.Sprintf("  tls {\n    cert = %q\n    key  = %q\n  }\n", front.Cert, front.Key)) +
		user("header", f.header, "  proxy_protocol { trusted = [\"127.0.0.1\"] }\n")
	f.config = func(changes ...string) string {
		return writeConfig(t, "user", strings.NewReplacer(changes...).Replace(text))
	}
	f.user = startProcess(t, command{name: "user", args: []string{builtBinary(t), "run", "-config", f.config()}})
	for _, at := range []string{f.plain, f.secret, f.header} {
		f.user.waitListening(t, at)
	}
	return f
}

// dialAt connects a client.
func (f *upgradeEnds) dialAt(at string) net.Conn {
	f.t.Helper()
	conn, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return conn
}

// TestUpgradeLose: a session in TLS stands in the way of an upgrade, by name, and goes on; with -lose it ends, and the others go on. So does a client
// whose proxy has said half of its header, also where that takes several upgrades. All is asked over a unix socket, which goes along.
func TestUpgradeLose(t *testing.T) {
	f := launchUpgradeEnds(t)
	plain := f.dialAt(f.plain)
	secret := tls.Client(f.dialAt(f.secret), &tls.Config{InsecureSkipVerify: true})
	shaking, header := f.dialAt(f.secret), f.dialAt(f.header)
	inPlain, inSecret, inHeader := bufio.NewReader(plain), bufio.NewReader(secret), bufio.NewReader(header)
	ask(t, plain, inPlain, 0)
	ask(t, secret, inSecret, 0)
	const head = "PROXY TCP4 192.0.2.1 10.0.0.5 54321 80\r\n"
	if _, err := io.WriteString(header, head[:20]); err != nil {
		t.Fatal(err)
	}
	if done, err := f.upgrade(f.admin); err == nil || !strings.Contains(err.Error(), `session `) || !strings.Contains(err.Error(), `pool_user "secret"`) &&
		!strings.Contains(err.Error(), "its connection with "+secret.LocalAddr().String()) {
		t.Fatalf("%+v, %v", done, err)
	}
	ask(t, plain, inPlain, 1)
	ask(t, secret, inSecret, 1)
	if done := f.upgraded(f.admin, "with -lose", "-lose"); done.Lost != 1 {
		t.Errorf("%d sessions were lost", done.Lost)
	}
	for what, conn := range map[string]net.Conn{"a session in TLS": secret, "a handshake": shaking} {
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: %d bytes have come", what, n)
		}
	}
	ask(t, plain, inPlain, 2)
	if _, err := io.WriteString(header, head[20:30]); err != nil {
		t.Fatal(err)
	}
	if done := f.upgraded(f.admin, "once more"); done.Lost != 0 {
		t.Errorf("%d sessions were lost", done.Lost)
	}
	if _, err := io.WriteString(header, head[30:]); err != nil {
		t.Fatal(err)
	}
	ask(t, header, inHeader, 0)
	ask(t, plain, inPlain, 3)
	status, err := exec.Command(builtBinary(t), "status", "-json", "-admin", f.admin).CombinedOutput()
	if err != nil || !strings.Contains(string(status), "192.0.2.1:54321") {
		t.Errorf("%v: %s", err, status)
	}
	again := tls.Client(f.dialAt(f.secret), &tls.Config{InsecureSkipVerify: true})
	ask(t, again, bufio.NewReader(again), 0)
}

// TestUpgradeAndReload: what is reloaded while a new process gets ready is not lost. It waits; if the upgrade fails, it is read then; if not, who asked
// hears that the new one is to be asked. An upgrade right behind a reload has what was reloaded.
func TestUpgradeAndReload(t *testing.T) {
	f := launchUpgradeEnds(t)
	client := f.dialAt(f.plain)
	in := bufio.NewReader(client)
	ask(t, client, in, 0)
	reload := func() (string, error) {
		text, err := exec.Command(builtBinary(t), "reload", "-admin", f.admin).CombinedOutput()
		return string(text), err
	}
	during := func(then string) (upgraded error, said string, reloaded error) {
		t.Helper()
		begun := filepath.Join(logDir(t), "begun")
		os.Remove(begun)
		slow := filepath.Join(logDir(t), "slow")
		script := fmt.Sprintf("#!/bin/sh\n: >%s\nwhile [ -e %s ]; do sleep 0.05; done\n%s\n", begun, begun, then)
		if err := os.WriteFile(slow, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { _, err := f.upgrade(f.admin, "-binary", slow, "-timeout", "1m"); done <- err }()
		waitFor(t, "the new process to begin", func() bool { _, err := os.Stat(begun); return err == nil })
		asked := make(chan struct{})
		go func() { defer close(asked); said, reloaded = reload() }()
		select {
		case <-asked:
			t.Errorf("a reload has not waited: %s, %v", said, reloaded)
		case <-time.After(500 * time.Millisecond): // it may be later: then there is less to see
		}
		os.Remove(begun)
		<-asked
		return <-done, said, reloaded
	}
	one, two := porttest.FreeString(t), porttest.FreeString(t)
	f.config(f.plain, one)
	if upgraded, said, err := during("exit 1"); upgraded == nil || err != nil || !strings.Contains(said, one) {
		t.Errorf("%v; %q, %v", upgraded, said, err)
	}
	second := f.dialAt(one)
	inSecond := bufio.NewReader(second)
	ask(t, second, inSecond, 0)
	f.config(f.plain, one, f.header, two)
	if said, err := reload(); err != nil || !strings.Contains(said, two) {
		t.Errorf("%q, %v", said, err)
	}
	f.upgraded(f.admin, "right behind a reload")
	f.dialAt(two)
	if upgraded, said, err := during("exec " + builtBinary(t) + ` "$@"`); upgraded != nil || err == nil || !strings.Contains(said, "ask again") {
		t.Errorf("%v; %q, %v", upgraded, said, err)
	}
	f.config(f.header, two)
	if said, err := reload(); err != nil || !strings.Contains(said, f.plain) {
		t.Errorf("%q, %v", said, err)
	}
	ask(t, client, in, 1)
	ask(t, second, inSecond, 1)
}

// TestUpgradeTLS: both sidecars with TLS between them are replaced, and the session is resumed in TLS.
func TestUpgradeTLS(t *testing.T) {
	a := securetest.NewAuthority(t)
	f := secured(t, 1, a.Issue(tlsUser, nil), a.Issue(tlsElement, nil))
	client := f.dial()
	in := bufio.NewReader(client)
	for i := range 3 {
		ask(t, client, in, 2*i)
		f.upgraded(f.admin, "pool user")
		ask(t, client, in, 2*i+1)
		f.upgraded(f.elements[0].admin, "pool element")
	}
	ask(t, client, in, 6)
	f.untouched()
}
