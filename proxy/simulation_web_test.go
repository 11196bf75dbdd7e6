package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/poolproxy/poolproxy/protocol"
)

// web is protocol http: GETs are safe, POSTs are not. Some replies have a length, others come in chunks; some have a strong
// entity tag, and then servers send parts of them.
type web struct{}

func newWeb(*scenario) dialect { return &web{} }

func (d *web) protocol() protocol.Protocol { return protocol.NewHTTP(protocol.HTTPConfig{}) }

func (d *web) opaque() bool { return false }

func (d *web) kinds() []byte { return []byte("SU") }

func (d *web) encode(r *request, size int) {
	path := "/" + strings.ReplaceAll(r.words(), " ", "/")
	if r.kind == 'U' && chunked(r) {
		r.bytes = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", path)
		for p := padding(r, size); len(p) > 0; {
			n := 1 + len(p)/3
			r.bytes = fmt.Appendf(r.bytes, "%x\r\n%s\r\n", n, p[:n])
			p = p[n:]
		}
		r.bytes = append(r.bytes, "0\r\n\r\n"...)
		return
	}
	if r.kind == 'U' {
		r.bytes = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, size, padding(r, size))
		return
	}
	r.bytes = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: x\r\nX-Padding: %s\r\n\r\n", path, padding(r, size%2000))
}

func (d *web) frame(p []byte, from int) int {
	head, ok := headOf(p, from)
	if !ok {
		return 0
	}
	if field(p[:head], "Transfer-Encoding") != "" {
		return head + chunksOf(p[head:], head)
	}
	size, _ := strconv.Atoi(field(p[:head], "Content-Length"))
	if head+size > len(p) {
		return 0
	}
	return head + size
}

// chunksOf is the length of the chunks that p begins with, the last one included; -head if that has not come.
func chunksOf(p []byte, head int) (total int) {
	for {
		line, _, ok := bytes.Cut(p[total:], []byte("\r\n"))
		n, err := strconv.ParseInt(string(line), 16, 32)
		if total += len(line) + 2 + int(n) + 2; !ok || err != nil || total > len(p) {
			return -head
		}
		if n == 0 {
			return total
		}
	}
}

// headOf is the length of the head that p begins with.
func headOf(p []byte, _ int) (int, bool) {
	at := bytes.Index(p, []byte("\r\n\r\n"))
	return at + 4, at >= 0
}

