package workload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// mostPage is how long a page may be, in bytes.
const mostPage = 64 << 20

// Page is a page of any HTTP server, whose answer is known: FetchPage has got it when all was quiet. All answers are compared with that one, so
// another content, a cut or a mixture is seen. Since all are alike, nothing can be said of their order. Clients share it.
type Page struct {
	host, path string
	status     int
	want       []byte
}

// FetchPage gets the page at path from the server at address (host:port) twice, over two connections; host is what is put into the field
// Host. The error says so if the two answers differ: then nothing can be judged by that page.
func FetchPage(ctx context.Context, address, host, path string) (*Page, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path+host, " \r\n\t") {
		return nil, fmt.Errorf("%q is not the path of a page, as /index.html is", path)
	}
	first := &Page{host: host, path: path}
	if err := first.fetch(ctx, address); err != nil {
		return nil, err
	}
	second := &Page{host: host, path: path}
	if err := second.fetch(ctx, address); err != nil {
		return nil, err
	}
	if first.status != second.status || !bytes.Equal(first.want, second.want) {
		return nil, fmt.Errorf("http://%s%s: two answers differ (%d and %d, %d and %d bytes) though nothing was disturbed; choose a page that is always "+
			"the same", address, path, first.status, second.status, len(first.want), len(second.want))
	}
	if first.status >= 500 {
		return nil, fmt.Errorf("http://%s%s: it is answered by %d though nothing was disturbed", address, path, first.status)
	}
	return first, nil
}

// fetch gets the page once.
func (p *Page) fetch(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(p.ask(nil, nil)); err != nil {
		return fmt.Errorf("http://%s%s: %w", address, p.path, err)
	}
	in := newInput(conn)
	h, err := p.answer(in)
	if err == nil {
		p.status = h.status
		var content bytes.Buffer
		err = h.each(in, func(piece []byte) error {
			if content.Len()+len(piece) > mostPage {
				return fmt.Errorf("it is longer than %d bytes", mostPage)
			}
			content.Write(piece)
			return nil
		})
		p.want = content.Bytes()
	}
	if err != nil {
		return fmt.Errorf("http://%s%s: %w", address, p.path, err)
	}
	return nil
}

func (p *Page) ask(to []byte, _ *Request) []byte {
	return fmt.Appendf(to, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: poolproxy-chaos\r\nAccept: */*\r\n\r\n", p.path, p.host)
}

// answer reads a head, behind interim ones.
func (p *Page) answer(in *input) (h httpReply, err error) {
	for {
		if h.head, err = readHead(in); err != nil {
			return h, err
		}
		version, rest, _ := strings.Cut(h.head.first, " ")
		code, _, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if !strings.HasPrefix(version, "HTTP/1.") || err != nil || len(code) != 3 || status < 100 {
			return h, wrong("a reply that begins with %.80q", h.head.first)
		}
		if status < 200 && status != 101 {
			continue
		}
		h.status = status
		h.chunked = strings.EqualFold(h.head.field["transfer-encoding"], "chunked")
		h.length, err = h.head.lengthUpTo(mostPage)
		if status == 204 || status == 304 {
			h.chunked, h.length = false, 0
		}
		return h, err
	}
}

// hear reads a reply's head: the page's, or an error.
func (p *Page) hear(in *input, of waiting) (reply, error) {
	h, err := p.answer(in)
	if err != nil {
		return reply{}, err
	}
	re := reply{http: h, closes: strings.EqualFold(h.head.field["connection"], "close") || strings.HasPrefix(h.head.first, "HTTP/1.0")}
	if !h.chunked && h.length < 0 {
		re.closes = true
	}
	if h.status == p.status || h.status < 500 {
		return re, nil
	}
	re.refused = fmt.Sprintf("%d %s", h.status, h.head.field["poolproxy-reason"])
	re.undone = h.status == 503
	return re, h.each(in, func([]byte) error { return nil })
}

func (p *Page) content(in *input, re *reply, of *Request, progress func(int64)) error {
	if re.refused != "" {
		return nil
	}
	if re.http.status != p.status {
		return wrong("the answer is %d, not %d", re.http.status, p.status)
	}
	at := 0
	err := re.http.each(in, func(piece []byte) error {
		rest := p.want[at:]
		if len(piece) > len(rest) || !bytes.Equal(piece, rest[:len(piece)]) {
			n := 0
			for n < len(piece) && n < len(rest) && piece[n] == rest[n] {
				n++
			}
			return wrong("the answer differs from the first one, of %d bytes, at byte %d", len(p.want), at+n)
		}
		at += len(piece)
		progress(int64(at))
		return nil
	})
	if err == nil && at < len(p.want) {
		return wrong("the answer ends after %d of %d bytes", at, len(p.want))
	}
	re.size = int64(at)
	return err
}

// errClient: nobody is served a page.
var errClient = errors.New("workload: a page is for clients only")

func (p *Page) read(*input) (Request, error) { return Request{}, errClient }

func (p *Page) write(*bufio.Writer, *Request, func() error) error { return errClient }

func (p *Page) fail(*bufio.Writer, string) {}

// each reads the content piece by piece, up to its end; the pieces are valid until take returns.
func (h *httpReply) each(in *input, take func([]byte) error) error {
	switch {
	case h.chunked:
		for {
			line, err := in.headLine(true)
			if err != nil {
				return err
			}
			size, _, _ := strings.Cut(line, ";")
			n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 32)
			switch {
			case err != nil:
				return wrong("a chunk %.40q", line)
			case n == 0:
				return in.trailers()
			}
			if err := in.pieces(int64(n), take); err != nil {
				return err
			}
			if err := in.expect("\r\n"); err != nil {
				return err
			}
		}
	case h.length >= 0:
		return in.pieces(h.length, take)
	}
	err := in.pieces(mostPage, take)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil // it ends with the connection
	}
	return err
}

// trailers reads what may stand behind the last chunk, up to the empty line.
func (in *input) trailers() error {
	for range mostHeadLines {
		line, err := in.headLine(true)
		if err != nil || line == "" {
			return err
		}
	}
	return wrong("more than %d trailers", mostHeadLines)
}
