package protocol

import (
	"bytes"
	"testing"

	"github.com/poolproxy/poolproxy/protocol/prototest"
)

func TestStream(t *testing.T) {
	p := NewStream(StreamConfig{})
	if !p.Opaque() || p.Abort("x") != nil || p.Name() != "stream" {
		t.Fatalf("%s: opaque %v, abort %q", p.Name(), p.Opaque(), p.Abort("x"))
	}
	input := bytes.Repeat([]byte("line\nHTTP/1.1\r\n\r\n\x00"), 9000)
	prototest.Pieces(t, requestsParser(p), input, prototest.Result{Rest: len(input)})
	prototest.Pieces(t, repliesParser(p, nil), input, prototest.Result{Rest: len(input), Out: string(input)})
	cut, req, err := p.Requests().Next(input)
	if err != nil || req.Safe || req.Expect != ExpectUnknown || cut != (Cut{N: len(input), Known: true}) {
		t.Fatalf("cut %+v, request %+v, error %v", cut, req, err)
	}
	if !p.Replies().Finish(req) {
		t.Fatal("an end of file ends a stream")
	}
}

func TestStreamNoJoin(t *testing.T) {
	p := NewStream(StreamConfig{NoJoin: true})
	r := p.Replies()
	if _, err := r.Next(nil, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Join(nil, nil, r.Delivered()); err == nil {
		t.Fatal("joined a reply of which no hash was made")
	}
	var h History
	h.Add([]byte("hello"))
	_, j, err := p.Join(nil, nil, h.prefix.Delivered())
	if err != nil {
		t.Fatal(err)
	}
	if _, out, _, err := j.Next([]byte("hello, you")); err != nil || string(out) != ", you" || !j.Finish() {
		t.Fatalf("out %q, error %v, finish %v", out, err, j.Finish())
	}
}