// field is the value of a field in a head; "" if it has none.
func field(head []byte, name string) string {
	_, rest, _ := strings.Cut(string(head), "\r\n"+name+": ")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

func (d *web) decode(p []byte) (request, error) {
	line := strings.Fields(string(p[:min(len(p), 60)]))
	if len(line) < 2 {
		return request{}, errors.New("no request line")
	}
	return parseWords(strings.ReplaceAll(strings.Trim(line[1], "/"), "/", " "))
}

// hinted: interim replies come before the reply. tagged and chunked say how the reply to a request looks. All servers agree.
func hinted(r *request) bool  { return r.kind != 'K' && (r.client+3*r.number)%5 == 0 }
func tagged(r *request) bool  { return (r.client+r.number)%3 > 0 }
func chunked(r *request) bool { return (r.client+2*r.number)%4 == 0 }

func (d *web) answer(variant int, r *request, raw []byte, chance *rand.Rand) []byte {
	whole := body(variant, r)
	tag := fmt.Sprintf("\"%d-%d-%d\"", variant, r.client, r.number)
	status, fields := "200 OK", ""
	if tagged(r) {
		fields = "ETag: " + tag + "\r\n"
	}
	part := whole
	if from, ok := strings.CutPrefix(field(raw, "Range"), "bytes="); ok && tagged(r) && !chunked(r) && field(raw, "If-Range") == tag {
		first, _ := strconv.Atoi(strings.TrimSuffix(from, "-"))
		if first < len(whole) {
			part = whole[first:]
			status = "206 Partial Content"
			fields += fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", first, len(whole)-1, len(whole))
		}
	}
	early := ""
	if hinted(r) {
		early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
	}
	if !chunked(r) {
		return fmt.Appendf(nil, "%sHTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", early, status, fields, len(part), part)
	}
	p := fmt.Appendf(nil, "%sHTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n", early, status, fields)
	for len(part) > 0 {
		n := 1 + chance.IntN(min(len(part), 1+len(part)/3))
		p = fmt.Appendf(p, "%x\r\n%s\r\n", n, part[:n])
		part = part[n:]
	}
	return append(p, "0\r\n\r\n"...)
}

func (d *web) reader(s *scenario, requests []*request) reader {
	return &webReader{scenario: s, due: requests}
}

// webReader reads HTTP replies as a client does and compares their bodies with what either kind of server says.
type webReader struct {
	scenario *scenario
	due      []*request
	at       int
	in       []byte
	inBody   bool
	chunks   bool
	left     int // of the body, or of the chunk
	body     int // bytes of the body that came
	want     [2][]byte
	mixed    [2]bool
	refused  bool // it is an error of the sidecar's own
	closes   bool // behind which the connection ends
	never    bool // that says that the request was not carried out
	reason   string
	end      bool // of a refusal that closes
}

func (x *webReader) replies() int  { return x.at }
func (x *webReader) aborted() bool { return x.refused && x.end }

func (x *webReader) feed(p []byte) error {
	x.in = append(x.in, p...)
	for {
		more, err := x.step()
		if err != nil {
			return fmt.Errorf("reply %d at byte %d of its body: %w; it goes on %.200q", x.at, x.body, err, x.in)
		}
		if !more {
			return nil
		}
	}
}

// step reads a head, a chunk's line, or a part of the body; it reports whether there may be more.
func (x *webReader) step() (more bool, err error) {
	switch {
	case x.end:
		if len(x.in) > 0 {
			return false, errors.New("bytes behind a refusal")
		}
		return false, nil
	case !x.inBody:
		return x.head()
	case x.left > 0:
		return x.letters()
	case x.chunks:
		return x.chunk()
	}
	x.inBody = false
	if x.closes {
		x.end = true
		return true, nil
	}
	x.at++
	if x.refused {
		return true, x.scenario.lost(x.due[x.at-1], x.never, x.reason)
	}
	x.due[x.at-1].answered = true
	return true, nil
}

func (x *webReader) head() (bool, error) {
	n, ok := headOf(x.in, 0)
	if !ok {
		return false, nil
	}
	head := x.in[:n]
	if bytes.HasPrefix(head, []byte("HTTP/1.1 103 ")) && x.at < len(x.due) && hinted(x.due[x.at]) {
		x.in = x.in[n:]
		return true, nil
	}
	x.reason = field(head, "Poolproxy-Reason")
	x.never = bytes.HasPrefix(head, []byte("HTTP/1.1 503 "))
	x.refused = (x.never || bytes.HasPrefix(head, []byte("HTTP/1.1 502 "))) && x.reason != ""
	x.closes = x.refused && field(head, "Connection") == "close"
	if !x.refused && !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return false, errors.New("not the head that a server has sent")
	}
	if x.at == len(x.due) || x.due[x.at].sent.IsZero() && !x.closes {
		return false, errors.New("a reply to nothing")
	}
	x.chunks = field(head, "Transfer-Encoding") != ""
	x.left, _ = strconv.Atoi(field(head, "Content-Length"))
	x.body, x.inBody = 0, true
	r := x.due[x.at]
	for v := range x.want {
		x.want[v] = body(v, r)
		x.mixed[v] = !x.refused && (v == 1 && !x.scenario.differs ||
			tagged(r) && field(head, "ETag") != fmt.Sprintf("\"%d-%d-%d\"", v, r.client, r.number))
	}
	x.in = x.in[n:]
	return true, nil
}

// letters compares a part of the body.
func (x *webReader) letters() (bool, error) {
	n := min(x.left, len(x.in))
	if n == 0 {
		return false, nil
	}
	if !x.refused {
		for v, want := range x.want {
			x.mixed[v] = x.mixed[v] || x.body+n > len(want) || !bytes.Equal(x.in[:n], want[x.body:x.body+n])
		}
		if x.mixed[0] && x.mixed[1] {
			return false, errors.New("not what one server has said")
		}
	}
	x.body, x.left, x.in = x.body+n, x.left-n, x.in[n:]
	return true, nil
}

// chunk reads the line before the next chunk, with the end of the last one.
func (x *webReader) chunk() (bool, error) {
	in := x.in
	if x.body > 0 {
		in = bytes.TrimPrefix(in, []byte("\r\n"))
	}
	line, rest, ok := bytes.Cut(in, []byte("\r\n"))
	if !ok {
		return false, nil
	}
	n, err := strconv.ParseInt(string(line), 16, 32)
	if err != nil {
		return false, err
	}
	if n == 0 {
		if len(rest) < 2 {
			return false, nil
		}
		if x.body != len(x.want[0]) {
			return false, errors.New("the body ends too early")
		}
		x.chunks, rest = false, rest[2:]
	}
	x.left, x.in = int(n), rest
	return true, nil
}
