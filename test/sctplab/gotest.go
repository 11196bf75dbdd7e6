//go:build linux

package sctplab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// GoTest is a Go test binary to run in a machine.
type GoTest struct {
	Package  string            // its folder, as go build takes it
	Race     bool              // built with the race detector; else static
	Args     []string          // such as -test.run=SCTP; -test.v is given anyway
	Env      []string          // NAME=value without blanks
	Setup    string            // shell, before the binary starts; its failure is that of the test
	Programs []string          // as in Scenario
	Files    map[string]string // as in Scenario; the package's testdata comes by itself
	Limit    time.Duration     // as in Scenario
	Memory   int               // as in Scenario; 0 means 2048 with the race detector
}

// Build builds a package's program into a folder that lives as long as the test: static, so that it runs in any machine.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(pkg))
	compile(t, []string{"CGO_ENABLED=0"}, "build", "-o", path, pkg)
	return path
}

// compile runs the go command; it fails the test with what the compiler says.
func compile(t testing.TB, env []string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// RunTests runs the binary's tests in a machine; each of its top tests is a test of its own here, with its output and its fate.
func (l *Lab) RunTests(t *testing.T, g GoTest) {
	t.Helper()
	verdicts, rest, status := l.judge(t, g)
	passed := 0
	for _, v := range verdicts {
		t.Run(v.name, v.repeat)
		if v.fate == "pass" {
			passed++
		}
	}
	if status != 0 {
		t.Errorf("the test binary ended with exit status %d (143: its time was up)\n%s", status, rest)
	} else if passed == 0 {
		t.Errorf("no test passed: a run that tests nothing is no success\n%s", rest)
	}
}

// judge runs the tests and returns what became of them, what else the binary printed, and its exit status.
func (l *Lab) judge(t testing.TB, g GoTest) (verdicts []verdict, rest string, status int) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "lab.test")
	if g.Race {
		compile(t, []string{"CGO_ENABLED=1"}, "test", "-c", "-race", "-o", binary, g.Package) // it brings its C library
		if g.Memory == 0 {
			g.Memory = 2048
		}
	} else {
		compile(t, []string{"CGO_ENABLED=0"}, "test", "-c", "-o", binary, g.Package)
	}
	if g.Limit == 0 {
		g.Limit = defaultLimit
	}
	r := l.Run(t, g.scenario(strings.ReplaceAll(t.Name(), "/", "-"), binary))
	t.Logf("%v on %s; console:\n%s", r.Took.Round(time.Millisecond), l.kernel.version, r.console(t))
	verdicts, rest, err := read(r.File(t, "output"))
	if err != nil {
		t.Fatal(err)
	}
	return verdicts, rest, r.Status
}

// scenario is the machine's part: the output goes to a file, for the console is slow and the kernel writes there too.
func (g GoTest) scenario(name, binary string) Scenario {
	s := Scenario{Name: name, Programs: append([]string{binary}, g.Programs...), Files: map[string]string{},
		Limit: g.Limit, Memory: g.Memory}
	for to, from := range g.Files {
		s.Files[to] = from
	}
	if testdata := filepath.Join(g.Package, "testdata"); exists(testdata) {
		s.Files["test/testdata"] = testdata
	}
	// The binary's own limit comes first: it then prints where it hangs.
	limit := fmt.Sprintf("-test.timeout=%v", g.Limit-g.Limit/10)
	args := append([]string{"-test.v=test2json", limit}, g.Args...)
	for i, arg := range args {
		args[i] = "'" + arg + "'"
	}
	s.Script = fmt.Sprintf("set -e\nmkdir -p /test && cd /test\n%s\ncd /test\nenv %s /bin/%s %s > /out/output 2>&1\n",
		g.Setup, strings.Join(g.Env, " "), filepath.Base(binary), strings.Join(args, " "))
	return s
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// verdict is what became of a top test in the machine.
type verdict struct {
	name   string
	fate   string // "pass", "fail", "skip"; anything else: it did not end
	output string // with that of its subtests
}

// repeat gives a test here the same fate.
func (v verdict) repeat(t *testing.T) {
	switch v.fate {
	case "pass":
		t.Log(v.output)
	case "skip":
		t.Skip(v.output)
	case "fail":
		t.Error(v.output)
	default:
		t.Errorf("it did not end (%s)\n%s", v.fate, v.output)
	}
}

// read splits what a test binary printed into its tests, and a rest that belongs to none.
func read(output string) (verdicts []verdict, rest string, err error) {
	cmd := exec.Command("go", "tool", "test2json")
	cmd.Stdin = strings.NewReader(output)
	lines, err := cmd.Output()
	if err != nil {
		return nil, "", fmt.Errorf("go tool test2json: %w", err)
	}
	index := map[string]int{}
	for line := range bytes.Lines(lines) {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, "", fmt.Errorf("go tool test2json said %q: %w", line, err)
		}
		top, _, sub := strings.Cut(e.Test, "/")
		if top == "" {
			rest += e.Output
			continue
		}
		at, known := index[top]
		if !known {
			at = len(verdicts)
			index[top] = at
			verdicts = append(verdicts, verdict{name: top})
		}
		verdicts[at].output += e.Output
		if e.Action != "output" && !sub {
			verdicts[at].fate = e.Action
		}
	}
	return verdicts, rest, nil
}
