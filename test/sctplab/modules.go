//go:build linux

package sctplab

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// addModules puts kernel modules, and those that they depend on, into the image, with the order in which to load them: what
// modprobe would find out, without the index that only an installed kernel has.
func (k kernel) addModules(to *image, names []string) error {
	files, err := k.moduleFiles()
	if err != nil {
		return fmt.Errorf("the modules of the lab's kernel: %w", err)
	}
	var order []string
	var add func(name string) error
	add = func(name string) error {
		if slices.Contains(order, name) {
			return nil
		}
		path, found := files[name]
		if !found {
			return fmt.Errorf("the lab's kernel has no module %s", name)
		}
		content, err := readModule(path)
		if err != nil {
			return err
		}
		depends, err := dependencies(content)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, d := range depends {
			if err := add(d); err != nil {
				return err
			}
		}
		order = append(order, name)
		return to.add("mod/"+name+".ko", 0o644, content)
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return err
		}
	}
	return to.add("mod/order", 0o644, []byte(strings.Join(order, "\n")))
}

// moduleFiles finds all modules of the kernel, by name. Files write it with - or _; a name has _.
func (k kernel) moduleFiles() (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(k.dir, "lib", "modules", k.version), func(path string, d fs.DirEntry, err error) error {
		if base, rest, found := strings.Cut(filepath.Base(path), ".ko"); err == nil && found && (rest == "" || rest == ".xz") {
			files[strings.ReplaceAll(base, "-", "_")] = path
		}
		return err
	})
	return files, err
}

// readModule reads a module, which newer Debians compress.
func readModule(path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	content, err := exec.Command("xz", "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("xz -dc %s: %w", path, err)
	}
	return content, nil
}

// dependencies reads which modules a module needs: its section .modinfo is a list of NUL-terminated key=value.
func dependencies(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no .modinfo: not a kernel module")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, found := strings.CutPrefix(entry, "depends="); found && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}
