package workload

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// oneWaits is a client with one request.
type oneWaits struct{ r Request }

func (o *oneWaits) oldest() *Request { return &o.r }

func (o *oneWaits) find(fits func(*Request) bool) *Request {
	if fits(&o.r) {
		return &o.r
	}
	return nil
}

// someRequest is one of each kind and form, small enough to be fuzzed.
func someRequest(kind Kind, choice uint8) Request {
	r := Request{Session: 0xabc123, Number: uint64(choice) + 1, Size: int(choice) * 3, Unsafe: choice&1 == 1 && kind != Stream}
	switch {
	case kind == HTTP && r.Unsafe:
		r.Form, r.Carry = Form(choice>>1%2), 20
	case kind == HTTP:
		r.Form = Form(choice >> 1 % uint8(forms))
		r.Carry = map[bool]int{true: 20}[r.Form == Put]
	case kind != Redis:
		r.Carry = int(choice)
	}
	r.Hold = Hold{HoldPlace(choice >> 3 % uint8(holdPlaces)), 0}
	return r
}

// exchange is what a client and a server of a kind say to each other about r.
func exchange(t testing.TB, kind Kind, r Request) (asked Request, request, answer []byte) {
	d, err := newDialect(kind)
	if err != nil {
		t.Fatal(err)
	}
	request = d.ask(nil, &r)
	var b bytes.Buffer
	out := bufio.NewWriter(&b)
	if kind == Redis {
		redisLiar{}.write(out, &r, nil)
	} else {
		got, err := d.read(newInput(bytes.NewReader(request)))
		if err != nil {
			t.Fatalf("%s: request %q: %v", kind, request, err)
		}
		if got.Session != r.Session || got.Number != r.Number || got.Size != r.Size || got.Unsafe != r.Unsafe || got.Carry != r.Carry || got.Hold != r.Hold {
			t.Fatalf("%s: %+v was understood as %+v", kind, r, got)
		}
		if err := d.write(out, &got, nil); err != nil {
			t.Fatal(err)
		}
	}
	out.Flush()
	return r, request, b.Bytes()
}

// A client takes for right only what is right: whatever a reply is changed to, it is refused, or has all of the content and names its
// request. Only what is of no matter may differ (zeros before a number, fields that nobody looks at).
func FuzzChangedReply(f *testing.F) {
	for i := range Kinds {
		f.Add(uint8(i), uint8(7*i), uint16(12), byte(1), uint16(0), []byte{})
		f.Add(uint8(i), uint8(40+i), uint16(60), byte(0), uint16(9), []byte("OK"))
	}
	f.Fuzz(func(t *testing.T, which, choice uint8, at uint16, flip byte, drop uint16, put []byte) {
		kind := Kinds[int(which)%len(Kinds)]
		r, _, answer := exchange(t, kind, someRequest(kind, choice))
		changed := bytes.Clone(answer)
		place := int(at) % len(changed)
		changed[place] ^= flip
		tail := changed[min(place+int(drop), len(changed)):]
		changed = append(append(changed[:place:place], put...), tail...)
		d, _ := newDialect(kind)
		in := newInput(bytes.NewReader(changed))
		of := &oneWaits{r}
		re, err := d.hear(in, of)
		if err == nil {
			err = d.content(in, &re, &of.r, nil)
		}
		if err != nil || re.refused != "" {
			return
		}
		if !re.named || re.number != r.Number {
			return // of another request: whose compares that
		}
		taken := changed[:len(changed)-in.Buffered()]
		p, from := r.answer(kind), int64(0)
		n := int64(r.Size)
		switch {
		case kind == Redis:
			p, from, n = redisValue(), r.redisFrom(), r.redisSize()
			if r.Unsafe {
				n = 0
			}
		case kind == HTTP && r.Form == Chunked, kind == HTTP && !r.Unsafe && (r.Form == Head || r.Form == NotModified), re.size != n:
			n = 0 // chunks are compared where they are read; a wrong size is for whose
		case kind == HTTP && r.Form == Ranged:
			from = r.half()
			n -= from
		}
		want := make([]byte, n)
		p.fill(want, from)
		if !bytes.Contains(taken, want) {
			t.Errorf("%s: %+v: %q was taken for its reply, which is %q", kind, r, changed, answer)
		}
	})
}

// Servers take whatever bytes come, and say what is wrong with them.
func FuzzRequest(f *testing.F) {
	for i, kind := range Kinds {
		if kind == Redis {
			continue
		}
		for choice := range 6 {
			_, request, _ := exchange(f, kind, someRequest(kind, uint8(choice*9)))
			f.Add(uint8(i), request)
		}
	}
	f.Add(uint8(2), []byte("GET /health HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, which uint8, bytesIn []byte) {
		kind := Kinds[int(which)%len(Kinds)]
		d, _ := newDialect(kind)
		in := newInput(bytes.NewReader(bytesIn))
		for {
			r, err := d.read(in)
			if err != nil {
				if !errors.Is(err, errWrong) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && kind != Redis {
					t.Errorf("%q: %v", bytesIn, err)
				}
				return
			}
			if r.Number > 0 && r.check() != nil {
				t.Errorf("%q: %+v: %v", bytesIn, r, r.check())
			}
			if err := d.write(bufio.NewWriter(io.Discard), &r, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// Clients take whatever bytes come.
func FuzzReply(f *testing.F) {
	for i, kind := range Kinds {
		for choice := range 6 {
			_, _, answer := exchange(f, kind, someRequest(kind, uint8(choice*9)))
			f.Add(uint8(i), uint8(choice*9), answer)
		}
	}
	f.Add(uint8(2), uint8(0), []byte("HTTP/1.1 503 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"))
	f.Add(uint8(3), uint8(0), []byte("-ERR poolproxy: no\r\n"))
	f.Fuzz(func(t *testing.T, which, choice uint8, bytesIn []byte) {
		kind := Kinds[int(which)%len(Kinds)]
		d, _ := newDialect(kind)
		in := newInput(bytes.NewReader(bytesIn))
		of := &oneWaits{someRequest(kind, choice)}
		for {
			re, err := d.hear(in, of)
			if err == nil {
				err = d.content(in, &re, &of.r, nil)
			}
			if err != nil {
				return
			}
		}
	})
}

// Journals and append-only files may be cut and spoilt anywhere.
func FuzzJournal(f *testing.F) {
	f.Add("did a line 1700000000 1f 12 .\nbad b http 1700000000 wrong .\ndid a li\ndid a redis 1 1 2 .\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := readJournal(strings.NewReader(text))
		if err == nil && len(entries) > strings.Count(text, "\n") {
			t.Errorf("%d entries of %q", len(entries), text)
		}
	})
}

func FuzzAppendOnlyFile(f *testing.F) {
	f.Add(string(appendCommand(nil, "HINCRBY", redisHash(7), "3", "5")) + string(appendCommand(nil, "SELECT", "0")) + "*1\r\n$")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseAOF(strings.NewReader(text), "a")
		if err == nil && len(entries) > strings.Count(text, "*") {
			t.Errorf("%d entries of %q", len(entries), text)
		}
	})
}
