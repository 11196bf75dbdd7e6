package workload

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A verdict that cannot fail proves nothing. Here are servers that lie, each in one way, about request 5 of ten; the verdict must name
// the lie, and nothing else.

// liar is a server of one connection, which has the whole session's requests before it answers any.
type liar struct {
	t       *testing.T
	kind    Kind
	d       dialect
	journal *Journal
}

// said is one reply as it would be in truth.
type said struct {
	r     Request
	bytes []byte
}

// lie is what is done with the replies. What it returns is sent; then comes the end of file, or the client's own.
type lie struct {
	name   string
	unsafe bool
	only   Kind // "": all
	do     func(l *liar, all []said) []byte
	want   map[FindingKind]int64
	early  bool // the server ends the connection
	done   func(l *liar, r *Request)
}

func whole(all []said) (out []byte) {
	for _, one := range all {
		out = append(out, one.bytes...)
	}
	return out
}

// once is the truth of what is carried out.
func once(l *liar, r *Request) { l.did(r) }

func (l *liar) did(r *Request) {
	if err := l.journal.did(r); err != nil {
		l.t.Error(err)
	}
}

const victim = 4 // the index of request 5

var lies = []lie{
	{name: "the truth", do: func(_ *liar, all []said) []byte { return whole(all) }},
	{name: "the truth of unsafe requests", unsafe: true, do: func(_ *liar, all []said) []byte { return whole(all) }},
	{name: "a reply is lost", do: func(_ *liar, all []said) []byte {
		return append(whole(all[:victim]), whole(all[victim+1:])...)
	}, early: true, want: map[FindingKind]int64{Lost: 1, Truncated: 1}},
	{name: "a reply comes twice", do: func(_ *liar, all []said) []byte {
		return append(whole(all[:victim+1]), whole(all[victim:])...)
	}, want: map[FindingKind]int64{Doubled: 1, Lost: 5}},
	{name: "the last reply comes twice", do: func(_ *liar, all []said) []byte {
		return append(whole(all), all[len(all)-1].bytes...)
	}, want: map[FindingKind]int64{Doubled: 1}},
	{name: "two replies change places", do: func(_ *liar, all []said) []byte {
		all[victim], all[victim+1] = all[victim+1], all[victim]
		return whole(all)
	}, want: map[FindingKind]int64{Reordered: 1}},
	{name: "one byte is another", do: func(_ *liar, all []said) []byte {
		all[victim].bytes[len(all[victim].bytes)-50] ^= 1
		return whole(all)
	}, want: map[FindingKind]int64{Mixed: 1, Lost: 6}},
	{name: "the end is of another reply", do: func(_ *liar, all []said) []byte {
		one, other := all[victim].bytes, all[victim+1].bytes
		copy(one[len(one)-100:], other[len(other)-100:])
		return whole(all)
	}, want: map[FindingKind]int64{Mixed: 1, Lost: 6}},
	{name: "bytes are missing in the middle", do: func(_ *liar, all []said) []byte {
		one := all[victim].bytes
		middle := len(one) - 200
		all[victim].bytes = append(one[:middle:middle], one[middle+32:]...)
		return whole(all)
	}, want: map[FindingKind]int64{Mixed: 1, Lost: 6}},
	{name: "bytes come twice in the middle", do: func(_ *liar, all []said) []byte {
		one := all[victim].bytes
		middle := len(one) - 200
		all[victim].bytes = append(one[:middle:middle], one[middle-32:]...)
		return whole(all)
	}, want: map[FindingKind]int64{Mixed: 1, Lost: 6}},
	{name: "a reply is cut by an end of file", do: func(_ *liar, all []said) []byte {
		out := whole(all[:victim+1])
		return out[:len(out)-100]
	}, early: true, want: map[FindingKind]int64{Truncated: 1, Lost: 6, Broken: 1}},
	{name: "an end of file in place of the rest", do: func(_ *liar, all []said) []byte {
		return whole(all[:victim])
	}, early: true, want: map[FindingKind]int64{Truncated: 1, Lost: 6}},
	{name: "a safe request is refused", do: func(l *liar, all []said) []byte {
		all[victim].bytes = l.refusal("try later")
		return whole(all)
	}, want: map[FindingKind]int64{Lost: 1}},
	{name: "an unsafe request is refused, and was carried out", unsafe: true, do: func(l *liar, all []said) []byte {
		all[victim].bytes = l.refusal("try later")
		return whole(all)
	}},
	{name: "it is said that it was not carried out, and it was", unsafe: true, only: HTTP, do: func(_ *liar, all []said) []byte {
		all[victim].bytes = []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		return whole(all)
	}, want: map[FindingKind]int64{Mixed: 1}},
	{name: "the sum of other requests", only: Stream, do: func(_ *liar, all []said) []byte {
		all[victim].bytes[20] ^= 1
		return whole(all)
	}, want: map[FindingKind]int64{Mixed: 1, Lost: 6}},
	{name: "carried out twice", unsafe: true, do: func(_ *liar, all []said) []byte { return whole(all) },
		done: func(l *liar, r *Request) {
			l.did(r)
			if r.Number == victim+1 {
				l.did(r)
			}
		}, want: map[FindingKind]int64{Doubled: 1}},
	{name: "answered and not carried out", unsafe: true, do: func(_ *liar, all []said) []byte { return whole(all) },
		done: func(l *liar, r *Request) {
			if r.Number != victim+1 {
				l.did(r)
			}
		}, want: map[FindingKind]int64{Lost: 1}},
	{name: "carried out of its turn", unsafe: true, do: func(_ *liar, all []said) []byte { return whole(all) },
		done: func(l *liar, r *Request) {
			if r.Number == victim+1 {
				l.did(&Request{Session: r.Session, Number: r.Number + 1})
				l.did(r)
			} else if r.Number != victim+2 {
				l.did(r)
			}
		}, want: map[FindingKind]int64{Reordered: 1}},
	{name: "what nobody sent is carried out", unsafe: true, do: func(_ *liar, all []said) []byte { return whole(all) },
		done: func(l *liar, r *Request) {
			l.did(r)
			if r.Number == 10 {
				l.did(&Request{Session: r.Session, Number: 11})
			}
		}, want: map[FindingKind]int64{Mixed: 1}},
}

