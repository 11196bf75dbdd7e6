//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Who may ask the admin API may be any user of this host. He is not to have a program of his own run as the proxy's user: neither as the one that
// takes over, nor as one that its configuration names (health checks, callbacks, fences). So what he names has to belong to root, or to
// the proxy's user, and nobody else may write to it, or put something else in its place behind the look at it.

// trustworthy refuses a program that somebody else could have put there.
func trustworthy(program string) error {
	info, err := os.Stat(program)
	switch {
	case err != nil:
		return fmt.Errorf("the program: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is no program: it has to be a file that can be executed", program)
	case info.Mode()&0o022 != 0:
		return writable(program)
	}
	return owned(program, info)
}

// trustworthyPlace refuses a file or folder that somebody else could have put there, or could exchange for another one behind this look, by a
// folder or a link on the way to it. Of a folder it looks at the files *.hcl, too.
func trustworthyPlace(named string) error {
	path, info, err := wayTo(named)
	if err != nil {
		return err
	}
	if info.Mode()&0o022 != 0 {
		return writable(path)
	}
	if !info.IsDir() {
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".hcl" || entry.IsDir() {
			continue
		}
		if err := trustworthyPlace(filepath.Join(path, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// mostLinks is how many links there may be on the way to a file, as the kernel has it.
const mostLinks = 40

// wayTo goes the way to a file, folder by folder and link by link, and returns where it ends. Nobody else may have made any of them, or be able to
// exchange what is in them.
func wayTo(named string) (path string, info fs.FileInfo, err error) {
	path = "/"
	if named, err = filepath.Abs(named); err != nil {
		return "", nil, err
	}
	left := append([]string{"."}, strings.Split(named, "/")...)
	for links := 0; len(left) > 0; {
		next := filepath.Join(path, left[0])
		left = left[1:]
		if info, err = os.Lstat(next); err == nil {
			err = owned(next, info)
		}
		if err != nil {
			return "", nil, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			path = next
			if len(left) > 0 && info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
				return "", nil, writable(path)
			}
			continue
		}
		to, err := os.Readlink(next)
		if links++; err == nil && links > mostLinks {
			err = fmt.Errorf("%s: %w", named, syscall.ELOOP)
		}
		if err != nil {
			return "", nil, err
		}
		if filepath.IsAbs(to) {
			path = "/"
		}
		left = append(strings.Split(to, "/"), left...)
	}
	return path, info, nil
}

func writable(path string) error {
	return fmt.Errorf("%s can be written to by others than its owner: it is not used (chmod go-w)", path)
}

// owned refuses what belongs to another user.
func owned(path string, info fs.FileInfo) error {
	owner, known := info.Sys().(*syscall.Stat_t)
	if known && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: it is not used; it has to be root's, or that of user %d, as which the proxy runs", path,
			owner.Uid, os.Geteuid())
	}
	return nil
}
