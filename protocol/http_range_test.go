package protocol

import (
	"errors"
	"strings"
	"testing"
)

func TestHTTPContentRange(t *testing.T) {
	for _, c := range []struct {
		in   string
		want contentRange
		ok   bool
	}{
		{"bytes 0-0/1", contentRange{0, 0, 1}, true},
		{"bytes 5-9/100", contentRange{5, 9, 100}, true},
		{"bytes 5-9/*", contentRange{}, false},
		{"bytes */9", contentRange{}, false},
		{"bytes 9-5/100", contentRange{}, false},
		{"bytes 5-100/100", contentRange{}, false},
		{"bytes -5-9/100", contentRange{}, false},
		{"bytes +5-9/100", contentRange{}, false},
		{"items 5-9/100", contentRange{}, false},
		{"bytes 5-9/99999999999999999999", contentRange{}, false},
		{"", contentRange{}, false},
	} {
		got, ok := parseContentRange(c.in)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %+v, %v", c.in, got, ok)
		}
	}
}

func TestHTTPRewriteRange(t *testing.T) {
	in := "GET /x HTTP/1.1\r\nHost: h\r\nrange: bytes=1-2\r\nIF-RANGE: x\r\nIf-Match: a\r\nIf-None-Match: b\r\nA: b\r\n" +
		"If-Modified-Since: c\r\nIf-Unmodified-Since: d\r\n\r\n"
	want := "GET /x HTTP/1.1\r\nHost: h\r\nA: b\r\nRange: bytes=5-\r\nIf-Range: \"v\"\r\n\r\n"
	if got, err := rewriteRange([]byte(in), "bytes=5-", `"v"`); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	got, err := rewriteRange([]byte("GET / HTTP/1.1\nA: b\n\n"), "r", "v")
	if err != nil || string(got) != "GET / HTTP/1.1\nA: b\nRange: r\nIf-Range: v\n\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestHTTPJoinAsks: when Range is asked for, and when the request is repeated as it was.
func TestHTTPJoinAsks(t *testing.T) {
	put := "PUT /f HTTP/1.1\r\n\r\n"
	ranged := "GET /f HTTP/1.1\r\nRange: bytes=0-\r\n\r\n"
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
	part := "HTTP/1.1 206 P\r\nContent-Length: 9\r\nContent-Range: bytes 1-9/20\r\n"
	long := "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n" + joinTag
	longPart := "HTTP/1.1 206 P\r\nContent-Length: 9000\r\nContent-Range: bytes 1-9000/9900\r\n" + joinTag
	for _, c := range []struct {
		name, head, reply string
		long              bool // the request's head is not at hand
		want              string
	}{
		{"tag", joinGet, ok + joinTag + "\r\nabc", false, "Range: bytes=0-\r\nIf-Range: \"v1\"\r\n\r\n"},
		{"date", joinGet, ok + joinDate + "\r\nabc", false, "Range: bytes=0-\r\nIf-Range: Mon, 02 Jan 2023 15:04:05 GMT\r\n\r\n"},
		{"part", ranged, part + joinTag + "\r\nabc", false, "Range: bytes=1-9\r\nIf-Range: \"v1\"\r\n\r\n"},
		{"more than the overlap", joinGet, long + "\r\n" + longBody[:overlap+7], false, "Range: bytes=7-\r\nIf-Range: \"v1\"\r\n\r\n"},
		{"part, more than the overlap", ranged, longPart + "\r\n" + longBody[:overlap+7], false,
			"Range: bytes=8-9000\r\nIf-Range: \"v1\"\r\n\r\n"},
		{"date without length", joinGet, "HTTP/1.1 200 OK\r\n" + joinDate + "\r\nabc", false, ""},
		{"date of now", joinGet, ok + strings.Replace(joinDate, ":06", ":05", 1) + "\r\nabc", false, ""},
		{"weak tag", joinGet, ok + "ETag: W/\"v1\"\r\n\r\nabc", false, ""},
		{"no body yet", joinGet, ok + joinTag + "\r\n", false, ""},
		{"nothing yet", joinGet, ok, false, ""},
		{"no head", joinGet, ok + joinTag + "\r\nabc", true, ""},
		{"PUT", put, ok + joinTag + "\r\nabc", false, ""},
		{"range ignored", ranged, ok + joinTag + "\r\nabc", false, ""},
		{"error page", joinGet, "HTTP/1.1 404 N\r\nContent-Length: 9\r\n" + joinTag + "\r\nabc", false, ""},
		{"part with date", ranged, part + joinDate + "\r\nabc", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newClient(t, c.head)
			cl.first(t, []byte(c.reply), 10000)
			head := cl.head
			if c.long {
				head = nil
			}
			again, j, err := cl.p.Join(cl.req, head, cl.last)
			if err != nil || j == nil {
				t.Fatal(err)
			}
			if want := "GET /f HTTP/1.1\r\nHost: h\r\n" + c.want; c.want != "" && string(again) != want &&
				string(again) != "GET /f HTTP/1.1\r\n"+c.want {
				t.Fatalf("asks %q", again)
			}
			if c.want == "" && again != nil {
				t.Fatalf("asks %q", again)
			}
		})
	}
}

func TestHTTPJoinRefuses(t *testing.T) {
	p := NewHTTP(HTTPConfig{})
	if _, _, err := p.Join(requestOf("GET"), nil, Delivered{Bytes: 1}); !errors.Is(err, errNoDetail) {
		t.Error(err)
	}
	r := p.Replies()
	if _, err := r.Next(requestOf("UPGRADE"), []byte("HTTP/1.1 101 S\r\n\r\nabc")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Join(requestOf("UPGRADE"), nil, r.Delivered()); !errors.Is(err, errTunnel) {
		t.Error(err)
	}
}
