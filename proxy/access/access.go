// Package access is the access log: one line of JSON for each session that has ended. Sessions never wait for the disk: lines
// go through a queue of bounded length to a goroutine that writes them. What finds it full, or cannot be written, is lost and
// counted.
package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/proxy"
)

// Bounds.
const (
	mostQueued = 8192            // sessions that have ended and are not written
	batch      = 64 << 10        // bytes that are written at once, and so lost at once
	mostText   = 1 << 10         // bytes of one text, such as a reason
	patience   = 5 * time.Second // for a disk, when the log is closed
)

// Reasons for which lines are lost: labels of poolproxy_access_log_lost_lines_total.
const (
	lostQueue = "queue_full"
	lostWrite = "write_failed"
)

// Log is an access log. It is a proxy.Observer.
type Log struct {
	path  string // "": file is not ours to open again
	log   hclog.Logger
	meter *metrics.Metrics

	queue   chan proxy.SessionEnd
	again   chan struct{} // a wish to open the file again
	end     chan struct{} // closed by Close
	ended   chan struct{} // closed when the goroutine has ended
	closing sync.Once

	// The goroutine's.
	file   *os.File
	text   bytes.Buffer // whole lines that are not written
	lines  int          // in text
	torn   bool         // the file ends within a line
	failed bool         // that writing fails was said
	absent bool         // that the file cannot be opened was said
}

// Open begins an access log as it is configured, which has to be one. The meter may be nil. The error names the file.
func Open(c proxy.AccessLog, log hclog.Logger, meter *metrics.Metrics) (*Log, error) {
	l := &Log{log: log, meter: meter, queue: make(chan proxy.SessionEnd, mostQueued), again: make(chan struct{}, 1), end: make(chan struct{}),
		ended: make(chan struct{}), file: os.Stdout}
	if c.File != proxy.AccessStdout {
		l.path = c.File
		var err error
		if l.file, err = open(l.path); err != nil {
			return nil, fmt.Errorf("access_log.file: %w", err)
		}
	}
	go l.run()
	return l, nil
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|openFlags, 0o640)
}

// Failover is of proxy.Observer. It is not what is logged here.
func (l *Log) Failover(proxy.Record) {}

// Ended is of proxy.Observer: it queues a line, or loses it.
func (l *Log) Ended(e proxy.SessionEnd) {
	select {
	case l.queue <- e:
	default:
		proxy.AccessLost.Add(l.meter, 1, lostQueue)
	}
}

// Reopen has the file opened anew, as after it was renamed. It does not wait for that.
func (l *Log) Reopen() {
	select {
	case l.again <- struct{}{}:
	default: // it is about to be
	}
}

// Close writes what is queued and closes the file. It waits at most five seconds for a disk that hangs. Nothing may be told any
// more. Twice is harmless.
func (l *Log) Close() {
	l.closing.Do(func() { close(l.end) })
	select {
	case <-l.ended:
	case <-time.After(patience):
		l.log.Error("the access log is not written: the disk hangs", "file", l.path)
	}
}

// run is the goroutine. It ends when Close says so, which waits for it.
func (l *Log) run() {
	defer close(l.ended)
	for {
		select {
		case e := <-l.queue:
			l.take(e)
			l.more()
			l.write()
		case <-l.again:
			l.reopen()
		case <-l.end:
			l.more()
			l.write()
			if l.path != "" {
				l.file.Close() // what it was given was written, or is counted as lost
			}
			return
		}
	}
}

// more takes what else is queued.
func (l *Log) more() {
	for {
		select {
		case e := <-l.queue:
			l.take(e)
		default:
			return
		}
	}
}

// take adds a line, and writes what there is if that is much.
func (l *Log) take(e proxy.SessionEnd) {
	text, err := json.Marshal(lineOf(e))
	if err != nil { // it holds nothing that JSON has no words for
		proxy.AccessLost.Add(l.meter, 1, lostWrite)
		return
	}
	l.text.Write(text)
	l.text.WriteByte('\n')
	l.lines++
	if l.text.Len() >= batch {
		l.write()
	}
}

// write writes what there is, or loses it.
func (l *Log) write() {
	if l.lines == 0 {
		return
	}
	l.follow()
	text, before := l.text.Bytes(), 0
	if l.torn {
		text, before = append([]byte{'\n'}, text...), 1
	}
	n, err := l.file.Write(text)
	if n > 0 {
		l.torn = text[n-1] != '\n'
	}
	if err != nil {
		lost := bytes.Count(text[max(n, before):], []byte{'\n'})
		proxy.AccessLost.Add(l.meter, lost, lostWrite)
		if !l.failed {
			l.log.Error("the access log cannot be written; lines are lost until it can", "file", l.file.Name(), "error", err)
		}
	} else if l.failed {
		l.log.Info("the access log is written again", "file", l.file.Name())
	}
	l.failed = err != nil
	l.text.Reset()
	l.lines = 0
}

// follow opens the file again if it is not any more the one of its name: it was renamed, or removed.
func (l *Log) follow() {
	if l.path == "" {
		return
	}
	there, err := os.Stat(l.path)
	if err == nil {
		if ours, err := l.file.Stat(); err == nil && os.SameFile(there, ours) {
			return
		}
	}
	l.reopen()
}

// reopen opens the file anew. If that fails the one that is open is used on.
func (l *Log) reopen() {
	if l.path == "" {
		return
	}
	file, err := open(l.path)
	if err != nil {
		if !l.absent {
			l.log.Error("the access log cannot be opened again; lines go to the file that was open", "error", err)
		}
		l.absent = true
		return
	}
	l.file.Close() // what it was given was written, or is counted as lost
	l.file, l.torn, l.absent = file, false, false
}
