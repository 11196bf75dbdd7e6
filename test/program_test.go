//go:build linux

package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFenceFrozenServer freezes a server with an unsafe request in its queue, which it may still read when it wakes. Only where a
// fence_exec has killed it can that not happen any more: then the request is carried out by the other server.
func TestFenceFrozenServer(t *testing.T) {
	for name, fenced := range map[string]bool{"fenced": true, "not fenced": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			checks := ""
			if fenced {
				checks = fmt.Sprintf("  fence_exec = [\"/bin/sh\", \"-c\", \"cat >%s/NAME.input; kill -9 $(cat %s/NAME.pid)\"]\n", dir, dir)
			}
			f := launch(t, plan{
				mapping:  "tcp",
				protocol: `  protocol "line" { safe = ["^nothing"] }`,
				failover: "    ack           = \"read\"\n    reply_timeout = \"300ms\"",
				servers:  []string{"line", "line"},
				checks:   checks,
			})
			for _, e := range f.elements {
				if err := os.WriteFile(filepath.Join(dir, e.name+".pid"), fmt.Append(nil, e.server.cmd.Process.Pid), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			client := f.dial()
			in := bufio.NewReader(client)
			for i := range 10 {
				ask(t, client, in, i)
			}
			frozen := f.elements[f.serving()]
			frozen.server.freeze(t)
			err := question(client, in, 10)
			if !fenced {
				frozen.server.thaw(t)
				if err == nil {
					t.Error("an unsafe request that a frozen server may still read was carried out by another")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			frozen.server.wait(t, patience)
			for i := 11; i < 20; i++ {
				ask(t, client, in, i)
			}
			input, err := os.ReadFile(filepath.Join(dir, frozen.name+".input"))
			want := fmt.Sprintf(`{"pool_element":%q,"server":%q,"session":`, frozen.name, frozen.address)
			if err != nil || !strings.HasPrefix(string(input), want) {
				t.Errorf("the program read %q, %v; not %q", input, err, want)
			}
			r := f.records("moved", 1)[0]
			t.Logf("%s; on after %v", r.Cause, r.Connect)
		})
	}
}

// TestCallbackProgram has a program say what a new server is told after a failover. The client does not see the answer to that.
func TestCallbackProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "input")
	f := launch(t, plan{
		mapping:  "tcp",
		protocol: `  protocol "line" { safe = ["."] }`,
		failover: fmt.Sprintf("    callback { exec = [\"/bin/sh\", \"-c\", \"cat >%s; echo resume; echo 'I was here' >&2\"] }", file),
		servers:  []string{"line", "line"},
	})
	client := f.dial()
	in := bufio.NewReader(client)
	for i := range 10 {
		ask(t, client, in, i)
	}
	f.elements[f.serving()].server.kill()
	for i := 10; i < 20; i++ {
		ask(t, client, in, i)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var at struct {
		User     string `json:"pool_user"`
		Element  string `json:"pool_element"`
		Client   string `json:"client"`
		Leg      int    `json:"leg"`
		Failover bool   `json:"failover"`
	}
	now := f.elements[f.serving()].name
	if err := json.Unmarshal(text, &at); err != nil || at.User != "test" || at.Element != now || at.Leg != 2 || !at.Failover ||
		at.Client != client.LocalAddr().String() {
		t.Errorf("the program read %s, %v", text, err)
	}
	if !strings.Contains(f.user.output(t), "I was here") {
		t.Error("what the program complained of is not in the log")
	}
}
