//go:build linux

package packages

import (
	"embed"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
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

// lint has no errors and no warnings, but what deploy/package/lintian-overrides explains.
func lint(t *testing.T, deb string) {
	for line := range strings.Lines(run(t, "lintian", "--allow-root", "--fail-on", "none", deb)) {
		if strings.HasPrefix(line, "E:") || strings.HasPrefix(line, "W:") {
			t.Error(line)
		}
	}
}

var (
	overall    = regexp.MustCompile(`Overall exposure level for poolproxy\.service: ([0-9.]+) `)
	documented = regexp.MustCompile(`exposure of \*\*([0-9.]+)\*\*`)
)

// exposure compares what systemd thinks of the sandbox with what the documentation says of it. Each version of systemd counts a little
// differently.
func exposure(t *testing.T, report string) {
	page, err := os.ReadFile("../../docs/packaging.md")
	if err != nil {
		t.Fatal(err)
	}
	is, errIs := number(overall, report)
	said, errSaid := number(documented, string(page))
	if errIs != nil || errSaid != nil || math.Abs(is-said) > 0.3 {
		t.Errorf("systemd-analyze security says %g, docs/packaging.md %g (%v, %v)\n%s", is, said, errIs, errSaid, report)
	}
}

// number is the one that the expression finds.
func number(of *regexp.Regexp, text string) (float64, error) {
	m := of.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("there is no %s", of)
	}
	return strconv.ParseFloat(m[1], 64)
}
