//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// diskSize is how much a host's disk holds: journals and logs of some cells, and little more, so that it is soon full.
const diskSize = "48m"

// disk gives the host one of its own: a file system in memory that the host alone has mounted. Outside its place is an empty folder.
func (w *world) disk(h *host) (err error) {
	path := w.diskOf(h)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	h.do(func() { err = unix.Mount("poolproxy-chaos", path, "tmpfs", 0, "size="+diskSize) })
	if err != nil {
		return fmt.Errorf("a disk for %s: %w", h.name, err)
	}
	return nil
}

// diskOf is where processes of the host find it; outer is the same seen from the tests.
func (w *world) diskOf(h *host) string { return filepath.Join(w.dir, "disk-"+h.name) }

func (h *host) outer(path string) string { return h.root() + path }

// fillDisk writes until there is no room left, and returns what makes room again.
func (w *world) fillDisk(h *host) (undo func(), err error) {
	path := h.outer(filepath.Join(w.diskOf(h), "full"))
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	piece := make([]byte, 1<<20)
	for size := len(piece); size > 0; {
		_, err := file.Write(piece[:size])
		switch {
		case errors.Is(err, syscall.ENOSPC) && size > 1:
			size /= 2
		case errors.Is(err, syscall.ENOSPC):
			size = 0
		case err != nil:
			return nil, err
		}
	}
	return func() { _ = os.Remove(path) }, nil
}
