package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// testServer answers a request for one representation, in one framing.
type testServer struct {
	kind    bodyKind
	fields  string // further lines of the head
	body    string
	deaf    bool // to Range
	interim string
}

// reply answers a request head; chunks are of sizes that depend on seed.
func (s testServer) reply(t testing.TB, head []byte, seed uint64) []byte {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatalf("the server cannot read %q: %v", head, err)
	}
	status, body, fields := "200 OK", s.body, s.fields
	if ask := req.Header.Get("Range"); ask != "" && !s.deaf && s.matches(req.Header.Get("If-Range")) {
		first, last := 0, len(body)-1
		_, _ = fmt.Sscanf(ask, "bytes=%d-%d", &first, &last) // "a-" leaves last as it is
		if first >= len(body) {
			status, body = "416 No", ""
			fields += fmt.Sprintf("Content-Range: bytes */%d\r\n", len(s.body))
		} else {
			status = "206 Part"
			fields += fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", first, last, len(s.body))
			body = body[first : last+1]
		}
	}
	out := s.interim + "HTTP/1.1 " + status + "\r\n" + fields
	switch s.kind {
	case bodyLength:
		return fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", out, len(body), body)
	case bodyClose:
		return fmt.Appendf(nil, "%sConnection: close\r\n\r\n%s", out, body)
	}
	out += "Transfer-Encoding: chunked\r\n\r\n"
	rnd := rand.New(rand.NewPCG(seed, 2))
	for len(body) > 0 {
		n := 1 + rnd.IntN(min(len(body), 20))
		out += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return []byte(out + "0\r\n\r\n")
}

// matches evaluates If-Range.
func (s testServer) matches(ifRange string) bool {
	return ifRange == "" || strings.Contains(s.fields, ": "+ifRange+"\r\n")
}

// client is what one client sends, and what it has got so far.
type client struct {
	p    Protocol
	head []byte
	req  *Request
	got  []byte
	done bool // the reply is complete
	last Delivered
}

func newClient(t testing.TB, head string) *client {
	t.Helper()
	c := &client{p: NewHTTP(HTTPConfig{}), head: []byte(head)}
	cut, req, err := c.p.Requests().Next(c.head)
	if err != nil || !cut.End {
		t.Fatalf("%q: %+v %v", head, cut, err)
	}
	c.req = req
	return c
}

// first passes the beginning of a reply, in pieces of n bytes.
func (c *client) first(t testing.TB, raw []byte, n int) {
	t.Helper()
	replies := c.p.Replies()
	var held []byte
	for len(raw) > 0 {
		cut, err := replies.Next(c.req, raw[:min(n, len(raw))])
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, raw[:cut.N]...)
		raw = raw[cut.N:]
		if !cut.Hold {
			c.got, held = append(c.got, held...), nil
		}
		c.done = cut.End
	}
	c.last = replies.Delivered()
}

// join lets s go on, in pieces of n bytes; most (if not 0) cuts its answer short. What a joiner passes is appended to got.
func (c *client) join(t testing.TB, s testServer, n, most int, seed uint64) (Joiner, error) {
	t.Helper()
	again, j, err := c.p.Join(c.req, c.head, c.last)
	if err != nil {
		t.Fatal(err)
	}
	if again == nil {
		again = c.head
	}
	raw := s.reply(t, again, seed)
	if most > 0 && most < len(raw) {
		raw = raw[:most]
	} else {
		most = 0
	}
	var at sometimes
	for len(raw) > 0 && !c.done {
		if n == 1 && at.now() { // what is in pieces goes through another process now and then
			j, c.req = thawedJoiner(t, c.p, j, c.req)
			thawedDelivered(t, &c.last)
		}
		k, out, end, err := j.Next(raw[:min(n, len(raw))])
		if err != nil {
			if out != nil {
				t.Fatalf("bytes %q beside the error %v", out, err)
			}
			return j, err
		}
		if k < 1 {
			t.Fatal("no progress")
		}
		c.got = append(c.got, out...)
		raw, c.done = raw[k:], end
	}
	c.done = c.done || most == 0 && j.Finish()
	if c.last = j.Delivered(); c.last.Bytes != int64(len(c.got)) {
		t.Fatalf("delivered %d, the client has %d", c.last.Bytes, len(c.got))
	}
	return j, nil
}

