package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// demoServerCommand is the file server of the demo, a legacy server like any other: it serves one file whose content is made on the
// fly, and knows nothing of pools. It is a hidden command: the demo runs it as processes of their own, to be killed.
func demoServerCommand(args []string, _, stderr io.Writer) int {
	flags := newFlags("demo-server", stderr)
	listen := flags.String("listen", "", "address to listen on")
	size := flags.Int64("size", demoSize, "length of the file, in bytes")
	seed := flags.Uint64("seed", demoSeed, "what the content is made from")
	if status, ok := parse(flags, args); !ok {
		return status
	}
	server := &http.Server{Addr: *listen, Handler: demoFile(*seed, *size), ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(stderr, "poolproxy demo-server:", server.ListenAndServe())
	return exitFailed
}

// demoFile serves the content under every path. All servers with one seed give it the same strong ETag: it is the same file.
func demoFile(seed uint64, size int64) http.Handler {
	tag := fmt.Sprintf(`"demo-%x-%d"`, seed, size)
	modified := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "demo.bin", modified, &demoContent{seed: seed, size: size})
	})
}

// demoContent is a file of pseudo-random bytes that lies nowhere: any part of it can be computed (splitmix64 of the position).
type demoContent struct {
	seed uint64
	size int64
	at   int64
}

func (c *demoContent) Read(p []byte) (int, error) {
	if c.at >= c.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), c.size-c.at)]
	for done := 0; done < len(p); {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], splitmix(c.seed+uint64(c.at/8)))
		n := copy(p[done:], word[c.at%8:])
		done += n
		c.at += int64(n)
	}
	return len(p), nil
}

func (c *demoContent) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, errors.New("demo: seek before the beginning")
	}
	c.at = offset
	return offset, nil
}

// splitmix is Vigna's splitmix64 at position n: good enough bytes from a counter.
func splitmix(n uint64) uint64 {
	z := (n + 1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
