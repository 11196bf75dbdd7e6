package workload

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds on what a redis server says, and on what its append-only file holds.
const (
	mostWords = 1 << 22
	mostWord  = 4 << 20
)

// redisConn is a connection to a server itself, to prepare and to judge it.
type redisConn struct {
	net.Conn
	in *input
}

// dialRedis connects; ctx bounds all that is done with it, and without a deadline of its own a minute does.
func dialRedis(ctx context.Context, address string) (*redisConn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	deadline, given := ctx.Deadline()
	if !given {
		deadline = time.Now().Add(time.Minute)
	}
	conn.SetDeadline(deadline)
	return &redisConn{conn, newInput(conn)}, nil
}

// do sends a command and returns its answer: a string or a number as one word, an array as many.
func (c *redisConn) do(words ...string) ([]string, error) {
	if _, err := c.Write(appendCommand(nil, words...)); err != nil {
		return nil, fmt.Errorf("redis %s: %w", words[0], err)
	}
	got, err := readRESP(c.in)
	if err != nil {
		return nil, fmt.Errorf("redis at %v: %s: %w", c.RemoteAddr(), words[0], err)
	}
	return got, nil
}

// readRESP reads a value of RESP2: arrays only of strings and numbers.
func readRESP(in *input) ([]string, error) {
	line, err := in.headLine(false)
	if err != nil {
		return nil, err
	}
	if line == "" {
		return nil, wrong("an empty line")
	}
	switch line[0] {
	case '+', ':':
		return []string{line[1:]}, nil
	case '-':
		return nil, errors.New(line[1:])
	case '$':
		word, err := readBulk(in, line)
		return []string{word}, err
	case '*':
		n, err := strconv.ParseUint(line[1:], 10, 32)
		if err != nil || n > mostWords {
			return nil, wrong("an array of %.40q", line[1:])
		}
		var words []string
		for range n {
			line, err := in.headLine(true)
			if err != nil {
				return nil, err
			}
			if !strings.HasPrefix(line, "$") {
				words = append(words, strings.TrimPrefix(line, ":"))
				continue
			}
			word, err := readBulk(in, line)
			if err != nil {
				return nil, err
			}
			words = append(words, word)
		}
		return words, nil
	}
	return nil, wrong("a value that begins with %.40q", line)
}

// readBulk reads a string behind its length.
func readBulk(in *input, line string) (string, error) {
	n, err := strconv.ParseUint(line[1:], 10, 32)
	if err != nil || n > mostWord {
		return "", wrong("a string of %.40q bytes", line[1:])
	}
	var word strings.Builder
	if _, err := io.CopyN(&word, in, int64(n)); err != nil {
		return "", within(err, true)
	}
	return word.String(), in.expect("\r\n")
}

// LoadRedis puts into the redis server at address what the workload's safe requests read (1 MiB, at the key "chaos"), unless it is there.
func LoadRedis(ctx context.Context, address string) error {
	c, err := dialRedis(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	value := make([]byte, redisSize)
	redisValue().fill(value, 0)
	got, err := c.do("GET", redisKey)
	if err == nil && got[0] == string(value) {
		return nil
	}
	_, err = c.do("SET", redisKey, string(value))
	return err
}

// LoadedRedis returns how often unsafe requests were carried out, by what the redis server at address holds; name stands for it in verdicts.
func LoadedRedis(ctx context.Context, address, name string) (entries []Entry, err error) {
	c, err := dialRedis(ctx, address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	keys, err := c.do("KEYS", redisKey+":*")
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		fields, err := c.do("HGETALL", key)
		if err != nil {
			return nil, err
		}
		for i := 0; i+1 < len(fields); i += 2 {
			e, err := redisEntry(name, key, fields[i], fields[i+1])
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Number, b.Number) }) // a hash has no order
	return entries, nil
}

// redisEntry is what a field of a session's hash says, or a command that has added to it.
func redisEntry(server, key, field, value string) (Entry, error) {
	id, ours := strings.CutPrefix(key, redisKey+":")
	session, err1 := strconv.ParseUint(id, 16, 64)
	number, err2 := strconv.ParseUint(field, 10, 64)
	sum, err3 := strconv.ParseInt(value, 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil || !ours {
		return Entry{}, fmt.Errorf("redis %s: %.80q, field %.40q is not of this workload: %w", server, key, field, err)
	}
	delta := redisDelta(session, number)
	if sum%delta != 0 {
		return Entry{Server: server, Kind: Redis, Bad: fmt.Sprintf("%s %s is %d, no multiple of %d", key, field, sum, delta)}, nil
	}
	return Entry{Server: server, Kind: Redis, Session: session, Number: number, Times: sum / delta}, nil
}

// ReadAOF returns the unsafe requests that a redis server has carried out, command by command, by its append-only file; path may be the
// folder that it is in (appenddirname). The server may be dead. It must not have rewritten the file: auto-aof-rewrite-percentage 0.
func ReadAOF(path, name string) (entries []Entry, err error) {
	err = filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".aof") {
			return err
		}
		found, err := readAOF(file, name)
		entries = append(entries, found...)
		return err
	})
	if err != nil {
		return entries, fmt.Errorf("append-only file: %w", err)
	}
	return entries, nil
}

func readAOF(path, name string) (entries []Entry, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	entries, err = parseAOF(file, name)
	if err != nil {
		return entries, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}

// parseAOF reads commands to the end; the last may be cut. A preamble in RDB's format has no command in it.
func parseAOF(r io.Reader, name string) (entries []Entry, err error) {
	in := &input{bufio.NewReaderSize(r, 64<<10)}
	if start, _ := in.Peek(5); string(start) == "REDIS" {
		return nil, nil
	}
	for {
		words, err := readRESP(in)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return entries, nil
		case err != nil:
			return entries, err
		}
		if len(words) != 4 || !strings.EqualFold(words[0], "HINCRBY") || !strings.HasPrefix(words[1], redisKey+":") {
			continue
		}
		e, err := redisEntry(name, words[1], words[2], words[3])
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
	}
}