// body decodes what the client got.
func (c *client) body(t testing.TB) string {
	t.Helper()
	br := bufio.NewReader(bytes.NewReader(c.got))
	resp := &http.Response{StatusCode: 100}
	for resp.StatusCode < 200 {
		var err error
		if resp, err = http.ReadResponse(br, &http.Request{Method: "GET"}); err != nil {
			t.Fatalf("the client cannot read %q: %v", c.got, err)
		}
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || br.Buffered() > 0 {
		t.Fatalf("the client cannot read %q: %v, %d bytes behind it", c.got, err, br.Buffered())
	}
	return string(b)
}

const (
	joinGet  = "GET /f HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"old\"\r\n\r\n"
	joinTag  = "ETag: \"v1\"\r\n"
	joinDate = "Last-Modified: Mon, 02 Jan 2023 15:04:05 GMT\r\nDate: Mon, 02 Jan 2023 15:04:06 GMT\r\n"
)

var (
	joinKinds  = []bodyKind{bodyLength, bodyChunked, bodyClose}
	joinBody   = "The quick brown fox jumps over the lazy dog, again and again, until it is tired."
	joinFields = []string{"", joinTag, joinDate, "ETag: W/\"v1\"\r\n"}
)

// TestHTTPJoinEverywhere cuts replies of every framing at every byte, lets servers of every framing go on, and sometimes cuts
// those, too.
func TestHTTPJoinEverywhere(t *testing.T) {
	for _, from := range joinKinds {
		for _, to := range joinKinds {
			for f, fields := range joinFields {
				for _, deaf := range []bool{false, true} {
					name := fmt.Sprintf("%d to %d, fields %d, deaf %v", from, to, f, deaf)
					t.Run(name, func(t *testing.T) {
						old := testServer{kind: from, fields: fields, body: joinBody, interim: "HTTP/1.1 103 E\r\n\r\n"}
						joinAtEveryByte(t, old, testServer{kind: to, fields: fields, body: joinBody, deaf: deaf, interim: old.interim})
					})
				}
			}
		}
	}
}

func joinAtEveryByte(t *testing.T, old, next testServer) {
	raw := old.reply(t, []byte(joinGet), 1)
	for at := range raw {
		joinAt(t, old, next, raw, at)
	}
}

func joinAt(t *testing.T, old, next testServer, raw []byte, at int) {
	t.Helper()
	for _, size := range []int{1, 7, 1 << 20} {
		c := newClient(t, joinGet)
		c.first(t, raw[:at], size)
		if most := at % 3 * 60; most > 0 { // a second server dies as well, somewhere
			if _, err := c.join(t, next, size, most, 2); err != nil {
				mustBeHopeless(t, old, next, c, err)
				continue
			}
		}
		j, err := c.join(t, next, size, 0, 3)
		if err != nil {
			mustBeHopeless(t, old, next, c, err)
			continue
		}
		if !c.done {
			t.Fatalf("cut at %d, pieces of %d: the reply does not end; the client has %q", at, size, c.got)
		}
		if bytes.Count(c.got, []byte("103 E")) != 1 {
			t.Fatalf("cut at %d, pieces of %d: not one interim reply in %q", at, size, c.got)
		}
		if got := c.body(t); got != old.body {
			t.Fatalf("cut at %d, pieces of %d: the client got %q", at, size, got)
		}
		if saved := j.(interface{ Saved() int64 }).Saved(); saved > 0 && (next.deaf || j.Skipped() != overlap) {
			t.Fatalf("saved %d, skipped %d, deaf %v", saved, j.Skipped(), next.deaf)
		}
	}
}

// mustBeHopeless: the case where one framing cannot go on in another.
func mustBeHopeless(t *testing.T, old, next testServer, c *client, err error) {
	t.Helper()
	endUnknown := old.kind == bodyChunked && next.kind == bodyClose
	if !errors.Is(err, ErrMismatch) || !endUnknown {
		t.Fatalf("framing %d to %d: %v; the client has %q", old.kind, next.kind, err, c.got)
	}
}

// TestHTTPJoinOtherBody: a body that differs in what the client has, or in its length, is found out before the client gets
// wrong bytes.
func TestHTTPJoinOtherBody(t *testing.T) {
	for _, from := range joinKinds {
		for _, to := range joinKinds {
			old := testServer{kind: from, body: joinBody}
			raw := old.reply(t, []byte(joinGet), 1)
			for i, body := range []string{"t" + joinBody[1:], joinBody[:20], joinBody[:len(joinBody)-1], joinBody + "!"} {
				c := newClient(t, joinGet)
				c.first(t, raw[:bytes.Index(raw, []byte("\r\n\r\n"))+60], 9)
				had := len(c.got)
				_, err := c.join(t, testServer{kind: to, body: body}, 11, 0, 2)
				known := i < 2 || from == bodyLength // else the client knows no length to be wrong
				if known && from == bodyLength && to == bodyClose && i >= 2 {
					known = false // shorter: it never ends; longer: what is too much is not of this reply
					if i == 2 && c.done {
						t.Errorf("framing %d to %d, body %d: is done", from, to, i)
					}
				}
				if known && to != bodyClose && !errors.Is(err, ErrMismatch) || err != nil && !errors.Is(err, ErrMismatch) {
					t.Errorf("framing %d to %d, body %d: %v", from, to, i, err)
				}
				if i < 2 && (len(c.got) != had || c.done) {
					t.Errorf("framing %d to %d, body %d: %q was passed, done %v", from, to, i, c.got[had:], c.done)
				}
			}
		}
	}
}

func TestHTTPJoinHeads(t *testing.T) {
	body := longBody[:overlap+80]
	old := testServer{kind: bodyLength, fields: joinTag + "Content-Type: text/plain\r\n", body: body}
	again, rest := body[30:], body[30+overlap:] // what is asked for, what the client lacks
	whole := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	partOf := func(n int) string { return fmt.Sprintf("HTTP/1.1 206 P\r\nContent-Length: %d\r\n", n) }
	spanOf := func(first, last, total int) string {
		return fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", first, last, total)
	}
	size := len(body)
	part, span := partOf(len(again)), spanOf(30, size-1, size)
	for _, c := range []struct {
		name, reply string
		ok          bool
	}{
		{"part", part + span + joinTag + "\r\n" + again, true},
		{"part that begins at the cut", partOf(len(rest)) + joinTag + spanOf(size-len(rest), size-1, size) + "\r\n" + rest, false},
		{"part without tag", part + span + "\r\n" + again, false},
		{"part with other tag", part + span + "ETag: \"v2\"\r\n\r\n" + again, false},
		{"part with other type", part + span + joinTag + "Content-Type: text/html\r\n\r\n" + again, false},
		{"part without range", part + joinTag + "\r\n" + again, false},
		{"part of unknown total", part + joinTag + fmt.Sprintf("Content-Range: bytes 30-%d/*\r\n\r\n", size-1) + again, false},
		{"other part", part + joinTag + spanOf(29, size-2, size) + "\r\n" + again, false},
		{"other total", part + joinTag + spanOf(30, size-1, size+1) + "\r\n" + again, false},
		{"earlier part", partOf(len(again)+1) + joinTag + spanOf(29, size-1, size) + "\r\n" + body[29:], false},
		{"longer", partOf(len(again)+1) + joinTag + spanOf(30, size, size+1) + "\r\n" + again + "!", false},
		{"part of another length", "HTTP/1.1 206 P\r\nContent-Length: 9\r\n" + joinTag + span + "\r\n" + again, false},
		{"whole", "HTTP/1.1 200 OK\r\n" + whole + "Content-Type: text/plain\r\n\r\n" + body, true},
		{"whole with other tag", "HTTP/1.1 200 OK\r\n" + whole + "ETag: \"v2\"\r\nContent-Type: text/plain\r\n\r\n" + body, false},
		{"other tag, no length", "HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nContent-Type: text/plain\r\n\r\n" + body, false},
		{"whole of other type", "HTTP/1.1 200 OK\r\n" + whole + "\r\n" + body, false},
		{"whole, encoded", "HTTP/1.1 200 OK\r\n" + whole + "Content-Type: text/plain\r\nContent-Encoding: br\r\n\r\n" + body, false},
		{"304", "HTTP/1.1 304 N\r\n\r\n", false},
		{"412", "HTTP/1.1 412 N\r\nContent-Length: 0\r\n\r\n", false},
		{"503", "HTTP/1.1 503 N\r\nContent-Length: 0\r\n\r\n", false},
		{"101", "HTTP/1.1 101 N\r\n\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newClient(t, joinGet)
			raw := old.reply(t, []byte(joinGet), 1)
			cl.first(t, raw[:len(raw)-len(rest)], 1000)
			_, j, err := cl.p.Join(cl.req, cl.head, cl.last)
			if err != nil {
				t.Fatal(err)
			}
			out, end, err := runJoiner(j, []byte(c.reply))
			if c.ok && (err != nil || !end || string(out) != rest) {
				t.Fatalf("%q, end %v, %v", out, end, err)
			}
			if !c.ok && (err == nil || len(out) > 0) {
				t.Fatalf("%q was passed, end %v, %v", out, end, err)
			}
		})
	}
}

func runJoiner(j Joiner, p []byte) (out []byte, end bool, err error) {
	for len(p) > 0 && !end {
		n, o, e, err := j.Next(p)
		if err != nil {
			return out, false, err
		}
		out, p, end = append(out, o...), p[n:], e
	}
	return out, end, nil
}
