package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// needTool is the path of a program that a test cannot do without.
func needTool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("POOLPROXY_CHECK") != "" {
		t.Fatalf("%s is not installed (package %s): make check needs it", name, pkg)
	} else if err != nil {
		t.Skipf("SKIPPED: %s is not installed (package %s)", name, pkg)
	}
	return path
}

// A real bash completes commands, flags of the command and names of settings.
func TestCompletionOfBash(t *testing.T) {
	bash := needTool(t, "bash", "bash")
	script := filepath.Join(t.TempDir(), "completion")
	var out bytes.Buffer
	if status := dispatch([]string{"completion", "bash"}, &out, &out); status != exitOK {
		t.Fatal(status, out.String())
	}
	if err := os.WriteFile(script, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"poolproxy dr":        "drain",
		"poolproxy drain -ti": "-timeout",
		"poolproxy config ex": "explain",
		"poolproxy config explain pool_user.failover.dea": "pool_user.failover.deadline",
		"poolproxy completion z":                          "zsh",
	} {
		words := strings.Fields(line)
		ask := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _poolproxy; echo "${COMPREPLY[@]}"`
		got, err := exec.Command(bash, append([]string{"-c", ask, "bash", script}, words...)...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: %q, %v; want %q", line, got, err, want)
		}
	}
}

// The flags are those that the commands declare: a command without any would be forgotten in silence.
func TestFlagsOfCommands(t *testing.T) {
	for _, c := range shown() {
		none := []string{"version", "config", "completion", "man"}
		if flags := flagsOf(c); (len(flags) == 0) != slices.Contains(none, c.name) {
			t.Errorf("%s has %d flags", c.name, len(flags))
		}
	}
	for _, shell := range []string{"zsh", "fish"} {
		var out bytes.Buffer
		if status := dispatch([]string{"completion", shell}, &out, &out); status != exitOK || !strings.Contains(out.String(), "undrain") {
			t.Errorf("%s: %d\n%s", shell, status, out.String())
		}
	}
}

// groff finds nothing wrong with the manual page, and it has all commands and settings.
func TestManualPage(t *testing.T) {
	groff := exec.Command(needTool(t, "groff", "groff-base"), "-man", "-Tutf8", "-P-cbou", "-ww", "-rLL=300n")
	groff.Stdin = strings.NewReader(manPage())
	var out, wrong bytes.Buffer
	groff.Stdout, groff.Stderr = &out, &wrong
	if err := groff.Run(); err != nil || wrong.Len() > 0 {
		t.Fatal(err, wrong.String())
	}
	for _, want := range []string{"poolproxy undrain", "pool_user.failover", "on_server_close", "10 unknown element"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestConfigExplain(t *testing.T) {
	for line, status := range map[string]int{
		"config explain failover.replay": exitOK, "config explain": exitOK, "config explain failover.repaly": exitFailed,
		"config": exitUsage, "config explain a b": exitUsage, "config explain -x": exitUsage,
	} {
		var out, complaint bytes.Buffer
		if got := dispatch(strings.Fields(line), &out, &complaint); got != status || (out.Len() > 0) == (complaint.Len() > 0) {
			t.Errorf("%s: %d\n%s%s", line, got, out.String(), complaint.String())
		}
	}
}
