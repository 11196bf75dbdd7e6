package freeze

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// thing has one of all that a Coder knows.
type thing struct {
	truth, other bool
	small        int8
	word         uint64
	at           int64
	n            int
	none, empty  []byte
	some         []byte
	buffer       []byte
	array        [3]byte
	text         string
	took         time.Duration
	when, never  time.Time
	list         []string
	keys, nokeys map[string]int64
	maybe, not   *int64
	a, b         *part
	in           *part
}

type part struct{ name string }

func (x *thing) freeze(c *Coder) {
	c.Bool(&x.truth, &x.other)
	Number(c, &x.small, -5, 5)
	c.Word(&x.word)
	c.Offset(&x.at)
	c.Count(&x.n)
	c.Bytes(&x.none)
	c.Bytes(&x.empty)
	c.Bytes(&x.some)
	c.Buffer(&x.buffer)
	c.Array(x.array[:])
	c.Text(&x.text)
	c.Duration(&x.took)
	c.Time(&x.when, &x.never)
	List(c, &x.list, func(s *string) { c.Text(s) })
	Map(c, &x.keys, func(v *int64) { c.Offset(v) })
	Map(c, &x.nokeys, func(v *int64) { c.Offset(v) })
	Maybe(c, &x.maybe, func(v *int64) { c.Offset(v) })
	Maybe(c, &x.not, func(v *int64) { c.Offset(v) })
	for _, p := range []**part{&x.a, &x.b, &x.in} {
		Shared(c, p, func(p *part) { c.Text(&p.name) })
	}
}

var now = time.Unix(5000, 0)

func aThing() *thing {
	five := int64(5)
	x := &thing{truth: true, small: -5, word: 1<<64 - 1, at: 1<<62 - 1, n: 7, empty: []byte{}, some: []byte("some"), buffer: []byte("buffer"), array: [3]byte{1, 2, 3},
		text: "text", took: -time.Hour, when: now.Add(-time.Second), list: []string{"a", "", "b"}, keys: map[string]int64{"x": 1, "y": 2, "": 0}, maybe: &five}
	x.a = &part{"shared"}
	x.b = x.a
	return x
}

// What was frozen is the same again, an hour later: times have moved on with it.
func TestFrame(t *testing.T) {
	x := aThing()
	p, err := Frame([]byte("before"), 'k', 3, now, x.freeze)
	if err != nil || !bytes.HasPrefix(p, []byte("before")) {
		t.Fatal(err)
	}
	p = p[len("before"):]
	var y thing
	if err := Open(p, 'k', 3, now, y.freeze); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&y, x) || y.a != y.b || y.empty == nil || y.none != nil || y.nokeys != nil {
		t.Fatalf("%+v\n%+v", y, x)
	}
	var later thing
	if err := Open(p, 'k', 3, now.Add(time.Minute), later.freeze); err != nil || !later.when.Equal(x.when) {
		t.Errorf("a minute later: %v, %v", later.when, err)
	}
	if err := Open(p, 'k', 3, now.Add(-time.Hour), later.freeze); err != nil || !later.when.Equal(now.Add(-time.Hour-time.Second)) {
		t.Errorf("with a clock that was set back: %v, %v", later.when, err)
	}
	for what, err := range map[string]error{"kind": Open(p, 'j', 3, now, y.freeze), "version": Open(p, 'k', 4, now, y.freeze), "frame": Open(p[1:], 'k', 3, now, y.freeze)} {
		if !errors.Is(err, Err) || !strings.Contains(err.Error(), what) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	for i := range p {
		q := append([]byte{}, p...)
		q[i] ^= 4
		if Open(q, 'k', 3, now, new(thing).freeze) == nil {
			t.Errorf("byte %d was changed, and nobody noticed", i)
		}
	}
}

// What is out of range is a mistake that is kept, and nothing is taken for what only is announced.
func TestMistakes(t *testing.T) {
	for what, show := range map[string]func(c *Coder){
		"too small": func(c *Coder) { v := int8(-6); Number(c, &v, -6, 5); c.thawAs(func(c *Coder) { Number(c, &v, -5, 5) }) },
		"does not fit": func(c *Coder) {
			v := 300
			Number(c, &v, 0, 300)
			c.thawAs(func(c *Coder) { var b uint8; Number(c, &b, 0, 255) })
		},
		"no truth":   func(c *Coder) { c.uint(2); c.thawAs(func(c *Coder) { var b bool; c.Bool(&b) }) },
		"long bytes": func(c *Coder) { c.uint(1 << 40); c.thawAs(func(c *Coder) { var p []byte; c.Bytes(&p) }) },
		"long text":  func(c *Coder) { c.uint(1 << 62); c.thawAs(func(c *Coder) { var s string; c.Text(&s) }) },
		"long list": func(c *Coder) {
			c.uint(1 << 40)
			c.thawAs(func(c *Coder) { var l []bool; List(c, &l, func(b *bool) { c.Bool(b) }) })
		},
		"forward":      func(c *Coder) { c.uint(2); c.thawAs(func(c *Coder) { var p *part; Shared(c, &p, func(*part) {}) }) },
		"another kind": anotherKind,
		"century": func(c *Coder) {
			v := int64(1 << 62)
			Number(c, &v, 0, v)
			c.thawAs(func(c *Coder) { var d time.Duration; c.Duration(&d) })
		},
		"a key comes twice": func(c *Coder) {
			c.data = append(c.data, 1, 2, 0, 0)
			c.thawAs(func(c *Coder) { var m map[string]bool; Map(c, &m, func(b *bool) {}) })
		},
	} {
		c := Freezing(nil, now)
		show(c)
		if err := c.Err(); !errors.Is(err, Err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	c := Freezing(nil, now)
	c.Fail("this cannot be")
	if _, err := Frame(nil, 'k', 1, now, func(c *Coder) { c.Fail("this cannot be") }); !errors.Is(err, Err) || c.End() == nil {
		t.Errorf("what cannot be frozen: %v", err)
	}
}

func anotherKind(c *Coder) {
	p, n := &part{"a"}, new(int64)
	Shared(c, &p, func(p *part) { c.Text(&p.name) })
	c.uint(1)
	c.thawAs(func(c *Coder) {
		Shared(c, &p, func(p *part) { c.Text(&p.name) })
		Shared(c, &n, func(*int64) {})
	})
}

// thawAs thaws what was frozen so far, and notes the mistake.
func (c *Coder) thawAs(show func(*Coder)) {
	w := Thawing(c.data, now)
	show(w)
	c.err = w.End()
}

func FuzzOpen(f *testing.F) {
	p, _ := Frame(nil, 'k', 1, now, aThing().freeze)
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		p = append([]byte{}, p...)
		Sum(p)
		var x thing
		if err := Open(p, 'k', 1, now, x.freeze); err != nil && !errors.Is(err, Err) {
			t.Fatal(err)
		}
	})
}