// refusal is the protocol's error.
func (l *liar) refusal(reason string) []byte {
	if l.kind == HTTP { // the proxy's: our own server ends the connection
		return fmt.Appendf(nil, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\nPoolproxy-Reason: %s\r\n\r\n%s", len(reason), reason, reason)
	}
	var b bytes.Buffer
	out := bufio.NewWriter(&b)
	l.d.fail(out, reason)
	out.Flush()
	return b.Bytes()
}

// serve answers ten requests with lie.
func (l *liar) serve(conn net.Conn, how lie) {
	defer conn.Close()
	in := newInput(conn)
	var all []said
	for range 10 {
		r, err := l.d.read(in)
		if err != nil {
			l.t.Errorf("the server read: %v", err)
			return
		}
		if r.Unsafe && how.done != nil {
			how.done(l, &r)
		} else if r.Unsafe {
			once(l, &r)
		}
		var b bytes.Buffer
		out := bufio.NewWriter(&b)
		if err := l.d.write(out, &r, nil); err != nil {
			l.t.Error(err)
		}
		out.Flush()
		all = append(all, said{r, b.Bytes()})
	}
	if _, err := conn.Write(how.do(l, all)); err != nil {
		l.t.Error(err)
	}
	if !how.early {
		io.Copy(io.Discard, conn)
	}
}

// tenRequests have replies of 1,000 bytes and more, to cut and paste in.
func tenRequests(unsafe bool) func(uint64) (Request, bool) {
	return func(number uint64) (Request, bool) {
		return Request{Number: number, Size: 1000 + 7*int(number), Unsafe: unsafe, Carry: 30}, number <= 10
	}
}

func TestLiesAreNamed(t *testing.T) {
	for _, kind := range append([]Kind{"chunked"}, Kinds...) {
		form := Plain
		if kind == "chunked" {
			kind, form = HTTP, Chunked
		}
		for _, how := range lies {
			if how.only != "" && how.only != kind || kind == Stream && (how.unsafe || strings.Contains(how.name, "refused")) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d/%s", kind, form, how.name), func(t *testing.T) {
				verdict, report := hearLie(t, kind, form, how)
				for _, f := range []FindingKind{Lost, Doubled, Mixed, Reordered, Truncated, Broken} {
					if verdict.Count(f) != how.want[f] {
						t.Errorf("%d %s, not %d", verdict.Count(f), f, how.want[f])
					}
				}
				if t.Failed() {
					t.Logf("%v\n%v\n%v", verdict, verdict.Findings, report)
				}
			})
		}
	}
}

// hearLie runs a client against a liar, and judges.
func hearLie(t *testing.T, kind Kind, form Form, how lie) (*Verdict, *Report) {
	path := filepath.Join(t.TempDir(), "journal")
	journal, err := OpenJournal(path, "liar", kind)
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	d, err := newDialect(kind)
	if err != nil {
		t.Fatal(err)
	}
	if kind == Redis {
		d = redisLiar{}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // it ends with the connection, or when nobody connects and the listener is closed
		conn, err := l.Accept()
		if err != nil {
			return
		}
		(&liar{t, kind, d, journal}).serve(conn, how)
	}()
	next := func(number uint64) (Request, bool) {
		r, more := tenRequests(how.unsafe)(number)
		r.Form = form
		return r, more
	}
	c := &Client{Kind: kind, Address: l.Addr().String(), Session: lieSession, Next: next, Window: 10, Timeout: 30 * time.Second}
	report := c.Run(context.Background())
	entries, err := ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	return Judge([]*Report{report}, entries, Promise{Protected: true, Journals: true}), report
}
