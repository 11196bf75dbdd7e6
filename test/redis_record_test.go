//go:build linux

package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// redisRecord counts what servers were told to do by clients, from their append-only files. What came from a primary is not
// counted: it stands before the mark that the test sets when it promotes a server.
type redisRecord struct {
	carriedOut map[string]int // by key: how many commands have changed it
	database   map[string]int // by key: where
}

func newRedisRecord() *redisRecord {
	return &redisRecord{carriedOut: make(map[string]int), database: make(map[string]int)}
}

// readLife reads the append-only file of one life of a server. It is made of several: bases (snapshots, of what came from the
// primary), and what came after each, numbered; a rewriting that was cut short leaves a last one behind.
func (r *redisRecord) readLife(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil {
		return err
	}
	number := func(path string) int {
		parts := strings.Split(filepath.Base(path), ".") // appendonly.aof.3.incr.aof
		n, _ := strconv.Atoi(parts[max(0, len(parts)-3)])
		return n
	}
	slices.SortFunc(files, func(a, b string) int { return number(a) - number(b) })
	if last := filepath.Join(dir, "appendonlydir", "temp-appendonly.aof.incr"); exists(last) {
		files = append(files, last)
	}
	l := redisLife{record: r}
	for _, path := range files {
		if err := l.readFile(path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// redisLife is where the reading of one life is.
type redisLife struct {
	record   *redisRecord
	database int
	marked   bool
}

func (l *redisLife) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	for {
		words, err := readRedisCommand(in)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // kill -9 may cut the last one
			return nil
		case err != nil:
			return err
		}
		l.take(words)
	}
}

// take counts one command.
func (l *redisLife) take(words []string) {
	name := strings.ToLower(words[0])
	switch {
	case name == "select" && len(words) == 2:
		l.database, _ = strconv.Atoi(words[1])
	case len(words) < 2:
	case words[1] == redisMark:
		l.marked = true
	case l.marked:
		l.record.carriedOut[words[1]]++
		l.record.database[words[1]] = l.database
	}
}

// readRedisCommand reads an array of bulk strings.
func readRedisCommand(in *bufio.Reader) ([]string, error) {
	count, err := readRedisCount(in, '*')
	if err != nil {
		return nil, err
	}
	if count == 0 {
		return nil, errors.New("a command without words")
	}
	words := make([]string, count)
	for i := range words {
		size, err := readRedisCount(in, '$')
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}

func readRedisCount(in *bufio.Reader, typ byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" || line[0] != typ {
		return 0, fmt.Errorf("%q in place of %c and a number", line, typ)
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 0 || n > 1<<29 {
		return 0, fmt.Errorf("%q is no count", line)
	}
	return n, nil
}

// The record counts what clients told all lives of a server, and nothing that came from its primary.
func TestRedisRecord(t *testing.T) {
	aof := func(commands ...string) string {
		var b strings.Builder
		for _, c := range commands {
			words := strings.Fields(c)
			fmt.Fprintf(&b, "*%d\r\n", len(words))
			for _, w := range words {
				fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
			}
		}
		return b.String()
	}
	root := t.TempDir()
	write := func(life, file, text string) {
		t.Helper()
		dir := filepath.Join(root, life, "appendonlydir")
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	mark := "SET " + redisMark + " a"
	write("1", "appendonly.aof.1.base.rdb", "REDIS…")
	write("1", "appendonly.aof.1.incr.aof", aof("SELECT 0", "INCR early", mark, "INCR once", "SELECT 1", "MULTI", "INCR other", "EXEC"))
	write("1", "appendonly.aof.10.incr.aof", aof("SELECT 1", "SET other v")+"*2\r\n$4\r\nINCR\r\n$3\r\nc")
	write("1", "appendonly.aof.2.incr.aof", aof("SELECT 0"))
	write("2", "appendonly.aof.2.incr.aof", aof("SELECT 0", "INCR once"))
	write("2", "temp-appendonly.aof.incr", aof("INCR once", mark, "INCR twice"))
	write("3", "appendonly.aof.1.incr.aof", aof(mark, "INCR twice"))
	r := newRedisRecord()
	for _, life := range []string{"1", "2", "3"} {
		if err := r.readLife(filepath.Join(root, life)); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(r.carriedOut); got != "map[once:1 other:2 twice:2]" {
		t.Error(got)
	}
	if r.database["other"] != 1 || r.database["once"] != 0 {
		t.Errorf("databases %v", r.database)
	}
	write("4", "appendonly.aof.1.incr.aof", "+what\r\n")
	if err := r.readLife(filepath.Join(root, "4")); err == nil {
		t.Error("a file that is none was read")
	}
}
