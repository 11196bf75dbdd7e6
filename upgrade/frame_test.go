package upgrade

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// Frames come out as they went in, however they are cut.
func TestParser(t *testing.T) {
	frames := []frame{{kind: kindHello, body: []byte("{}")}, {kind: kindItem, body: []byte("with"), fds: []int{7}}, {kind: kindGo},
		{kind: kindItem, body: bytes.Repeat([]byte("long"), 10000)}, {kind: kindItem, fds: []int{8}}}
	var all []byte
	var fds []int
	for _, f := range frames {
		all = f.append(all)
		fds = append(fds, f.fds...)
	}
	for cut := range min(len(all), 200) {
		var p parser
		var got []frame
		feed := func(data []byte, fds []int) {
			if err := p.add(data, fds); err != nil {
				t.Fatal(err)
			}
			for {
				f, ok, err := p.next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				got = append(got, f)
			}
		}
		feed(all[:cut], fds)
		feed(all[cut:], nil)
		if len(got) != len(frames) {
			t.Fatalf("cut at %d: %d frames", cut, len(got))
		}
		for i, f := range got {
			if f.kind != frames[i].kind || !bytes.Equal(f.body, frames[i].body) || len(f.fds) != len(frames[i].fds) {
				t.Errorf("cut at %d: frame %d is %d with %d bytes and %v", cut, i, f.kind, len(f.body), f.fds)
			}
		}
	}
}

func TestParserRefuses(t *testing.T) {
	for what, p := range map[string][]byte{
		"kind 0":         {0, 0, 0, 0, 0, 0},
		"kind 200":       {0, 0, 0, 0, 200, 0},
		"bytes":          {0xff, 0xff, 0xff, 0xff, byte(kindItem), 0},
		"2 descriptors":  {0, 0, 0, 0, byte(kindItem), 2},
		"1 descriptors":  {0, 0, 0, 0, byte(kindReady), 1},
		"has not come":   {0, 0, 0, 0, byte(kindItem), 1},
		"belong to noth": nil,
	} {
		var in parser
		var err error
		if p == nil {
			err = in.add(nil, make([]int, maxPending+1))
		} else if err = in.add(p, nil); err == nil {
			_, _, err = in.next()
		}
		if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParser(f *testing.F) {
	f.Add(frame{kind: kindItem, body: []byte("body"), fds: []int{1}}.append(nil), 3)
	f.Add(frame{kind: kindGo}.append(frame{kind: kindHello, body: []byte("{}")}.append(nil)), 0)
	f.Fuzz(func(t *testing.T, data []byte, fds int) {
		var p parser
		pending := make([]int, min(max(fds, 0), 10))
		if p.add(data, pending) != nil {
			return
		}
		size, claimed := 0, 0
		for {
			f, ok, err := p.next()
			if err != nil || !ok {
				break
			}
			if !bytes.Equal(f.append(nil), data[size:size+headSize+len(f.body)]) {
				t.Fatalf("frame at %d is %d with %q", size, f.kind, f.body)
			}
			size += headSize + len(f.body)
			claimed += len(f.fds)
		}
		left := 0
		p.close(func(int) { left++ })
		if claimed+left != len(pending) {
			t.Fatalf("of %d descriptors %d were claimed and %d are left", len(pending), claimed, left)
		}
	})
}
