package rehearse

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/protocol"
)

// lines is protocol line, in which GET is safe.
func lines(t testing.TB) protocol.Protocol {
	p, err := protocol.NewLine(protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("^GET")}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// whole are exchanges whose replies are all there.
func whole(texts ...string) (all []Exchange) {
	for i := 0; i+2 < len(texts); i += 3 {
		all = append(all, Exchange{Said: []byte(texts[i]), Client: []byte(texts[i+1]), Again: []byte(texts[i+2]), Whole: true})
	}
	return all
}

func TestSame(t *testing.T) {
	tally := NewTally(lines(t))
	tally.Session(7, whole("GET a\n", "re a\n", "re a\n", "PING\n", "PONG\n", "PONG\n", "GET b\n", "re b\n", "re b\n"))
	k := tally.Kinds()
	if len(k) != 2 || k[0].Kind != "line GET" || k[0].Replies != 2 || k[0].Same != 2 || k[0].Bytes != 10 || k[0].First != nil || k[1].Kind != "line PING" {
		t.Errorf("%+v", k)
	}
}

// The first byte that differs is told with what is around it on both sides.
func TestFirstByte(t *testing.T) {
	tally := NewTally(lines(t))
	tally.Session(7, whole("GET a\n", "re a\n", "re a\n", "GET b\n", "value b is red, I think\n", "value b is green\n"))
	k := tally.Kinds()[0]
	d := k.First
	if k.Replies != 2 || k.Same != 1 || k.Different != 1 || k.Joined != 0 || d == nil {
		t.Fatalf("%+v", k)
	}
	if d.Session != 7 || d.Message != 2 || d.Offset != 11 || d.Client != `"value b is red, I think\n"` || d.Rehearsal != `"value b is green\n"` || d.Cause != "" {
		t.Errorf("%+v", d)
	}
	if !strings.Contains(d.NotJoined, "differs") || d.Request != "line of up to 8 bytes" {
		t.Errorf("%+v", d)
	}
}

// A reply that is missing, or not whole, differs; one that is longer, too.
func TestNotInFull(t *testing.T) {
	for _, c := range []struct {
		client, again string
		whole         bool
		at            int64
		cause         string
	}{
		{"value\n", "val", false, 3, "the rehearsal's ends here"},
		{"value\n", "", false, 0, "nothing was answered"},
		{"\n", "value\n", true, 0, ""},
	} {
		tally := NewTally(lines(t))
		tally.Session(1, []Exchange{{Said: []byte("GET\n"), Client: []byte(c.client), Again: []byte(c.again), Whole: c.whole}})
		k := tally.Kinds()[0]
		if k.Different != 1 || k.First.Offset != c.at || k.First.Cause != c.cause {
			t.Errorf("%+v: %+v %+v", c, k, k.First)
		}
	}
}

const page = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: %s\r\nContent-Length: %d\r\n%s\r\n%s"

func httpReply(date, fields, body string) string {
	return fmt.Sprintf(page, date, len(body), fields, body)
}

const (
	monday  = "Mon, 23 Nov 2026 04:00:00 GMT"
	tuesday = "Tue, 24 Nov 2026 04:00:01 GMT"
)

// By the rules of http a reply with another Date is joined; one with another body, ETag or type is not.
func TestHTTP(t *testing.T) {
	for name, c := range map[string]struct {
		client, again string
		joined        bool
		at            string
		cause         string
	}{
		"date":            {httpReply(monday, "ETag: \"a\"\r\n", "hello"), httpReply(tuesday, "ETag: \"a\"\r\n", "hello"), true, "Mon", "the field Date: each server tells its own time"},
		"body":            {httpReply(monday, "", "hello 1 and more"), httpReply(monday, "", "hello 2 and more"), false, "1 and", aNumber},
		"etag":            {httpReply(monday, "ETag: \"abc\"\r\n", "hello"), httpReply(monday, "ETag: \"abd\"\r\n", "hello"), false, "c\"", "the field ETag"},
		"same etag":       {httpReply(monday, "ETag: \"abc\"\r\n", "hello you"), httpReply(tuesday, "ETag: \"abc\"\r\n", "hello Mia"), false, "Mon", "the field Date: each server tells its own time"},
		"status":          {httpReply(monday, "", "hello"), strings.Replace(httpReply(monday, "", "hello"), "200 OK", "404 Not Found", 1), false, "200", "the status line"},
		"order":           {httpReply(monday, "X-A: 1\r\nX-B: 1\r\n", "hello"), httpReply(monday, "X-B: 1\r\nX-A: 1\r\n", "hello"), true, "A: 1", "the fields of the head: their order, or which there are"},
		"no date changes": {httpReply(monday, "Expires: "+monday+"\r\n", "x"), httpReply(monday, "Expires: "+tuesday+"\r\n", "x"), true, "", "the field Expires: a time"},
	} {
		tally := NewTally(protocol.NewHTTP(protocol.HTTPConfig{}))
		tally.Session(1, whole("GET /orders/17?key=secret HTTP/1.1\r\nHost: x\r\n\r\n", c.client, c.again))
		k := tally.Kinds()[0]
		if k.Kind != "GET /orders/*" || k.Different != 1 || k.Joined == 1 != c.joined || (k.First.NotJoined == "") != c.joined {
			t.Errorf("%s: %+v %+v", name, k, k.First)
		}
		if k.First.Cause != c.cause || !strings.HasPrefix(c.client[k.First.Offset:], c.at) {
			t.Errorf("%s: %+v", name, k.First)
		}
		if strings.Contains(k.First.NotJoined, "mixture") != (name == "same etag") {
			t.Errorf("%s: %s", name, k.First.NotJoined)
		}
		if strings.Contains(k.First.Request, "secret") {
			t.Errorf("%s: the query is told", name)
		}
	}
}

// What differs is recognised where it is certain, and only there.
func TestCause(t *testing.T) {
	for _, c := range []struct{ client, again, want string }{
		{"n 17\n", "n 3\n", aNumber},
		{"n 1\n", "n 12\n", aNumber},
		{"at 1795406400\n", "at 1795406411\n", "a time, in seconds since 1970"},
		{"at 1795406400123\n", "at 1795406411999\n", "a time, in milliseconds since 1970"},
		{"at 2026-11-23T04:00:00Z\n", "at 2026-11-23T04:00:05Z\n", "a date and time"},
		{"at 2026-11-23 04:00:00.123+01:00\n", "at 2026-11-24 04:00:00.5+01:00\n", "a date and time"},
		{"id 123e4567-e89b-12d3-a456-426614174000\n", "id 923e4567-e89b-12d3-a456-426614174abc\n", "a UUID"},
		{"id 0a1b2c3d4e5f60718293a4b5c6d7e8f9\n", "id f9e8d7c6b5a4938271605f4e3d2c1b0a\n", "a random id of 32 hexadecimal digits"},
		{"id Xk29dkWq01LpQz77\n", "id aB3xPq90ZzLk28Qq\n", "a random id of 16 letters and digits"},
		{"id short1\n", "id other2\n", ""},
		{"red\n", "green\n", ""},
		{"sum 12.5 and\n", "sum 12.75 and\n", aNumber},
		{"n 99999999999999999999999\n", "n 1\n", ""},
		{"the value of the_very_long_name_of_1\n", "the value of the_very_long_name_of_2\n", aNumber},
	} {
		at, _ := differ([]byte(c.client), []byte(c.again))
		if got := cause("line", []byte(c.client), []byte(c.again), at); got != c.want {
			t.Errorf("%q, %q: %q, not %q", c.client, c.again, got, c.want)
		}
	}
}

// Numbers that grow on both sides are a counter; two are not enough, nor is what goes down.
func TestCounter(t *testing.T) {
	for _, c := range []struct {
		replies []string
		want    string
	}{
		{[]string{"GET\n", "n 17\n", "n 1\n", "GET\n", "n 18\n", "n 2\n", "GET\n", "n 20\n", "n 3\n"}, "a counter: 17, 18, 20 there, 1, 2, 3 here"},
		{[]string{"GET\n", "n 17\n", "n 1\n", "GET\n", "n 18\n", "n 2\n"}, aNumber},
		{[]string{"GET\n", "n 17\n", "n 1\n", "GET\n", "n 18\n", "n 2\n", "GET\n", "n 16\n", "n 3\n"}, aNumber},
	} {
		tally := NewTally(lines(t))
		tally.Session(1, whole(c.replies...))
		tally.Session(2, whole(c.replies[:3]...))
		if d := tally.Kinds()[0].First; d.Cause != c.want {
			t.Errorf("%q: %q, not %q", c.replies, d.Cause, c.want)
		}
	}
}

// Of a stream all that the client has must come again; more may.
func TestStream(t *testing.T) {
	tally := NewTally(protocol.NewStream(protocol.StreamConfig{NoJoin: true}))
	tally.Stream(1, []byte("abc"), []byte("ABC"), []byte("ABCD"))
	tally.Stream(2, []byte("abc"), []byte("ABC"), []byte("ABX"))
	tally.Stream(3, []byte("abc"), []byte("ABC"), []byte("A"))
	k := tally.Kinds()[0]
	if k.Replies != 3 || k.Same != 1 || k.Different != 2 || k.Joined != 0 || k.First.Session != 2 || k.First.Offset != 2 {
		t.Errorf("%+v %+v", k, k.First)
	}
}

// Messages without a reply are passed over; what the parsers do not understand does not stop the comparison.
func TestOddMessages(t *testing.T) {
	p, err := protocol.NewLine(protocol.LineConfig{OneWay: []*regexp.Regexp{regexp.MustCompile("^TELL")}})
	if err != nil {
		t.Fatal(err)
	}
	tally := NewTally(p)
	tally.Session(1, append([]Exchange{{Said: []byte("TELL\n"), Silent: true}}, whole("GET\n", "a\n", "b\n")...))
	if k := tally.Kinds(); len(k) != 1 || k[0].First.Message != 2 {
		t.Errorf("%+v", k)
	}
	tally = NewTally(protocol.NewHTTP(protocol.HTTPConfig{}))
	tally.Session(1, whole("GARBAGE\r\n\r\n", "x", "y", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "x", "x"))
	if k := tally.Kinds(); k[0].Replies != 2 || k[0].Same != 1 || k[0].Joined != 0 {
		t.Errorf("%+v", k)
	}
}

// Kinds are bounded, whatever clients ask for.
func TestManyKinds(t *testing.T) {
	tally := NewTally(lines(t))
	for i := range 3 * mostKinds {
		name := "GET" + strings.Repeat("x", i%20) + string(rune('a'+i%26)) + string(rune('a'+i/26%26))
		tally.Session(1, whole(name+"\n", "a\n", "a\n"))
	}
	if n := len(tally.Kinds()); n != mostKinds+1 {
		t.Errorf("%d kinds", n)
	}
}

// Whatever was said and answered: nothing panics, all is counted, and the offset is that of the first byte that differs.
func FuzzTally(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: x\r\n\r\n", httpReply(monday, "", "a"), httpReply(tuesday, "", "a"), true)
	f.Add("GET a\n", "n 17\n", "n 3\n", true)
	f.Add("*1\r\n$4\r\nPING\r\n", "+PONG\r\n", "+PON", false)
	f.Fuzz(func(t *testing.T, said, client, again string, isWhole bool) {
		length, err := protocol.NewLength(protocol.LengthConfig{Width: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []protocol.Protocol{protocol.NewHTTP(protocol.HTTPConfig{}), lines(t), length} {
			tally := NewTally(p)
			e := Exchange{Said: []byte(said), Client: []byte(client), Again: []byte(again), Whole: isWhole}
			tally.Session(1, []Exchange{e, e})
			tally.Stream(1, e.Said, e.Client, e.Again)
			for _, k := range tally.Kinds() {
				if k.Replies != k.Same+k.Different || k.Joined > k.Different || (k.Different > 0) != (k.First != nil) {
					t.Fatalf("%+v", k)
				}
				if d := k.First; d != nil && (client[:d.Offset] != again[:d.Offset] || int(d.Offset) < min(len(client), len(again)) && client[d.Offset] == again[d.Offset]) {
					t.Fatalf("%+v of %q and %q", d, client, again)
				}
			}
		}
	})
}
