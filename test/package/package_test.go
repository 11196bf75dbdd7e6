//go:build linux

package packages

import (
	"embed"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What the container gets, beside the packages.
//
//go:embed scenario.sh lab.service config.hcl echo.pl client.pl
var files embed.FS

// build builds the packages of a version for this machine's kind, and returns the .deb and the program.
func build(t *testing.T, version string) (deb, program string) {
	t.Helper()
	dir := t.TempDir()
	run(t, "../../deploy/package/build", "-o", dir, "-v", version, "linux/"+runtime.GOARCH)
	whole := filepath.Join(dir, "poolproxy_"+version)
	return whole + "_" + runtime.GOARCH + ".deb", whole + "_linux_" + runtime.GOARCH
}

// TestPackage has lintian look at the .deb, and takes it through its life in a Debian that has booted (scenario.sh).
func TestPackage(t *testing.T) {
	needs(t, "unshare", "mmdebstrap", "lintian")
	root := debian(t)
	begin := time.Now()
	older, _ := build(t, "0.1.0")
	newer, program := build(t, "0.2.0")
	t.Logf("built in %v", time.Since(begin).Round(time.Second))
	t.Run("lintian", func(t *testing.T) { lint(t, newer) })
	t.Run("static", func(t *testing.T) { static(t, program) })
	t.Run("life", func(t *testing.T) { life(t, root, older, newer) })
}

// life is scenario.sh.
func life(t *testing.T, root, older, newer string) {
	lab := filepath.Join(t.TempDir(), "lab")
	if err := os.CopyFS(lab, files); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{older: "old.deb", newer: "new.deb"} {
		if err := os.Rename(from, filepath.Join(lab, to)); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	out := boot(t, root, lab)
	console := left(t, out, "console.log")
	t.Logf("the container lived for %v\n%s", time.Since(begin).Round(time.Second), console)
	if status := left(t, out, "exit-status"); status != "0" {
		t.Fatalf("the scenario ended with %q", status)
	}
	exposure(t, left(t, out, "security.txt"))
}

// accepted are warnings of lintian's that stay.
var accepted = regexp.MustCompile(`^W: poolproxy: no-manual-page `)

// lint has no errors, and no warnings but those that are accepted.
func lint(t *testing.T, deb string) {
	for line := range strings.Lines(run(t, "lintian", "--allow-root", "--fail-on", "none", deb)) {
		if (strings.HasPrefix(line, "E:") || strings.HasPrefix(line, "W:")) && !accepted.MatchString(line) {
			t.Error(line)
		}
	}
}

var overall = regexp.MustCompile(`Overall exposure level for poolproxy\.service: ([0-9.]+) `)

// exposure compares what systemd thinks of the sandbox with what the documentation says of it.
func exposure(t *testing.T, report string) {
	page, err := os.ReadFile("../../docs/packaging.md")
	if err != nil {
		t.Fatal(err)
	}
	m := overall.FindStringSubmatch(report)
	if m == nil {
		t.Fatalf("systemd-analyze security says nothing of poolproxy:\n%s", report)
	}
	if !strings.Contains(string(page), "**"+m[1]+"**") {
		t.Errorf("systemd-analyze security: %s; docs/packaging.md says something else\n%s", m[1], report)
	}
}
