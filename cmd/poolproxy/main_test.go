package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDispatch(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.hcl")
	bad := filepath.Join(t.TempDir(), "bad.hcl")
	example, err := os.ReadFile(filepath.Join("..", "..", "config.hcl.example"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{good: string(example), bad: "grace = 5\nlog { level = 3 }\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args   string
		status int
		stdout string
		stderr string
	}{
		{"", 2, "", "Usage:"},
		{"help", 0, "Usage:", ""},
		{"-h", 0, "Usage:", ""},
		{"help run", 0, "-config FILE", ""},
		{"help chaos", 0, "-dry-run", ""},
		{"help chaos client", 0, "-journal", ""},
		{"help rehearse", 0, "Usage: poolproxy rehearse POOL", ""},
		{"help config", 0, "poolproxy config explain [NAME]", ""},
		{"help fly", 2, "", `no command "fly"`},
		{"help chaos fly", 2, "", `no command "chaos fly"`},
		{"help drain web-a", 2, "", `no command "drain web-a"`},
		{"fly", 2, "", `no command "fly"`},
		{"run", 2, "", "-config is missing"},
		{"run -h", 0, "", "-config"},
		{"run -conf x", 2, "", "flag provided but not defined"},
		{"run -config " + bad, 1, "", `"grace" must be a string`},
		{"validate", 2, "", "-config is missing"},
		{"validate -config", 2, "", "needs an argument"},
		{"validate stray", 2, "", `unexpected argument "stray"`},
		{"validate -config " + good, 0, "configuration is valid: 1 pool, 1 pool_user, 2 pool_elements\n", ""},
		{"validate -config " + bad, 1, "", "bad.hcl:2:15: Error:"},
		{"validate -config " + good + " -config " + bad, 1, "", "bad.hcl:1:1: Error:"},
		{"version", 0, "poolproxy ", ""},
		{"version -x", 2, "", "not defined"},
		{"status -x", 2, "", "not defined"},
		{"chaos -kinds cut,bend", 2, "", `no kind "bend"`},
		{"chaos -hold 9m", 2, "", "no duration up to 5m0s"},
		{"chaos -hold 3s..1s", 2, "", "as in 1s..3s"},
		{"chaos -radius 0", 2, "", "at least 1"},
		{"chaos -for 0s", 2, "", "more than 0"},
		{"chaos begin", 2, "", `unexpected argument "begin"`},
		{"chaos -token-file a -token-file b", 2, "", "say it once for all"},
		{"chaos -admin x:1 -admin x:1", 2, "", "said twice"},
		{"chaos stop -admin x:1 -admin x:1", 2, "", "said twice"},
		{"chaos -admin 127.0.0.1:1", 1, "", "nothing listens on 127.0.0.1:1"},
		{"chaos stop -admin 127.0.0.1:1", 1, "", "nothing listens on 127.0.0.1:1"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := dispatch(strings.Fields(c.args), &stdout, &stderr)
			if status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			if !strings.Contains(stdout.String(), c.stdout) || (c.stdout == "" && stdout.Len() > 0) {
				t.Errorf("stdout is %q, want %q", stdout.String(), c.stdout)
			}
			if !strings.Contains(stderr.String(), c.stderr) || (c.stderr == "" && stderr.Len() > 0) {
				t.Errorf("stderr is %q, want %q", stderr.String(), c.stderr)
			}
		})
	}
}
