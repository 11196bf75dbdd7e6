//go:build linux

package test

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

// configMap is a folder as Kubernetes mounts a ConfigMap: what is in it are links to links, and another version is another folder, which
// the link in the middle is turned to by a rename.
type configMap struct {
	t       *testing.T
	folder  string
	version int
}

func (m *configMap) put(file, text string) {
	m.t.Helper()
	m.version++
	version := "version-" + string(rune('a'+m.version))
	err := errors.Join(os.Mkdir(filepath.Join(m.folder, version), 0o755), os.WriteFile(filepath.Join(m.folder, version, file), []byte(text), 0o644),
		os.Symlink(version, filepath.Join(m.folder, "new")), os.Rename(filepath.Join(m.folder, "new"), filepath.Join(m.folder, "data")))
	if m.version == 1 {
		err = errors.Join(err, os.Symlink(filepath.Join("data", file), filepath.Join(m.folder, file)))
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// A configuration whose files are watched is read again when another one takes its place, however that is done; a mistake in it changes nothing, and
// when it is not to be watched any more that is seen, too.
func TestReloadWatched(t *testing.T) {
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line", "line"}, failover: `    replay = "unacked"`})
	r := &reloading{fleet: f, whole: f.userConfig()}
	r.listen, r.admin = porttest.FreeString(t), porttest.FreeString(t)
	r.whole = "watch = true\n" + f.userConfig()
	m := &configMap{t: t, folder: filepath.Join(logDir(t), "map")}
	if err := os.Mkdir(m.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	m.put("user.hcl", r.keeping("a"))
	r.user = startProcess(t, command{name: "watching", args: []string{builtBinary(t), "run", "-config", filepath.Join(m.folder, "user.hcl")}})
	r.user.waitListening(t, r.admin)
	c := r.call()
	m.put("user.hcl", r.keeping("b"))
	waitFor(t, "the pool to have b", func() bool { return r.inPool() == "b" })
	c.ask(t)
	m.put("user.hcl", r.keeping("ab")+"}")
	waitFor(t, "the mistake to be told", func() bool { s := r.status().Reload; return s != nil && s.Error != "" })
	r.user.said(t, "nothing has changed", 1)
	m.put("user.hcl", strings.Replace(r.keeping("ab"), "watch = true\n", "", 1))
	waitFor(t, "the pool to have both", func() bool { return r.inPool() == "ab" })
	c.ask(t)
	if n := strings.Count(r.user.output(t), "the files of the configuration have changed"); n != 3 {
		t.Errorf("they have changed %d times", n)
	}
}

// Other paths of certificates are other certificates, for handshakes from then on; if one of them cannot be used, those before stay, at both
// sides. TLS is taken off, and comes back. The session goes on.
func TestReloadTLS(t *testing.T) {
	a, b := securetest.NewAuthority(t), securetest.NewAuthority(t)
	user, element := a.Issue(tlsUser, nil), a.Issue(tlsElement, nil)
	f := secured(t, 1, user, element)
	e := f.elements[0]
	client := f.dial()
	in := bufio.NewReader(client)
	ask(t, client, in, 0)
	asked := 0
	turn := func(userBlock, elementBlock string, status [2]int) {
		t.Helper()
		w := &turning{t: t}
		for _, x := range []struct{ name, text string }{
			{"user", strings.Replace(f.userConfig(), f.plan.pool, userBlock, 1)},
			{"element-a", strings.Replace(strings.Replace(elementConfig(e.name, e.listen, e.address, elementBlock), `listen = "off"`, `listen = "`+e.admin+`"`, 1), "NAME", "a", 1)},
		} {
			writeConfig(t, x.name, x.text)
		}
		if got, said := w.reload(f.admin, e.admin); got != status {
			t.Fatalf("%v, not %v\n%s", got, status, said)
		}
		asked++
		ask(t, client, in, asked)
		conn := f.dial() // over another association, if the user's side is another one
		ask(t, conn, bufio.NewReader(conn), 1)
		conn.Close()
	}
	missing := b.Issue("x", nil)
	if err := os.WriteFile(missing.Key, []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	turn(tlsBlock(missing, tlsElement), tlsBlock(missing, tlsUser), [2]int{11, 11})
	user, element = b.Issue(tlsUser, nil), b.Issue(tlsElement, nil)
	turn(tlsBlock(user, tlsElement), tlsBlock(element, tlsUser), [2]int{})
	turn("", "", [2]int{})
	turn(tlsBlock(user, tlsElement), tlsBlock(element, tlsUser), [2]int{})
	if moved, ended := f.recorded("moved"), f.recorded("ended"); len(moved)+len(ended) > 0 {
		t.Errorf("%+v, %+v", moved, ended)
	}
}
