//go:build linux

package sctplab

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// image writes the machine's first and only file system: a cpio archive in the "newc" form, which the kernel unpacks into memory
// (Documentation/driver-api/early-userspace/buffer-format.rst). A later entry of the same name replaces an earlier one.
type image struct {
	w       *bufio.Writer
	entries int             // they number the inodes
	known   map[string]bool // folders that are in it, and libraries
}

func newImage(w io.Writer) *image {
	return &image{w: bufio.NewWriter(w), known: map[string]bool{"": true}}
}

// add writes a file, with the folders that it lies in. The name is a path in the machine, without the first slash.
func (i *image) add(name string, mode fs.FileMode, content []byte) error {
	if err := i.folder(path.Dir(name)); err != nil {
		return err
	}
	return i.entry(name, 0o100000|uint32(mode.Perm()), content)
}

// link writes a symbolic link.
func (i *image) link(name, target string) error {
	if err := i.folder(path.Dir(name)); err != nil {
		return err
	}
	return i.entry(name, 0o120777, []byte(target))
}

// folder writes a folder and those above it, once.
func (i *image) folder(name string) error {
	if name == "." || i.known[name] {
		return nil
	}
	if err := i.folder(path.Dir(name)); err != nil {
		return err
	}
	i.known[name] = true
	return i.entry(name, 0o040755, nil)
}

func (i *image) entry(name string, mode uint32, content []byte) error {
	i.entries++
	// The fields: inode, mode, uid, gid, links, mtime, size, four device numbers, length of the name with its NUL, checksum (unused).
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		i.entries, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	i.w.WriteString(header)
	i.w.WriteString(name)
	i.pad(len(header)+len(name), 1)
	i.w.Write(content)
	_, err := i.w.Write(zeros[:-len(content)&3]) // bufio keeps the first error
	if err != nil {
		return fmt.Errorf("writing the lab's image: %w", err)
	}
	return nil
}

var zeros [8]byte

// pad writes at least n zeros, to a multiple of four bytes.
func (i *image) pad(length, n int) {
	i.w.Write(zeros[:n+(-(length+n)&3)])
}

// finish writes the end of the archive.
func (i *image) finish() error {
	if err := i.entry("TRAILER!!!", 0, nil); err != nil {
		return err
	}
	return i.w.Flush()
}

// copy writes a file of this machine into the image, or a folder with all in it, links followed.
func (i *image) copy(name, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		files, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := i.copy(path.Join(name, f.Name()), filepath.Join(from, f.Name())); err != nil {
				return err
			}
		}
		return i.folder(name)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return i.add(name, info.Mode(), content)
}

// program writes a program of this machine into a folder of the image, with the shared libraries that it needs, where it needs
// them. The machine's loader is this machine's: so a -race binary works, which is bound to the C library it was linked with.
func (i *image) program(folder, from string) error {
	if err := i.copy(path.Join(folder, filepath.Base(from)), from); err != nil {
		return err
	}
	out, err := exec.Command("ldd", from).Output()
	if err != nil {
		return nil // a static program has none; for what is no program the scenario will say so
	}
	for line := range strings.Lines(string(out)) {
		// "	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)" or "	/lib64/ld-linux-x86-64.so.2 (0x…)"
		_, library, found := strings.Cut(line, " => ")
		if !found {
			library = line
		}
		library, _, _ = strings.Cut(strings.TrimSpace(library), " (")
		if !strings.HasPrefix(library, "/") || i.known[library] {
			continue // the vDSO has no file
		}
		i.known[library] = true
		if err := i.copy(strings.TrimPrefix(library, "/"), library); err != nil {
			return err
		}
	}
	return nil
}

// applets makes busybox what its links are called, but for the programs that are there themselves.
func (i *image) applets(busybox string) error {
	out, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("%s --list: %w", busybox, err)
	}
	for _, applet := range strings.Fields(string(out)) {
		if applet == "busybox" || applet == "ip" || applet == "tc" {
			continue
		}
		if err := i.link("bin/"+applet, "busybox"); err != nil {
			return err
		}
	}
	return nil
}
