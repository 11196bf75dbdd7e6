package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/mapping"
)

// Where the kernel has no SCTP, validate and run say so in one line, with the ways out. What happens where it has is test/sctplab's.
func TestKernelWithoutSCTP(t *testing.T) {
	if (mapping.SCTPMapping{}).Supported() == nil {
		t.Skip("this kernel has SCTP")
	}
	user := `
pool "p" {
  mapping = "sctp"
  element "a" { address = "127.0.0.1:7001" }
}
pool_user "u" {
  listen = "127.0.0.1:0"
  pool   = "p"
  protocol "stream" {}
}
`
	element := `
pool_element "a" {
  mapping = "sctp"
  listen  = "127.0.0.1:7001"
  server  = "127.0.0.1:8081"
}
`
	for what, text := range map[string]string{`pool "p"`: user, `pool_element "a"`: element} {
		name := filepath.Join(t.TempDir(), "x.hcl")
		if err := os.WriteFile(name, []byte("admin { listen = \"off\" }\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		for command, want := range map[string]int{"validate": exitOK, "run": exitFailed} {
			var stdout, stderr bytes.Buffer
			status := dispatch([]string{command, "-config", name}, &stdout, &stderr)
			said := strings.ReplaceAll(stderr.String(), `\"`, `"`) // as the log has it
			if status != want || strings.Count(said, "\n") != 1 {
				t.Errorf("%s: exit status %d, want %d, and one line:\n%s", command, status, want, said)
			}
			for _, part := range []string{what, "this kernel has no SCTP", "modprobe sctp", "mapping tcp"} {
				if !strings.Contains(said, part) {
					t.Errorf("%s does not say %q: %s", command, part, said)
				}
			}
		}
	}
}
