package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
)

// watchEvery is how often it is looked whether the files of the configuration have changed. They are looked at and not waited for (inotify):
// it is a handful of files, and so it does not matter what lies between their names and them: symbolic links that are turned to another folder, as
// Kubernetes does it with ConfigMaps, a file that another one is renamed to, a file system over the network.
const watchEvery = time.Second

// fileWatch sees whether the files of the configuration change. It belongs to one goroutine.
type fileWatch struct {
	paths []string
	taken [sha256.Size]byte // how they were when they were last read
	last  [sha256.Size]byte // at the last look
}

func newWatch(paths []string) *fileWatch {
	w := &fileWatch{paths: paths}
	w.seen()
	return w
}

// seen notes that the files are being read as they are.
func (w *fileWatch) seen() {
	w.taken = w.look()
	w.last = w.taken
}

// changed reports whether they are others than those that were read, and have been so for two looks: who writes them gets the time to come to
// the end. It reports each change once. Not on: nobody wants to know.
func (w *fileWatch) changed(on bool) bool {
	if !on {
		return false
	}
	now := w.look()
	settled := now == w.last
	if w.last = now; !settled || now == w.taken {
		return false
	}
	w.taken = now
	return true
}

// look is how the files are: which there are, and when, how long and which file each is, behind all links.
func (w *fileWatch) look() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range config.Files(w.paths) {
		info, err := os.Stat(name)
		if err != nil {
			fmt.Fprintf(h, "%q %v\n", name, err)
			continue
		}
		fmt.Fprintf(h, "%q %d %d %s\n", name, info.ModTime().UnixNano(), info.Size(), identity(info))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
