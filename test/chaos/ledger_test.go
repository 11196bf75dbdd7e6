//go:build linux

package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// journalSize is how long a journal may become until it is begun anew, so that it does not fill the host's disk by itself.
const journalSize = 4 << 20

// ledger is what has been seen of the journals of a column's servers, since the beginning: a request that is carried out a second time
// long after its session has ended is found, too.
type ledger struct {
	mu   sync.Mutex
	read map[string]int64     // how far each journal
	done map[[2]uint64]string // session and number: the server
}

// written are the entries of all servers that have not been returned before, and what is wrong with them.
func (c *column) written() (all []workload.Entry, wrong []workload.Finding, err error) {
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	for i, h := range c.world.hosts {
		var entries []workload.Entry
		var failed error
		if c.dialect.kind == workload.Redis {
			entries, failed = c.redisDid(i)
		} else {
			entries, failed = c.seen.further(h.outer(c.journal(i)), filepath.Join(c.world.dir, c.name+".part"))
		}
		err = errors.Join(err, failed)
		all = append(all, entries...)
	}
	for _, e := range all {
		key := [2]uint64{e.Session, e.Number}
		if first, again := c.seen.done[key]; again && e.Bad == "" {
			wrong = append(wrong, workload.Finding{Kind: workload.Doubled, Session: e.Session, Number: e.Number,
				Text: fmt.Sprintf("it was carried out by %s, and by %s", first, e.Server)})
		}
		c.seen.done[key] = e.Server
	}
	return all, wrong, err
}

// further reads what a journal has got since the last time; part is a file for what is new.
func (l *ledger) further(path, part string) ([]workload.Entry, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, l.read[path], 1<<30))
	if err != nil {
		return nil, err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	if len(text) == 0 {
		return nil, nil
	}
	l.read[path] += int64(len(text))
	if err := os.WriteFile(part, text, 0o644); err != nil {
		return nil, err
	}
	if l.read[path] > journalSize {
		if err := os.Truncate(path, 0); err != nil {
			return nil, err
		}
		l.read[path] = 0
	}
	return workload.ReadJournal(part)
}
