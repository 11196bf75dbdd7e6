// Command filetransfer is the server of the example: a small file server that has never heard of pools or failover.
//
// A request is a line with the name of a file and an offset, "GET book.txt 0". The reply is the lines of the file, and then one that
// begins with a dot: a single one, or behind it what was wrong. The offset counts from the beginning of the reply, so one
// in the middle of a line is answered by the rest of that line. No line of a file may begin with a dot.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:7001", "the address to listen on")
	dir := flag.String("dir", ".", "the folder of the files")
	rate := flag.Int("rate", 200_000, "bytes a second, so that there is time to kill it")
	flag.Parse()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn, *dir, *rate)
	}
}

// serve answers the requests of one connection, one after another, until the client closes it.
func serve(conn net.Conn, dir string, rate int) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 1024)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		fmt.Printf("%s", line)
		if err := answer(conn, string(line), dir, rate); err != nil {
			return
		}
	}
}

// answer sends the reply to one request.
func answer(to io.Writer, request, dir string, rate int) error {
	var name string
	var offset int64
	if _, err := fmt.Sscanf(request, "GET %s %d\n", &name, &offset); err != nil || offset < 0 {
		return send(to, strings.NewReader(". this is no request: write GET FILE OFFSET\n"), rate)
	}
	file, err := os.Open(filepath.Join(dir, filepath.Base(name)))
	if err != nil {
		return send(to, strings.NewReader(". there is no such file\n"), rate)
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil || !about.Mode().IsRegular() {
		return send(to, strings.NewReader(". this is no file\n"), rate)
	}
	if offset > about.Size()+1 {
		return send(to, strings.NewReader(". the file has no such offset\n"), rate)
	}
	size := about.Size()
	rest := io.NewSectionReader(file, min(offset, size), size-min(offset, size))
	return send(to, io.MultiReader(rest, strings.NewReader(".\n"[max(offset-size, 0):])), rate)
}

// send writes all that there is, at a rate.
func send(to io.Writer, from io.Reader, rate int) error {
	piece := make([]byte, max(rate/100, 1))
	for {
		n, err := io.ReadFull(from, piece)
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				return err
			}
			time.Sleep(time.Duration(n) * time.Second / time.Duration(max(rate, 1)))
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}
