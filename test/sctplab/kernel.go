//go:build linux

package sctplab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// errNoKernel means that this system's packages have no kernel for the lab, which nobody can mend from here.
var errNoKernel = errors.New("no kernel for the lab")

// modules are what scenarios may need beside what is built into the kernel; what they depend on is found by itself.
var modules = []string{"sctp", "sctp_diag", "sch_netem", "veth", "dummy", "bridge"}

// kernel is an unpacked Debian kernel package.
type kernel struct {
	version string // as of uname -r
	dir     string // holds boot/ and lib/modules/
}

func (k kernel) image() string { return filepath.Join(k.dir, "boot", "vmlinuz-"+k.version) }

// findKernel returns the kernel that Debian would install in a virtual machine today. What apt knows of packages may be missing or
// too old to download by; root can mend that.
func findKernel() (kernel, error) {
	k, err := cachedKernel()
	if err == nil || os.Geteuid() != 0 {
		return k, err
	}
	if updating := run("", "apt-get", "-q", "update"); updating != nil {
		return k, err // the first error says more
	}
	return cachedKernel()
}

// cachedKernel downloads the kernel once, and keeps it in the cache folder under its version. Two processes may do so at once.
func cachedKernel() (kernel, error) {
	name, err := kernelPackage()
	if err != nil {
		return kernel{}, err
	}
	version, err := packageVersion(name)
	if err != nil {
		return kernel{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home, as in some containers
	}
	k := kernel{
		version: strings.TrimPrefix(name, "linux-image-"),
		dir:     filepath.Join(cache, "poolproxy", "sctplab", name+"_"+version),
	}
	if _, err := os.Stat(k.image()); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(filepath.Dir(k.dir), 0o755); err != nil {
		return kernel{}, fmt.Errorf("the folder for the lab's kernel: %w", err)
	}
	return k, downloadKernel(name, k.dir)
}

// kernelPackage is the name of the package that holds Debian's newest kernel for virtual machines.
func kernelPackage() (string, error) {
	const meta = "linux-image-cloud-amd64" // has no files itself, but depends on the newest kernel
	out, err := exec.Command("apt-cache", "depends", "--important", meta).Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%w: it is a Debian package, and there is no apt here", errNoKernel)
	}
	for line := range strings.Lines(string(out)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "Depends: linux-image-"); found {
			return "linux-image-" + name, nil
		}
	}
	return "", fmt.Errorf("%w: apt knows no package %s (Debian on amd64 has it; is apt-get update needed?)", errNoKernel, meta)
}

// packageVersion is the version of a package that apt would take.
func packageVersion(name string) (string, error) {
	out, err := exec.Command("apt-cache", "show", "--no-all-versions", name).Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache show %s: %w", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if version, found := strings.CutPrefix(line, "Version: "); found {
			return strings.TrimSpace(version), nil
		}
	}
	return "", fmt.Errorf("apt-cache show %s names no version", name)
}

// downloadKernel unpacks a kernel package as dir.
func downloadKernel(name, dir string) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// apt's own sandbox user could not write here.
	fetch := []string{"apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name}
	if err := run(work, fetch...); err != nil {
		return fmt.Errorf("downloading the lab's kernel (apt-get update may help): %w", err)
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages in %s", name, len(debs), work)
	}
	unpacked := filepath.Join(work, "kernel")
	if err := run(work, "dpkg-deb", "-x", debs[0], unpacked); err != nil {
		return fmt.Errorf("unpacking the lab's kernel: %w", err)
	}
	err = os.Rename(unpacked, dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return nil // another process was faster
	}
	return err
}

// run runs a command in a folder; what it prints is in the error.
func run(dir string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
