//go:build linux

package sctplab

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// These need no machine.

func TestImageIsACpioArchive(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("there is no cpio to read it with; a machine that boots shows the same")
	}
	var b bytes.Buffer
	to := newImage(&b)
	for n := range 5 { // every remainder of four
		if err := to.add("a/b/"+strings.Repeat("x", n+1), 0o644, bytes.Repeat([]byte("y"), n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.link("a/link", "b/x"); err != nil {
		t.Fatal(err)
	}
	if err := to.finish(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(cpio, "-it", "--quiet")
	cmd.Stdin = &b
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []string{"a", "a/b", "a/b/x", "a/b/xx", "a/b/xxx", "a/b/xxxx", "a/b/xxxxx", "a/link"}
	if got := strings.Fields(string(out)); !reflect.DeepEqual(got, want) {
		t.Errorf("it holds %q, want %q", got, want)
	}
}

func TestUnpackStaysInItsFolder(t *testing.T) {
	for _, name := range []string{"../out", "/etc/out", "a/../../out"} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("x"))
		w.Close()
		archive := filepath.Join(t.TempDir(), "out.tar")
		if err := os.WriteFile(archive, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := unpack(archive, t.TempDir()); err == nil {
			t.Errorf("%s was unpacked", name)
		}
	}
}

func TestWhatIsNoModule(t *testing.T) {
	if _, err := dependencies([]byte("no ELF file")); err == nil {
		t.Error("a file that is no module has dependencies")
	}
}
