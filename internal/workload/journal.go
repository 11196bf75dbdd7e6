package workload

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// errJournal is in what a server tells its client that has not carried a request out, because it could not write it down before.
var errJournal = errors.New("journal not written")

// Journal is where a server writes what it carries out, a line each, by one write to a file opened O_APPEND: it survives the server's
// death, though not the host's. Several servers may share one. Safe for concurrent use.
type Journal struct {
	file  *os.File
	name  string // the server's
	kind  Kind
	short atomic.Bool // the last line was cut: the disk is full
}

// OpenJournal opens or makes the file at path; the server that writes is named in each line (no spaces, at most 64 bytes).
func OpenJournal(path, name string, kind Kind) (*Journal, error) {
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("journal %s: a server's name is 1 to 64 characters without spaces, not %q", path, name)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{file: file, name: name, kind: kind}
	j.short.Store(endsShort(path))
	return j, nil
}

// endsShort reports whether the last line of the file was cut: whoever wrote it died on a full disk.
func endsShort(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	var last [1]byte
	end, err := file.Seek(-1, io.SeekEnd)
	if err != nil {
		return false // it is empty
	}
	_, err = file.ReadAt(last[:], end)
	return err == nil && last[0] != '\n'
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// did writes down that r is carried out. If that fails it must not be.
func (j *Journal) did(r *Request) error {
	return j.line("did", strconv.FormatUint(r.Session, 16), strconv.FormatUint(r.Number, 10))
}

// bad writes down that a client's bytes were not what the workload says.
func (j *Journal) bad(reason string) error {
	return j.line("bad", strings.Map(printable, reason))
}

// printable keeps a reason within its line.
func printable(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// lineEnd is what no line is whole without: a number that was cut is a number, too.
const lineEnd = " ."

func (j *Journal) line(what string, rest ...string) error {
	line := make([]byte, 0, 128)
	if j.short.Load() {
		line = append(line, "!\n"...) // behind what was cut, so that it spoils nothing else, and is not taken for whole
	}
	line = append(line, what...)
	line = append(line, ' ')
	line = append(line, j.name...)
	line = append(line, ' ')
	line = append(line, j.kind...)
	line = append(line, ' ')
	line = strconv.AppendInt(line, time.Now().UnixNano(), 10)
	for _, word := range rest {
		line = append(line, ' ')
		line = append(line, word...)
	}
	line = append(line, lineEnd...)
	n, err := j.file.Write(append(line, '\n'))
	if err != nil {
		j.short.Store(n > 0 || j.short.Load())
		return fmt.Errorf("%w: %w", errJournal, err)
	}
	j.short.Store(false)
	return nil
}

// Entry is one line of a journal.
type Entry struct {
	Server  string    // who wrote it
	Kind    Kind      //
	At      time.Time // by the server's clock
	Session uint64    // of what was carried out, with
	Number  uint64    //
	Times   int64     // how often, by this entry: 1, or what LoadedRedis says
	Bad     string    // or what was wrong with a client's bytes
}

// ReadJournal reads a journal from a file, which may still be written. A last line without its end is left out; others that are no lines
// of a journal are an error, unless they were cut (the disk was full).
func ReadJournal(path string) ([]Entry, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer file.Close()
	entries, err := readJournal(file)
	if err != nil {
		return entries, fmt.Errorf("journal %s: %w", path, err)
	}
	return entries, nil
}

func readJournal(r io.Reader) (entries []Entry, err error) {
	in := bufio.NewReaderSize(r, 4<<10)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return entries, fmt.Errorf("line %d: %w", n, err)
		}
		e, err := parseEntry(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			return entries, fmt.Errorf("line %d: %w", n, err)
		}
		if e != (Entry{}) {
			entries = append(entries, e)
		}
	}
}

// parseEntry reads a line. One that was cut is an empty Entry: whatever it was about was not carried out.
func parseEntry(line string) (Entry, error) {
	if strings.HasSuffix(line, "!") {
		return Entry{}, nil
	}
	if !strings.HasPrefix("did ", line[:min(4, len(line))]) && !strings.HasPrefix("bad ", line[:min(4, len(line))]) {
		return Entry{}, fmt.Errorf("%.100q is not what a server of this workload writes", line)
	}
	line, whole := strings.CutSuffix(line, lineEnd)
	words := strings.SplitN(line, " ", 5)
	if !whole || len(words) < 5 {
		return Entry{}, nil
	}
	kind, err := ParseKind(words[2])
	if err != nil {
		return Entry{}, err
	}
	ns, err := strconv.ParseInt(words[3], 10, 64)
	if err != nil {
		return Entry{}, fmt.Errorf("the time %.40q: %w", words[3], err)
	}
	e := Entry{Server: words[1], Kind: kind, At: time.Unix(0, ns), Times: 1}
	if words[0] == "bad" {
		e.Bad = words[4]
		return e, nil
	}
	session, number, _ := strings.Cut(words[4], " ")
	var errs [2]error
	e.Session, errs[0] = strconv.ParseUint(session, 16, 64)
	e.Number, errs[1] = strconv.ParseUint(number, 10, 64)
	return e, errors.Join(errs[0], errs[1])
}
