//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/proxy"
)

// TestUpgradeDrained: a pool_element that its operator has drained is so in the process that takes over, and is not registered there, until
// he takes it back.
func TestUpgradeDrained(t *testing.T) {
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line"}})
	cluster := etcdtest.Start(t, 1)
	at := porttest.FreeString(t)
	p := f.run("drained", fmt.Sprintf(`admin { listen = %q }
source "etcd" "test" { endpoints = [%q] }
pool_element "x" {
  listen  = %q
  server  = %q
  mapping = "tcp"
  register {
    pool   = "orders"
    source = "etcd.test"
  }
}
`, at, cluster.Members[0].Endpoint, porttest.FreeString(t), f.elements[0].address))
	p.waitListening(t, at)
	do := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(builtBinary(t), append([]string{args[0], "-admin", at}, args[1:]...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	stands := func() (drained bool, registration string) {
		t.Helper()
		var s proxy.Status
		if err := json.Unmarshal([]byte(do("status", "-json")), &s); err != nil {
			t.Fatal(err)
		}
		if len(s.Elements) != 1 || len(s.Registrations) != 1 {
			t.Fatalf("%+v, %+v", s.Elements, s.Registrations)
		}
		return s.Elements[0].Drained, s.Registrations[0].State
	}
	waitFor(t, "the element to be registered", func() bool { _, is := stands(); return is == "registered" })
	do("drain", "x")
	waitFor(t, "the element to be deregistered", func() bool { drained, is := stands(); return drained && is == "waiting" })
	f.upgraded(at, "the drained pool element")
	if drained, _ := stands(); !drained {
		t.Error("the new process does not know that the element is drained")
	}
	do("undrain", "x")
	waitFor(t, "the element to be registered again", func() bool { drained, is := stands(); return !drained && is == "registered" })
	behind := p.output(t)
	behind = behind[strings.Index(behind, "this process serves now"):]
	if before, _, _ := strings.Cut(behind, "an element is drained no more"); strings.Contains(before, "registered in a pool") {
		t.Errorf("it was registered while it was drained:\n%s", before)
	}
}

// TestUpgradeFirstProcessRegistered: the first process of a container, which stays when it is replaced, does not keep what it had registered.
func TestUpgradeFirstProcessRegistered(t *testing.T) {
	needs(t, true, "unshare")
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line"}})
	cluster := etcdtest.Start(t, 1)
	at := porttest.FreeString(t)
	f.user.kill()
	f.user = startProcess(t, command{name: "container", args: []string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", builtBinary(t), "run", "-config",
		writeConfig(t, "container", fmt.Sprintf("admin { listen = %q }\nsource \"etcd\" \"test\" { endpoints = [%q] }\npool_element \"x\" {\n  listen = %q\n  server = %q\n"+
			"  mapping = \"tcp\"\n  register {\n    pool = \"orders\"\n    source = \"etcd.test\"\n  }\n}\n", at, cluster.Members[0].Endpoint, porttest.FreeString(t), f.elements[0].address))}})
	f.user.waitListening(t, at)
	f.user.said(t, "registered in a pool", 1)
	f.upgraded(at, "the first process")
	f.user.said(t, "registered in a pool", 2)
	first := f.first()
	waitFor(t, "the first process to have given up all sockets", func() bool { return sockets(t, first) == 0 })
}
